"""The benchmark of transfer: one ruler for both models, nothing measured twice, and a page that says what came."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import transfer_play  # noqa: E402
from benchmarks.resumable import measured  # noqa: E402
from benchmarks.transfer import main  # noqa: E402
from benchmarks.transfer_play import FEW_STEPS, Bench, Blind, Config, learn  # noqa: E402
from inspatio_gym.agents.config import WorldConfig  # noqa: E402
from inspatio_gym.agents.policy import load_policy  # noqa: E402
from inspatio_gym.star.taehv import Taehv, TaehvConfig  # noqa: E402
from inspatio_gym.star.tiny import NAME, TINY, TextTable, save_tiny  # noqa: E402
from tests.star_worlds import tiny_dit  # noqa: E402

CODEC = TaehvConfig((4, 4, 8, 8), (8, 4, 4, 4), (1, 1, 1), (1, 1, 1))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """What a policy that hardly learned does in the warp world and in a fake one."""
    config = Config(
        models=("warp", "fake"),
        minutes=1e-4,
        episodes=3,
        max_episode_steps=4,
        steps=16,
        num_envs=1,
        out=tmp_path_factory.mktemp("transfer"),
    )
    main(config)
    return config


def test_who_does_not_look_earns_the_same_in_every_model(done: Config):
    bench = Bench(done)
    for who in ("random", "hold still"):
        assert (bench.returns(who, "warp") == bench.returns(who, "fake")).all()
    assert (bench.returns("random", "warp") != bench.returns("hold still", "warp")).all()


def test_what_was_measured_is_not_measured_again_and_fills_its_page(done: Config, tmp_path: Path, monkeypatch):
    for name in ("train", "play", "learn", "stepped", "fault"):
        monkeypatch.setattr(transfer_play, name, lambda *_: pytest.fail("it was measured"))
    page, picture = tmp_path / "page.md", tmp_path / "images" / "curve.png"
    page.write_text("Before.\n<!-- results tiny-transfer -->\nstale\n<!-- end of results -->\nAfter.\n")
    main(replace(done, page=page, picture=picture))
    text = page.read_text()
    assert text.startswith("Before.\n<!-- results tiny-transfer -->\nExplore, rotation control, room: 3 start states")
    assert text.endswith("<!-- end of results -->\nAfter.\n")
    assert "| agent | return in warp | in fake | fake less warp | steps in fake |" in text
    assert text.count("| 0.00 [0.00, 0.00] |") >= 2  # random and hold still differ by nothing
    assert "| PPO, 16 steps in the fake world |" in text
    assert re.search(r"\| the same, its pictures black \| [-\d.]+ \[.*\] \|  \|  \|  \|", text)
    assert "](images/curve.png)" in text
    assert "find no fault with it" in text
    assert picture.stat().st_size > 5_000


def test_what_was_measured_of_something_else_is_refused(done: Config):
    with pytest.raises(ValueError, match=r"expected .* in .*random-fake\.json, got .*: ask for that, or take another"):
        Bench(replace(done, episodes=4)).returns("random", "fake")


def test_a_policy_of_another_task_is_refused(tmp_path: Path):
    bench = Bench(Config(policy=Path("zoo:driving-ppo"), out=tmp_path))
    with pytest.raises(ValueError, match="got task = 'explore' where it was trained with"):
        bench.world("warp")


def test_a_given_policy_is_not_trained(done: Config, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(transfer_play, "train", lambda *_: pytest.fail("there was one"))
    file, training = Bench(replace(done, policy=done.out / "policy", out=tmp_path)).trained
    assert (file, training) == (done.out / "policy" / "policy.safetensors", None)


def test_ppo_learns_in_a_tiny_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dit = tiny_dit(text_len=TINY.text_len, text_dim=TINY.text_dim)
    save_tiny(tmp_path / NAME, dit, TextTable(), Taehv(CODEC))
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
    world = WorldConfig(model="tiny", control="rotation", max_episode_steps=5).world()
    found = learn(world, Config(steps=16, num_envs=1), tmp_path / "policy.safetensors")
    assert found["steps"] == 16
    assert 3 <= len(found["episodes"]) <= 16 / 2
    assert found["episodes"][-1][0] <= 16
    assert load_policy(tmp_path / "policy.safetensors")[1].world["model"] == "tiny"


def test_a_training_in_which_no_episode_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer_play, "FEW_STEPS", replace(FEW_STEPS, log_std_init=-9.0))  # it stays where it is
    world = WorldConfig(model="fake", control="rotation", max_episode_steps=50).world()
    with pytest.raises(ValueError, match="end within 1 steps, got none: pass more --steps"):
        learn(world, Config(steps=1, num_envs=1), tmp_path / "policy.safetensors")


def test_blind_agents_see_all_but_the_picture():
    class Sees:
        name = "sees"

        def begin(self, seeds):
            self.worlds = len(seeds)

        def act(self, observations, infos):
            assert self.worlds == 2
            return np.array([observations["rgb"].max(), observations["depth"].max()])

    agent = Blind(Sees())
    agent.begin([0, 1])
    seen = {"rgb": np.full((2, 4, 4, 3), 9, np.uint8), "depth": np.ones((2, 4, 4, 1))}
    assert agent.act(seen, {}).tolist() == [0, 1]
    assert seen["rgb"].min() == 9


def test_a_measurement_is_kept_with_where_and_how_long(tmp_path: Path):
    file = tmp_path / "one.json"
    record = measured(file, {"of": "this"}, lambda: [1.5, "words"])
    assert (record["found"], record["asked"]) == ([1.5, "words"], {"of": "this"})
    assert record["seconds"] >= 0
    assert measured(file, {"of": "this"}, lambda: pytest.fail("it is there")) == record
