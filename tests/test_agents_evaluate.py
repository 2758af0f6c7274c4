"""Evaluation: returns that are known beforehand, the honest choice of the best constant, the table."""

import itertools
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from inspatio_gym.agents.baselines import Constant
from inspatio_gym.agents.config import (
    EVALUATION_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
    EvaluateConfig,
    TrainConfig,
    WorldConfig,
)
from inspatio_gym.agents.episodes import Episodes, play
from inspatio_gym.agents.evaluate import Comparison, as_markdown, as_text, compare, evaluate, search, world_in_words
from inspatio_gym.agents.policy import make_policy as new_policy
from inspatio_gym.agents.policy import save_policy
from inspatio_gym.agents.statistics import bootstrap
from tests.test_agents_policy import make_card

WORLD = WorldConfig(size=(16, 24), model="fake", max_episode_steps=6, control="rotation").world()


class Known(gym.Env):
    """From seed s an episode lasts 2 + s % 3 steps, and every step is worth s + the action."""

    observation_space = gym.spaces.Dict({"seed": gym.spaces.Box(-1, 1e9, (1,), np.float32)})
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.number, self.t = -1000 if seed is None else seed, 0
        return {"seed": np.array([max(self.number, -1)], np.float32)}, {}

    def step(self, action):
        self.t += 1
        ended = self.t >= 2 + self.number % 3
        observation = {"seed": np.array([max(self.number, -1)], np.float32)}
        return observation, self.number + float(action[0]), ended, False, {"steps_done": self.t, "coverage": 0.5}


def known_worlds(num: int) -> VectorEnv:
    return SyncVectorEnv([Known] * num, autoreset_mode=AutoresetMode.NEXT_STEP)


@pytest.mark.parametrize("num_envs", [1, 3, 8])
def test_every_start_state_is_played_once_to_its_end(num_envs: int):
    seeds = [5, 0, 7, 1, 12]
    episodes = play(known_worlds(num_envs), Constant(np.array([0.5], np.float32), "half"), seeds)
    lengths = [2 + seed % 3 for seed in seeds]
    assert episodes.lengths.tolist() == lengths
    assert episodes.returns.tolist() == [length * (seed + 0.5) for length, seed in zip(lengths, seeds, strict=True)]
    assert episodes.seeds.tolist() == seeds
    assert {name: values.tolist() for name, values in episodes.metrics.items()} == {"steps_done": lengths}


def test_no_start_states_are_refused():
    with pytest.raises(ValueError, match="one or more start states"):
        play(known_worlds(1), Constant(np.zeros(1)), [])


def test_training_validation_and_evaluation_never_share_a_start_state():
    ranges = sorted((r.start, r.stop) for r in (TRAINING_SEEDS, VALIDATION_SEEDS, EVALUATION_SEEDS))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ranges))


class Turn:
    """Pays for turning by a quarter of full speed, 3.75 degrees a step: less and more earn less."""

    observation_spaces = {}  # noqa: RUF012

    def reset(self, moment, rng):
        self.turned = 0.0

    def step(self, moment):
        self.turned += moment.turned_deg
        return 1 - abs(moment.turned_deg - 3.0), False

    def observation(self):
        return {}

    def metrics(self):
        return {"turned": self.turned}


TURN = {**WORLD, "task": Turn}


def test_the_search_finds_the_best_constant_action():
    best = search(TURN)[0]
    assert np.hypot(*best.action) == pytest.approx(0.2, abs=0.03)  # 15 degrees a step at full speed


class Knows:
    """The policy that earns the most: 3 degrees a step."""

    name = "knows"

    def begin(self, seeds):
        self.worlds = len(seeds)

    def act(self, observations, infos):
        return np.tile(np.array([[0.2, 0.0]], np.float32), (self.worlds, 1))


def test_the_best_constant_is_judged_by_its_best_and_equals_a_policy_that_does_the_same():
    result = compare(TURN, Knows(), episodes=10)
    names = [row.agent for row in result.rows]
    assert names[:3] == ["knows", "random", "hold still"]
    assert names[3].startswith("constant: ")
    assert names[4:] == ["scripted look-around"]
    assert all((row.seeds == result.rows[0].seeds).all() for row in result.rows)
    assert all(seed in EVALUATION_SEEDS for seed in result.rows[0].seeds.tolist())
    trained, constant = result.rows[0], result.rows[3]
    assert result.trained is trained
    assert trained.returns == pytest.approx(np.full(10, 6.0), abs=0.01)
    assert constant.returns.mean() >= trained.returns.mean() - 0.01
    assert result.rows[2].returns == pytest.approx(np.full(10, -12.0), abs=0.01)  # holding still: 1 - 3, six times
    assert result.rival is constant
    assert not result.learned
    assert "not shown to be better" in result.verdict() or "worse" in result.verdict()


def test_another_seed_is_another_set_of_start_states():
    first, second = (compare(WORLD, None, episodes=4, seed=seed).rows[0].seeds for seed in (0, 1))
    assert not set(first) & set(second)
    for wrong in ({"episodes": 1}, {"episodes": 4, "seed": -1}, {"episodes": 4, "seed": 10**9}):
        with pytest.raises(ValueError, match="at least 2 episodes and a small seed"):
            compare(WORLD, None, **wrong)


def compared(trained: list[float] | None, random: list[float]) -> Comparison:
    """A comparison in which the policy and random had these returns, and the others 0 or, the scripted one, 99."""

    def row(name: str, returns: list[float]) -> Episodes:
        seeds = np.arange(len(returns))
        return Episodes(name, seeds, np.array(returns), seeds + 3, {"seen": seeds / 7})

    none = [0.0] * len(random)
    return Comparison(
        world={},
        trained=None if trained is None else row("trained policy", trained),
        rivals=(row("random", random), row("hold still", none), row("constant: nothing", none)),
        scripted=(row("scripted look-around", [99.0] * len(random)),),
    )


def test_a_policy_has_learned_if_its_interval_lies_above_its_rivals():
    good = compared([10.0, 11, 12, 13], random=[0.0, 1, 2, 3])
    assert good.learned
    assert good.rival.agent == "random"
    assert "10.00 above" in good.verdict()
    assert "intervals over 4 start states are disjoint" in good.verdict()
    assert "On the same start states it is better by 10.00 [10.00, 10.00]." in good.verdict()


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([0.1, 0.2, 0.1, 0.2], "better than 'random' on the same start states by 0.15 [0.10, 0.20], though the"),
        ([-0.1, -0.2, -0.1, -0.2], "worse than 'random' on the same start states by 0.15 [0.10, 0.20], though the"),
        ([-1.0, 1.0, -0.8, 1.2], "not shown to be better or worse than 'random': on the same start states its"),
    ],
)
def test_where_intervals_overlap_the_same_start_states_tell_more(gains: list[float], words: str):
    random = [0.0, 10, 20, 30]
    result = compared((np.array(random) + gains).tolist(), random)
    assert not result.learned
    assert words in result.verdict()


def test_a_policy_that_is_far_worse_has_no_overlap_to_speak_of():
    result = compared([-9.0, -8, -9, -8], random=[0.0, 1, 2, 3])
    assert "worse than 'random' on the same start states by 10.00 [" in result.verdict()
    assert "overlap" not in result.verdict()


def test_the_paired_difference_is_that_of_returns_from_the_same_start_state():
    random, trained = [0.0, 10, 20, 30], [1.0, 10, 22, 31]
    result = compared(trained, random)
    assert result.gain == bootstrap([1.0, 0, 2, 1])
    assert result.gain.low >= 0
    record = json.loads(result.to_json())
    assert record["paired"] == {"rival": "random", "mean": 1.0, "low": result.gain.low, "high": result.gain.high}
    assert compared(None, random).gain is None
    assert json.loads(compared(None, random).to_json())["paired"] is None


def test_the_table_says_what_was_measured():
    table = compared(None, random=[0.0, 1, 2, 3]).table()
    assert table[0] == ["agent", "return [95% interval]", "steps", "seen"]
    assert table[1] == ["random", "1.50 [0.50, 2.50]", "4.5", "0.214 [0.0714, 0.357]"]
    assert len({len(line) for line in as_text(table).splitlines()}) == 1
    assert as_markdown(table).splitlines()[1] == "| --- | ---: | ---: | ---: |"


def test_the_simple_agents_are_compared_without_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "result.json"
    world = {"size": (16, 24), "model": "fake", "max_episode_steps": 6, "control": "discrete"}
    result = evaluate(EvaluateConfig(**world, episodes=4, json=file))
    said = capsys.readouterr().out
    assert [row.agent.split(":")[0] for row in result.rows] == [
        "random",
        "hold still",
        "constant",
        "scripted look-around",
    ]
    assert all(row.agent in said for row in result.rows)
    record = json.loads(file.read_text())
    assert record["seeds"] == list(EVALUATION_SEEDS[:4])
    assert [len(agent["returns"]) for agent in record["agents"]] == [4] * 4
    assert record["agents"][0]["mean"] == pytest.approx(np.mean(record["agents"][0]["returns"]))


def test_a_policy_brings_its_own_world(tmp_path: Path):
    card = make_card("ppo")
    save_policy(tmp_path / "policy.safetensors", new_policy(card), card)
    result = evaluate(EvaluateConfig(policy=tmp_path, scene=("street",), episodes=2))
    assert result.world == {**card.world, "scene": ["street"]}
    assert result.trained is not None
    with pytest.raises(ValueError, match=r"got control = 'discrete' .* leave --control out"):
        evaluate(EvaluateConfig(policy=tmp_path, control="discrete"))


def test_a_policy_is_played_in_another_world_model_only_if_one_is_named(tmp_path: Path):
    card = make_card("ppo", "rotation")
    save_policy(tmp_path / "policy.safetensors", new_policy(card), card)
    own, other = (evaluate(EvaluateConfig(policy=tmp_path, episodes=2, **asked)) for asked in ({}, {"model": "warp"}))
    assert (own.world, other.world) == (card.world, {**card.world, "model": "warp"})
    # Neither looks at the picture, and rewards follow from the commanded camera.
    for before, after in zip(own.rivals[:2], other.rivals[:2], strict=True):
        assert (before.agent, before.returns.tolist()) == (after.agent, after.returns.tolist())


def test_the_table_is_headed_by_the_world_that_was_played(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    card = make_card("ppo", "rotation")
    save_policy(tmp_path / "policy.safetensors", new_policy(card), card)
    evaluate(EvaluateConfig(policy=tmp_path, control="rotation", episodes=2))
    heading = capsys.readouterr().out.splitlines()[0]
    assert heading.startswith("World room, model fake, task explore, control rotation;")
    assert "16x24 pixels" in heading


def test_a_world_of_videos_and_folders_is_named_by_what_they_are_called():
    videos = WorldConfig(video=(Path("/clips/street walk.mp4"), Path("a.mov")))
    assert world_in_words(videos.world()).startswith("World street walk.mp4, a.mov, model")
    assert world_in_words(WorldConfig(scene=("/scenes/mine",)).world()).startswith("World mine, model")


def test_configurations_survive_json():
    config = TrainConfig(algo="sac", video=(Path("a.mp4"), Path("b.mp4")), size=(32, 48), minutes=1.5)
    assert TrainConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="expected videos or scenes, got both"):
        TrainConfig(video=(Path("a.mp4"),), scene=("room",)).world()
