"""Training: what a run leaves, how it goes on after any kind of end, and what it refuses."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inspatio_gym.agents.checkpoint import last_checkpoint
from inspatio_gym.agents.config import Algorithm, TrainConfig
from inspatio_gym.agents.episodes import Episodes, make_worlds, play
from inspatio_gym.agents.log import RunLog, read_progress
from inspatio_gym.agents.policy import POLICY_FILE, load_policy
from inspatio_gym.agents.recipes import Network, PPORecipe, RecurrentPPORecipe, SACRecipe
from inspatio_gym.agents.train import open_run, train
from inspatio_gym.agents.watch import Watch

NETWORK = Network(channels=(4,), image_features=8, state_features=8, hidden=(8,))
ROLLOUT = 64  # steps of all worlds between two updates of PPO
TINY = TrainConfig(
    model="fake",
    size=(16, 24),
    max_episode_steps=6,
    num_envs=4,
    steps=3 * ROLLOUT,
    checkpoint_every=ROLLOUT,
    validate_every=ROLLOUT,
    validation_episodes=2,
    device="cpu",
    ppo=PPORecipe(n_steps=16, network=NETWORK),
    recurrent_ppo=RecurrentPPORecipe(n_steps=16, lstm_hidden_size=8, network=NETWORK),
    sac=SACRecipe(learning_starts=40, batch_size=16, gradient_steps=1, buffer_size=400, network=NETWORK),
)
ALGORITHMS = pytest.mark.parametrize("algo", ["ppo", "sac", "recurrent-ppo"])
LEFT = {"config.json", "checkpoints", "policy.safetensors", "progress.jsonl", "tensorboard"}


def checkpoints(run: Path) -> list[int]:
    """The steps after which there is one."""
    return sorted(int(path.stem) for path in run.glob("checkpoints/[0-9]*"))


def updates(run: Path) -> int:
    """How many the last checkpoint has seen."""
    return torch.load(last_checkpoint(run / "checkpoints"), weights_only=True)["updates"]


def steps_logged(run: Path) -> list[float]:
    return [row["steps"] for row in read_progress(run)]


@ALGORITHMS
def test_a_run_leaves_a_policy_checkpoints_and_a_log(tmp_path: Path, algo: Algorithm):
    config = replace(TINY, algo=algo, run=tmp_path / "run")
    assert train(config) == config.run
    assert {path.name for path in config.run.iterdir()} == LEFT
    assert TrainConfig.from_json((config.run / "config.json").read_text()) == config
    assert checkpoints(config.run) == [ROLLOUT, 2 * ROLLOUT, 3 * ROLLOUT]

    rows = read_progress(config.run)
    assert rows[-1]["steps"] == config.steps
    best = max((row for row in rows if "validation/return" in row), key=lambda row: row["validation/return"])
    assert best["validation/return_low"] <= best["validation/return"] <= best["validation/return_high"]
    card = load_policy(config.run)[1]
    assert (card.algo, card.world, card.steps) == (algo, config.world(), best["steps"])
    tags = EventAccumulator(str(config.run / "tensorboard")).Reload().Tags()
    assert set(tags["scalars"]) == {name for row in rows for name in row} - {"steps"}
    assert tags["images"] == ["validation/episode"]
    assert {
        "rollout/ep_rew_mean",
        "task/explored_fraction",
        "time/steps_per_second",
        "train/learning_rate",
        "validation/return",
        "validation/explored_fraction",
    } <= set(tags["scalars"])


def test_worlds_may_look_different_from_episode_to_episode(tmp_path: Path):
    plain, random = (train(replace(TINY, run=tmp_path / str(one), randomize=one)) for one in (False, True))
    assert {path.name for path in random.iterdir()} == LEFT
    policies = [{k: v.tolist() for k, v in load_policy(run)[0].state_dict().items()} for run in (plain, random)]
    assert policies[0] != policies[1]


def test_worlds_in_actors_teach_the_same(tmp_path: Path):
    """Whatever is logged but the time, and the policy that is kept, are those of worlds in this process."""
    pytest.importorskip("ray")
    runs = [
        train(replace(TINY, run=tmp_path / engine, engine=engine, model="warp", steps=2 * ROLLOUT))
        for engine in ("inprocess", "ray")
    ]
    here, there = ([{k: v for k, v in row.items() if "time" not in k} for row in read_progress(run)] for run in runs)
    assert there == here
    assert len(here) >= 2
    policies = [{k: v.tolist() for k, v in load_policy(run)[0].state_dict().items()} for run in runs]
    assert policies[0] == policies[1]


@ALGORITHMS
def test_a_resumed_run_counts_on_with_what_it_was_begun_with(tmp_path: Path, algo: Algorithm):
    begun = replace(TINY, algo=algo, run=tmp_path / "run")
    train(begun)
    before = steps_logged(begun.run)
    train(TrainConfig(run=begun.run, resume=True, steps=5 * ROLLOUT, device="cpu"))
    assert TrainConfig.from_json((begun.run / "config.json").read_text()) == replace(begun, steps=5 * ROLLOUT)
    assert checkpoints(begun.run) == [3 * ROLLOUT, 4 * ROLLOUT, 5 * ROLLOUT]
    after = steps_logged(begun.run)
    assert after[: len(before)] == before
    assert after == sorted(after)
    assert after[-1] == 5 * ROLLOUT


def test_a_resumed_run_keeps_the_number_of_steps_unless_told(tmp_path: Path):
    train(replace(TINY, run=tmp_path / "run"))
    policy = (tmp_path / "run" / POLICY_FILE).read_bytes()
    train(TrainConfig(run=tmp_path / "run", resume=True))
    assert checkpoints(tmp_path / "run")[-1] == TINY.steps
    assert (tmp_path / "run" / POLICY_FILE).read_bytes() == policy


def test_a_resumed_sac_collects_before_it_learns_on(tmp_path: Path):
    config = replace(TINY, algo="sac", run=tmp_path / "run")
    train(config)
    learned = updates(config.run)
    collected = TINY.steps + config.sac.learning_starts
    train(replace(config, resume=True, steps=collected))
    assert updates(config.run) == learned > 0
    train(replace(config, resume=True, steps=collected + ROLLOUT))
    assert updates(config.run) > learned


@pytest.mark.parametrize("name", ["notes.txt", "config.json"])
def test_a_taken_folder_is_refused_and_left_alone(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=r"expected a new folder for the run, got .* pass --resume"):
        train(replace(TINY, run=tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_there_must_be_a_run_to_resume(tmp_path: Path):
    with pytest.raises(ValueError, match=r"expected a run to resume in .*: leave --resume out"):
        train(replace(TINY, run=tmp_path / "run", resume=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"task": "explor"}, "explor"),
        ({"algo": "sac", "control": "discrete"}, "continuous actions"),
        ({"minutes": 0}, "minutes"),
        ({"steps": -5}, "steps of 1 or more, got -5"),
        ({"num_envs": 0}, "num_envs of 1 or more, got 0"),
        ({"max_episode_steps": 0}, "max_episode_steps of 1 or more, got 0"),
        ({"seed": -1}, "seed of 0 or more, got -1"),
        ({"validation_episodes": 0}, "validation_episodes of 1 or more, got 0"),
        ({"validate_every": -1}, "validate_every of 0 or more, got -1"),
        ({"num_actors": 0}, "num_actors of 1 or more, got 0"),
        ({"engine": "ray", "num_actors": 5}, r"num_actors in 1\.\.4"),
        ({"device": "foo"}, "a device .* got 'foo'"),
        ({"num_envs": 1, "ppo": replace(TINY.ppo, n_steps=1)}, "steps between two updates, got 1"),
        ({"ppo": replace(TINY.ppo, batch_size=1)}, "batch_size of 2 or more, got 1"),
    ],
)
def test_a_run_that_cannot_begin_takes_no_folder(tmp_path: Path, wrong: dict, words: str):
    with pytest.raises(ValueError, match=f"expected .*{words}"):
        train(replace(TINY, run=tmp_path / "run", **wrong))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(tmp_path: Path):
    with pytest.raises(ValueError, match=r"expected a device .* got 'cuda' .*: pass --device cpu"):
        train(replace(TINY, run=tmp_path / "run", device="cuda"))
    assert not list(tmp_path.iterdir())
    train(replace(TINY, run=tmp_path / "run", device="auto", steps=ROLLOUT))


def test_worlds_that_fail_leave_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever cannot be made after the first worlds, the folder is still free for the corrected call."""
    made = []

    def fails_the_second_time(world: dict, num_envs: int):
        if made:
            raise ValueError("expected enough memory")
        made.append(make_worlds(world, num_envs))
        return made[0]

    monkeypatch.setattr("inspatio_gym.agents.train.make_worlds", fails_the_second_time)
    with pytest.raises(ValueError, match="expected enough memory"):
        train(replace(TINY, run=tmp_path / "run"))
    assert not list(tmp_path.iterdir())
    assert made[0].closed


def test_the_same_seed_gives_the_same_policy_to_the_byte(tmp_path: Path):
    first, again, other = (
        (train(replace(TINY, run=tmp_path / name, seed=seed)) / POLICY_FILE).read_bytes()
        for name, seed in [("first", 3), ("again", 3), ("other", 4)]
    )
    assert first == again != other


def test_minutes_end_a_training_and_its_learning_rate(tmp_path: Path):
    train(replace(TINY, run=tmp_path / "first", steps=ROLLOUT))  # what is imported once is no part of the time
    begun = time.monotonic()
    run = train(replace(TINY, run=tmp_path / "run", steps=10**9, minutes=0.02))
    assert 1.2 <= time.monotonic() - begun < 20
    assert checkpoints(run)[-1] < 10**9
    rates = [row["train/learning_rate"] for row in read_progress(run) if "train/learning_rate" in row]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.5 * TINY.ppo.learning_rate


# --- ends from outside ------------------------------------------------------------------------------------------------

ANOTHER_PROCESS = """
import sys
from inspatio_gym.agents.train import TrainConfig, train
train(TrainConfig.from_json(sys.argv[1]))
"""


def ended_by(
    number: signal.Signals, config: TrainConfig, moment: Callable[[], bool]
) -> subprocess.CompletedProcess[str]:
    """Train in another process until it gets the signal at that moment."""
    command = [sys.executable, "-c", ANOTHER_PROCESS, config.to_json()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not moment():
            assert process.poll() is None
            time.sleep(1e-4)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    return subprocess.CompletedProcess(command, process.returncode, stderr=said)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path):
    config = replace(TINY, run=tmp_path / "run", steps=10**9)

    def writing() -> bool:
        return len(checkpoints(config.run)) > 1 and any(config.run.rglob(".*.partial.*"))

    assert ended_by(signal.SIGKILL, config, writing).returncode == -signal.SIGKILL
    (config.run / "checkpoints" / ".000000001.1.partial.pt").write_bytes(b"half a checkpoint")
    reached = checkpoints(config.run)[-1]
    train(replace(config, resume=True, minutes=0.01))
    assert checkpoints(config.run)[-1] > reached
    logged = steps_logged(config.run)
    assert logged == sorted(logged)
    assert set(range(ROLLOUT, reached + ROLLOUT, ROLLOUT)) <= set(logged)
    assert not list(config.run.rglob(".*"))


def test_ctrl_c_ends_with_a_checkpoint_to_go_on_from(tmp_path: Path):
    config = replace(TINY, run=tmp_path / "a run", steps=10**9, checkpoint_every=10**9)
    ended = ended_by(signal.SIGINT, config, lambda: len(steps_logged(config.run)) > 2)
    assert ended.returncode == -signal.SIGINT  # which a shell shows as 130
    (stopped,) = checkpoints(config.run)
    assert (
        f"stopped after {stopped:,} steps; go on with: inspatio-gym train --run '{config.run}' --resume" in ended.stderr
    )
    assert {path.name for path in config.run.iterdir()} == LEFT
    train(replace(config, resume=True, minutes=0.01))
    assert checkpoints(config.run)[-1] > stopped


def test_ctrl_c_when_all_steps_are_done_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    validate = Watch._validate

    def interrupted(watch: Watch) -> None:
        signal.raise_signal(signal.SIGINT)
        validate(watch)

    monkeypatch.setattr(Watch, "_validate", interrupted)
    run = train(replace(TINY, run=tmp_path / "run", validate_every=10**9))
    assert load_policy(run)[1].steps == checkpoints(run)[-1] == TINY.steps


def test_the_policy_that_is_kept_stays_the_best_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed between a validation and the next checkpoint, a run forgets steps, but not how good the policy was."""

    def validations_are_better_by(bonus: float) -> None:
        def played(*given: Any) -> Episodes:
            episodes = play(*given)
            return replace(episodes, returns=episodes.returns + bonus)

        monkeypatch.setattr("inspatio_gym.agents.watch.play", played)

    run = tmp_path / "run"
    train(replace(TINY, run=run, steps=ROLLOUT))
    validations_are_better_by(1000.0)
    train(TrainConfig(run=run, resume=True, steps=2 * ROLLOUT))
    last_checkpoint(run / "checkpoints").unlink()  # as if killed before it was written
    kept = (run / POLICY_FILE).read_bytes()
    validations_are_better_by(500.0)
    train(TrainConfig(run=run, resume=True, steps=3 * ROLLOUT))
    assert (run / POLICY_FILE).read_bytes() == kept
    validations_are_better_by(2000.0)
    train(TrainConfig(run=run, resume=True, steps=4 * ROLLOUT))
    assert load_policy(run)[1].steps == 4 * ROLLOUT


def test_without_validations_the_last_policy_is_kept(tmp_path: Path):
    run = train(replace(TINY, run=tmp_path / "run", validate_every=0))
    assert load_policy(run)[1].steps == TINY.steps
    train(TrainConfig(run=run, resume=True, steps=5 * ROLLOUT))
    assert load_policy(run)[1].steps == 5 * ROLLOUT


def test_the_log_forgets_everywhere_what_a_killed_run_did_after_its_last_checkpoint(tmp_path: Path):
    for rows in ((10, 20, 30), (10, 20)):  # killed before the first checkpoint, and begun again
        log = RunLog(tmp_path, steps=0)
        for steps in rows:
            log.write({"rollout/ep_rew_mean": 1.0}, {}, steps)
        log.close()
    assert steps_logged(tmp_path) == [10, 20]
    scalars = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("rollout/ep_rew_mean")
    assert [event.step for event in scalars] == [10, 20]


def test_a_run_may_go_on_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_scene):
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(room_scene.path, here / "scenes" / "mine")
    there.mkdir()
    monkeypatch.chdir(here)
    config = replace(TINY, run=tmp_path / "run", scene=("scenes/mine", "room"), steps=ROLLOUT)
    train(config)
    monkeypatch.chdir(there)
    train(TrainConfig(run=tmp_path / "run", resume=True, steps=2 * ROLLOUT))
    assert load_policy(tmp_path / "run")[1].world["scene"] == [str(here / "scenes" / "mine"), "room"]
    assert open_run(replace(TINY, run=tmp_path / "new", video=(Path("clip.mp4"),))).video == (there / "clip.mp4",)
