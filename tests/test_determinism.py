"""The same seed and actions give the same bits: again, after a snapshot is restored, and for any number of threads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_room import write_box

from inspatio_gym.envs.env import InSpatioEnv
from inspatio_gym.envs.stage import SNAPSHOT_SCHEMA
from inspatio_gym.fake import FakeWorld
from inspatio_gym.scenes import Scene

SIZE = (48, 80)
TASKS = ("explore", "goal", "goal-curriculum", "moment")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write_box(folder / "box"), write_box(folder / "other", frames=20, name="other")]


def make(scenes: Any, **arguments) -> InSpatioEnv:
    return InSpatioEnv(scene=scenes, **{"model": "warp", "size": SIZE, **arguments})


def actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (steps, 7)).astype(np.float32)


def play(env: InSpatioEnv, held: np.ndarray) -> list:
    """Everything that comes back over the actions, episode after episode."""
    results = []
    for action in held:
        result = env.step(action)
        results.append(result)
        if result[2] or result[3]:
            results.append(env.reset())
    return results


def same(a: Any, b: Any) -> None:
    """Assert that two nests of tuples, lists, dictionaries, arrays and numbers are equal, bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            same(left, right)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert (a == b).all()
    else:
        assert a == b


@pytest.mark.parametrize("task", TASKS)
def test_500_steps_are_bit_equal(scenes, task):
    held = actions(500)
    runs = []
    for env in (make(scenes, task=task), make(scenes, task=task)):
        runs.append([env.reset(seed=11), *play(env, held)])
    same(*runs)
    assert len(runs[0]) > 510  # over several episodes


@pytest.mark.parametrize(("task", "seed"), [*((task, 0) for task in TASKS), ("explore", 1), ("explore", 2)])
def test_a_restored_snapshot_goes_on_bit_equal(scenes, task, seed):
    rng = np.random.default_rng(seed)
    held = actions(int(rng.integers(5, 60)), seed)
    later = actions(60, seed + 100)
    env = make(scenes, task=task)
    env.reset(seed=seed)
    play(env, held)
    snapshot = env.snapshot()
    expected = play(env, later)

    elsewhere = make(scenes, task=task)
    shown = elsewhere.restore(snapshot)
    assert shown in elsewhere.observation_space
    same(play(elsewhere, later), expected)
    env.restore(snapshot)
    same(play(env, later), expected)


def test_restoring_returns_what_was_seen_last(scenes):
    env = make(scenes, render_mode="rgb_array")
    env.reset(seed=0)
    observation, *_ = env.step(actions(1)[0])
    frame, snapshot = env.render(), env.snapshot()
    env.reset(seed=9)
    same(env.restore(snapshot), observation)
    assert (env.render() == frame).all()


@pytest.mark.parametrize("task", TASKS)
def test_a_snapshot_is_plain_data_of_its_own(scenes, task):
    env = make(scenes, task=task)
    env.reset(seed=0)
    env.step(actions(1)[0])
    snapshot = env.snapshot()

    def check(value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                assert isinstance(key, str)
                check(part)
        elif isinstance(value, list):
            for part in value:
                check(part)
        else:
            assert type(value) in (str, int, float, bool, type(None), np.ndarray), value
            assert not isinstance(value, np.ndarray) or value.dtype != object

    check(snapshot)
    before = {key: value.copy() for key, value in snapshot.items() if isinstance(value, np.ndarray)}
    play(env, actions(5, 1))
    for key, value in before.items():
        assert (snapshot[key] == value).all(), key


def test_a_snapshot_of_something_else_is_refused(scenes):
    env = make(scenes[0], model="fake")
    env.reset(seed=0)
    snapshot = env.snapshot()
    with pytest.raises(ValueError, match=r"one of the scenes \['other'\]"):
        make(scenes[1], model="fake").restore(snapshot)
    with pytest.raises(ValueError, match="snapshot made with model 'warp"):
        make(scenes[0]).restore(snapshot)
    with pytest.raises(ValueError, match="snapshot made with model 'fake 9"):
        make(scenes[0], model=FakeWorld(render_size=SIZE, first_frames=9)).restore(snapshot)
    with pytest.raises(ValueError, match="snapshot made with mount 'world', got 'source'"):
        make(scenes[0], model="fake", mount="world").restore(snapshot)
    with pytest.raises(ValueError, match=f"snapshot made with schema {SNAPSHOT_SCHEMA}, got 0"):
        env.restore({**snapshot, "made_with": {**snapshot["made_with"], "schema": 0}})
    with pytest.raises(ValueError, match=f"snapshot made with schema {SNAPSHOT_SCHEMA}, got None"):
        env.restore({})


def test_episodes_do_not_depend_on_what_was_played_before(scenes):
    env, twin = make(scenes, model="fake"), make(scenes, model="fake")
    env.reset(seed=1)
    play(env, actions(20))
    same(env.reset(seed=4), twin.reset(seed=4))
    same(play(env, actions(20, 3)), play(twin, actions(20, 3)))


STREAM = """
import hashlib, sys
import numpy as np
from inspatio_gym.envs.vector_env import InSpatioVectorEnv

envs = InSpatioVectorEnv(24, scene=sys.argv[1], model="warp", size=(96, 160))
digest = hashlib.blake2b()
observations, _ = envs.reset(seed=0)
rng = np.random.default_rng(0)
for _ in range(12):
    for name in sorted(observations):
        digest.update(observations[name].tobytes())
    observations, rewards, *_ = envs.step(rng.uniform(-0.4, 0.4, (24, 7)).astype(np.float32))
    digest.update(rewards.tobytes())
print(digest.hexdigest())
"""


def test_any_number_of_threads_gives_the_same_bits(scenes):
    answers = set()
    for threads in ("1", "2", "3"):
        environment = {**os.environ, "INSPATIO_GYM_THREADS": threads, "OMP_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", STREAM, str(scenes[0].path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
        answers.add(run.stdout.strip())
    assert len(answers) == 1
