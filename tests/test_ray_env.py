"""Worlds in Ray actors, whatever happens to the actors; what every vector environment keeps is in `test_vector_contract`."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from box_room import write_box
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode

from inspatio_gym import envs as house
from inspatio_gym.envs.quarantine import WorldLost
from inspatio_gym.envs.tasks.explore import Explore
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.processes import descendants, gone
from inspatio_gym.scenes import Scene

ray = pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parent.parent
SIZE = (48, 80)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """A Ray that was there before. Its workers do not find this file, so its classes travel by value."""
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write_box(folder / "box"), write_box(folder / "other", frames=20, name="other", metric=2.0)]


@pytest.fixture
def pair(scenes: list[Scene]) -> Iterator:
    """Makes the same worlds twice: in actors, and in this process."""
    made = []

    def make(num_envs: int, num_actors: int, task=("explore", "explore"), ray_only=(), **arguments):
        arguments = {"scene": scenes, "model": "fake", "size": SIZE, "max_episode_steps": 5, **arguments}
        ours = house.RayVectorEnv(
            "InSpatio-v0", num_envs, num_actors=num_actors, task=task[0], **dict(ray_only), **arguments
        )
        made.append(ours)
        return ours, InSpatioVectorEnv(num_envs, task=task[1], **arguments)

    yield make
    for envs in made:
        envs.close()


class Fated(Explore):
    """Explore, until a file appears among the `omens`: the first world to see it takes it away, and meets its fate."""

    def __init__(self, omens: Path):
        self._omens = omens

    def step(self, moment):
        for omen in sorted(self._omens.glob("*")):
            try:
                omen.unlink()
            except FileNotFoundError:  # somebody else's
                continue
            if omen.name.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if omen.name == "sleep":
                time.sleep(120)
            raise ArithmeticError("the stars are wrong")
        return super().step(moment)


@pytest.fixture
def fated(tmp_path: Path):
    """A task with omens, its twin without any, and the folder of the omens."""
    omens = tmp_path / "omens"
    omens.mkdir()
    return (partial(Fated, omens), partial(Fated, tmp_path / "none")), omens


def equal(results, expected) -> None:
    """Assert that what two environments returned is equal, bit for bit and type by type."""
    for ours, theirs in zip(results, expected, strict=True):
        same(ours, theirs)


def same(ours, theirs) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            same(ours[key], value)
    elif np.ndim(theirs) and np.asarray(theirs).dtype.kind == "O":
        equal(ours, theirs)
    else:
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        assert np.array_equal(ours, theirs)


def kill(pid: int) -> None:
    """End a process and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    assert gone([pid])


def sampled(envs, steps: int, seed: int = 0) -> np.ndarray:
    """Random actions, (steps, num_envs, ...)."""
    envs.action_space.seed(seed)
    return np.array([envs.action_space.sample() for _ in range(steps)])


@pytest.mark.parametrize(("num_actors", "elsewhere"), [(1, True), (3, False)])
def test_it_is_the_environment_of_one_process(pair, monkeypatch, num_actors, elsewhere):
    """The same names, frames, pictures and random numbers too, over several episodes, whichever way answers go."""
    if elsewhere:  # as if the actor were on another machine
        monkeypatch.setattr("inspatio_gym.envs.ray_mail.SHARED", Path("/nowhere"))
    worlds = {"model": "warp", "include_frames": True, "frames_per_step": 2, "render_mode": "grid"}
    ours, theirs = pair(5, num_actors, autoreset_mode=AutoresetMode.SAME_STEP, **worlds)
    assert ours.metadata == theirs.metadata
    assert ours.action_names == theirs.action_names
    equal(ours.reset(seed=7), theirs.reset(seed=7))
    ends = 0
    for actions in sampled(theirs, 13):
        results = ours.step(actions)
        equal(results, theirs.step(actions))
        ends += (results[2] | results[3]).sum()
    assert ends >= 10
    assert ours.single_observation_space == theirs.single_observation_space  # still
    assert ours.single_action_space == theirs.single_action_space
    assert (ours.render() == theirs.render()).all()
    for mine, twin in zip(ours.np_random, theirs.np_random, strict=True):
        assert mine.bit_generator.state == twin.bit_generator.state


def test_snapshots_and_forks_cross_from_actor_to_actor(pair, scenes):
    ours, theirs = pair(4, 2, scene=scenes[0])
    ours.reset(seed=0)
    theirs.reset(seed=0)
    elsewhere = {"options": {"scene": scenes[1].path, "reset_mask": np.array([True, False, False, False])}}
    equal(ours.reset(**elsewhere), theirs.reset(**elsewhere))  # a scene that the other actor has never seen
    actions = sampled(theirs, 8)
    for one in (ours, theirs):
        one.step(actions[0])
        one.fork(0, [1, 3])
    kept = theirs.snapshot(3)
    same(ours.restore(2, ours.snapshot(3)), theirs.restore(2, kept))
    kill(ours.actor_pids[1])
    for action in actions[1:]:
        equal(ours.step(action), theirs.step(action))


def test_what_the_caller_does_to_his_arrays_afterwards_changes_no_log(pair):
    ours, theirs = pair(4, 1)
    ours.reset(seed=0)
    theirs.reset(seed=0)
    mask, pose = np.array([True, False, True, False]), np.array([0.1, 0, 0, 1, 0, 0, 0])
    again = {"options": {"reset_mask": mask, "pose": pose}}
    equal(ours.reset(**again), theirs.reset(**again))
    snapshots = [envs.snapshot(0) for envs in (ours, theirs)]
    for envs, snapshot in zip((ours, theirs), snapshots, strict=True):
        envs.restore(1, snapshot)
    actions = sampled(theirs, 2)
    equal(ours.step(actions[0]), theirs.step(actions[0]))
    for array in (mask, pose, snapshots[0]["rgb"], snapshots[0]["task"]["seen"]):
        array[:] = 1
    actions[0] = 0
    kill(ours.actor_pids[0])
    equal(ours.step(actions[1]), theirs.step(actions[1]))


def test_bad_input_is_refused_in_the_same_words_and_moves_no_world(pair):
    ours, theirs = pair(4, 2)
    with pytest.raises(ResetNeeded, match="got step"):
        ours.step(np.zeros((4, 7)))
    for one in (ours, theirs):
        one.reset(seed=0)
    actions = sampled(theirs, 2)
    bad = actions[0].copy()
    bad[3, 3] = np.nan
    for verb, *arguments in (
        ("step", bad),
        ("step", actions[0, :2]),
        ("step_slots", [0, 0], actions[0, :2]),
        ("snapshot", 7),
        ("fork", 1, [1]),
        ("restore", 0, {}),
    ):
        with pytest.raises(ValueError, match="expected") as theirs_says:
            getattr(theirs, verb)(*arguments)
        with pytest.raises(ValueError, match="expected") as ours_says:
            getattr(ours, verb)(*arguments)
        assert str(ours_says.value) == str(theirs_says.value)
    equal(ours.step(actions[0]), theirs.step(actions[0]))
    # Some worlds draw the scene in which this moment is, others the one in which it is not.
    before = [generator.bit_generator.state for generator in ours.np_random]
    with pytest.raises(ValueError, match="expected"):
        ours.reset(options={"time": 1.2})
    assert [generator.bit_generator.state for generator in ours.np_random] == before
    equal(ours.step(actions[1]), theirs.step(actions[1]))


def test_an_exception_in_a_task_reaches_the_caller_and_moves_no_world(pair, fated):
    task, omens = fated
    ours, theirs = pair(4, 2, task=task, ray_only={"max_faults": 0})
    equal(ours.reset(seed=0), theirs.reset(seed=0))
    pids = ours.actor_pids
    for action in sampled(theirs, 4):
        (omens / "raise").touch()
        with pytest.raises(ArithmeticError, match="the stars are wrong"):
            ours.step(action)
        equal(ours.step(action), theirs.step(action))
    assert ours.actor_pids == pids


def test_a_quarantine_survives_the_death_of_its_actor(pair, fated):
    """What raised once raises no more when the log is replayed, and still the world is where the caller was told."""
    task, omens = fated
    ours, theirs = pair(4, 2, task=task)
    ours.reset(seed=1)
    theirs.reset(seed=1)
    actions = 0.1 * sampled(theirs, 3)
    equal(ours.step(actions[0]), theirs.step(actions[0]))
    (omens / "raise").touch()
    seen, rewards, _, truncations, infos = ours.step(actions[1])
    (victim,) = np.flatnonzero(truncations)
    assert infos["truncated_reason"][victim] == "quarantined: ArithmeticError: the stars are wrong"
    assert rewards[victim] == 0
    others = [k for k in range(4) if k != victim]
    expected = theirs.step(actions[1])
    assert (seen["rgb"][others] == expected[0]["rgb"][others]).all()
    for pid in ours.actor_pids:
        kill(pid)
    fresh, _, _, truncations, infos = ours.step(actions[2])  # the victim's next episode begins
    assert not truncations.any()
    assert infos["_explored"].all()
    assert (fresh["time"][victim, 1], infos["path_length"][victim]) == (0, 0)
    expected = theirs.step(actions[2])
    assert (fresh["rgb"][others] == expected[0]["rgb"][others]).all()


def test_a_world_that_keeps_raising_ends_with_the_cause_and_its_number(pair, fated):
    task, omens = fated
    ours, _ = pair(4, 2, task=task, ray_only={"max_faults": 1}, autoreset_mode=AutoresetMode.SAME_STEP)
    ours.reset(seed=1)
    still = np.zeros((1, 7))
    (omens / "raise").touch()
    ours.step_slots([2], still)
    (omens / "raise").touch()
    with pytest.raises(WorldLost, match=r"world 2 .* raised 2 times in a row.*ArithmeticError: the stars are wrong"):
        ours.step_slots([2], still)


def test_actors_may_be_killed_at_any_moment(pair, fated):
    """Between steps, in the middle of one, twice in a row, all at once: the caller sees a delay and nothing else."""
    task, omens = fated
    ours, theirs = pair(4, 2, task=task, ray_only={"snapshot_every": 3}, model="warp")
    equal(ours.reset(seed=1), theirs.reset(seed=1))
    for k, action in enumerate(sampled(theirs, 14)):
        pids = ours.actor_pids
        if k == 4:
            kill(pids[0])
        if k == 7:
            (omens / "die in this step").touch()
            (omens / "die while it is made good").touch()
        if k == 10:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        equal(ours.step(action), theirs.step(action))
        assert (ours.actor_pids != pids) == (k in (4, 7, 10))
        if k in (5, 9):
            mask = {"options": {"reset_mask": np.array([False, True, True, False])}}
            equal(ours.reset(**mask), theirs.reset(**mask))
    assert not list(omens.iterdir())


def test_an_actor_that_dies_at_every_start_gives_up_with_the_cause(scenes):
    def deadly():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(
        RuntimeError, match=r"(?s)worlds 0 to 1 .* died 2 times in a row.*worker process has died"
    ) as failure:
        house.RayVectorEnv("InSpatio-v0", 2, scene=scenes, model="fake", task=deadly, max_restarts=1)
    assert isinstance(failure.value.__cause__, ray.exceptions.RayActorError)
    assert ray.is_initialized()


def test_whoever_hangs_is_not_waited_for_beyond_the_timeout(pair, fated):
    task, omens = fated
    ours, theirs = pair(2, 1, task=task)
    equal(ours.reset(seed=0), theirs.reset(seed=0))
    actions = sampled(theirs, 2)
    (omens / "sleep").touch()
    ours._timeout_s = 0.5
    with pytest.raises(TimeoutError, match=r"within 0\.5 s, got none from worlds 0 to 1"):
        ours.step(actions[0])
    ours._timeout_s = 60
    for action in actions:
        equal(ours.step(action), theirs.step(action))


def test_whoever_is_ready_is_received_first(pair, fated):
    task, omens = fated
    ours, theirs = pair(4, 2, task=task, ray_only={"max_faults": 0})
    ours.reset(seed=0)
    theirs.reset(seed=0)
    actions = sampled(theirs, 4)
    with pytest.raises(RuntimeError, match="nothing under way"):
        ours.recv()
    ours.send(actions[0])
    seen = []
    while len(seen) < 4:
        worlds, results = ours.recv()
        assert worlds.tolist() in ([0, 1], [2, 3])
        equal(results, theirs.step_slots(worlds, actions[0, worlds]))
        seen += worlds.tolist()
    kill(ours.actor_pids[1])
    ours.send(actions[1, [3, 2]], [3, 2])  # has to be started again first
    with pytest.raises(RuntimeError, match=r"idle, got those of worlds 2 to 3: call envs.recv\(\) first"):
        ours.step(actions[1])
    ours.send(actions[1, :2], [0, 1])
    for expected in ([0, 1], [3, 2]):
        worlds, results = ours.recv()
        assert worlds.tolist() == expected
        equal(results, theirs.step_slots(worlds, actions[1, worlds]))
    (omens / "raise").touch()
    ours.send(actions[2])
    with pytest.raises(ArithmeticError):
        ours.recv(min_ready=4)
    worlds, results = ours.recv(min_ready=4)  # those of the other actor
    equal(results, theirs.step_slots(worlds, actions[2, worlds]))
    others = [k for k in range(4) if k not in worlds]
    equal(ours.step_slots(others, actions[3, others]), theirs.step_slots(others, actions[3, others]))


def test_close_ends_the_actors_and_leaves_a_ray_that_was_there(pair):
    ours, _ = pair(2, 2)
    pids = ours.actor_pids
    ours.close()
    assert gone(pids)
    assert ray.is_initialized()
    with pytest.raises(ClosedEnvironmentError):
        ours.reset()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_actors": 3}, r"num_actors in 1\.\.2"),
        ({"num_actors": 0}, r"num_actors in 1\.\.2"),
        ({"snapshot_every": 0}, "snapshot_every of at least 1"),
        ({"timeout_s": 0}, "timeout_s above 0"),
        ({"model": object()}, "expected a model's name"),
        ({"size": (1, 1)}, "at least 16 pixels"),
        ({"colour": "red"}, "expected keyword arguments out of"),
    ],
)
def test_arguments_out_of_range_say_what_was_expected(scenes, arguments, expected):
    with pytest.raises((ValueError, TypeError), match=expected):
        house.RayVectorEnv("InSpatio-v0", 2, **{"scene": scenes, "model": "fake", "size": SIZE, **arguments})


SCRIPT = """
import sys, numpy as np, ray
from inspatio_gym.envs import RayVectorEnv

def main():
    make = lambda: RayVectorEnv("InSpatio-v0", 2, num_actors=1, scene=sys.argv[1], model="fake", size=(48, 80))
    envs, others = make(), make()
    envs.close()
    others.reset(seed=0)  # a Ray that somebody else uses stays
    try:
        print("stepping", flush=True)
        while True:
            others.step(np.zeros((2, 7), np.float32))
    except KeyboardInterrupt:
        others.step(np.zeros((2, 7), np.float32))
        others.close()
        print("still there" if ray.is_initialized() else "closed", flush=True)
        input()
        raise

main()
"""


def test_a_local_ray_ends_with_whom_it_was_started_for_even_when_interrupted(scenes):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(scenes[0].path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watchdog = threading.Timer(120, process.kill)  # in case it hears nothing
    watchdog.daemon = True
    watchdog.start()
    assert process.stdout.readline() == "stepping\n", process.communicate()
    started = descendants(process.pid)
    assert started
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "closed\n", process.communicate()
    assert gone(started)
    _, complaints = process.communicate("\n", timeout=30)
    assert complaints.rstrip().endswith("KeyboardInterrupt")
