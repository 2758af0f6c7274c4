"""A world that raises is truncated with the reason; its neighbours do not notice, and its next episode is a new one."""

from itertools import count

import numpy as np
import pytest
from box_room import write_box
from gymnasium.vector import AutoresetMode

from inspatio_gym.envs.quarantine import WorldLost
from inspatio_gym.envs.tasks.explore import Explore
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.fake import FakeWorld
from inspatio_gym.scenes import Scene

SIZE = (48, 80)
VICTIM = 2  # of 4 worlds


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box")


def make(scene, **arguments) -> InSpatioVectorEnv:
    return InSpatioVectorEnv(4, **{"scene": scene, "model": "fake", "size": SIZE, "max_faults": 3, **arguments})


def cursed(where: str, third: int = 3):
    """A maker of tasks: that of the victim raises in the method `where` when it is called for the third time."""
    made = count()

    class Task(Explore):
        def __init__(self):
            self.left = third if next(made) == VICTIM + 1 else -1  # the first one that is made shows the spaces

    def fails(self, *arguments):
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("the task\n is wrong")
        return getattr(Explore, where)(self, *arguments)

    setattr(Task, where, fails)
    return Task


class Brittle(FakeWorld):
    """A model whose batched call breaks half way, when everybody's session has moved, over one session."""

    def __init__(self, steps: int):
        super().__init__(render_size=SIZE)
        self.steps, self.victim = steps, None

    def start(self, scenes, keys, requests):
        sessions, blocks = super().start(scenes, keys, requests)
        if len(keys) == 4:
            self.victim = sessions[VICTIM].key
        return sessions, blocks

    def step(self, sessions, requests):
        blocks = super().step(sessions, requests)
        if any(session.key == self.victim and session.frames > 1 + 12 * self.steps for session in sessions):
            raise IndexError("no such token")
        return blocks


FAULTS = {
    "a task's step": (lambda: {"task": cursed("step")}, "ZeroDivisionError: the task is wrong", 3),
    "a task's observation": (lambda: {"task": cursed("observation")}, "ZeroDivisionError: the task is wrong", 2),
    "a task's metrics": (lambda: {"task": cursed("metrics", 4)}, "ZeroDivisionError: the task is wrong", 2),
    "the model": (lambda: {"model": Brittle(2)}, "IndexError: no such token", 3),
}


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_world_that_raises_is_truncated_and_its_neighbours_go_on(scene, fault, mode):
    arguments, reason, when = FAULTS[fault]
    ours, theirs = make(scene, autoreset_mode=mode, **arguments()), make(scene, autoreset_mode=mode)
    neighbours = [k for k in range(4) if k != VICTIM]
    last, _ = ours.reset(seed=0)
    theirs.reset(seed=0)
    ours.action_space.seed(0)
    for t in range(1, when + 3):
        action = 0.1 * ours.action_space.sample()
        if mode is AutoresetMode.DISABLED and t == when + 1:
            again, info = ours.reset(options={"reset_mask": np.arange(4) == VICTIM})
            assert all((again[key][neighbours] == last[key][neighbours]).all() for key in last)
            assert info["_coverage"].tolist() == [False, False, True, False]
        seen, rewards, terminations, truncations, infos = ours.step(action)
        expected = theirs.step(action)
        for key, value in expected[0].items():
            assert (seen[key][neighbours] == value[neighbours]).all()
        assert (rewards[neighbours] == expected[1][neighbours]).all()
        assert truncations.tolist() == [k == VICTIM and t == when for k in range(4)]
        assert not terminations.any()
        if t == when:
            assert rewards[VICTIM] == 0
            if mode is AutoresetMode.SAME_STEP:
                assert infos["final_info"]["truncated_reason"][VICTIM] == f"quarantined: {reason}"
                shown = infos["final_obs"][VICTIM]
            else:
                assert infos["truncated_reason"][VICTIM] == f"quarantined: {reason}"
                shown = {key: value[VICTIM] for key, value in seen.items()}
            assert all((shown[key] == value[VICTIM]).all() for key, value in last.items())
        last = {key: value.copy() for key, value in seen.items()}
        for array in seen.values():
            array[...] = 0  # the caller's
    assert ours.quarantines == 1


def test_without_faults_allowed_what_a_world_raises_reaches_the_caller(scene):
    envs = make(scene, task=cursed("step"), max_faults=0)
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.zeros((4, 7)))
    with pytest.raises(ZeroDivisionError):
        envs.step(np.zeros((4, 7)))


class Hopeless(Explore):
    """Raises at its second step, in every episode."""

    def reset(self, moment, rng):
        super().reset(moment, rng)
        self.t = 0

    def step(self, moment):
        self.t += 1
        if self.t == 2:
            raise KeyError("goal")
        return super().step(moment)


def test_a_world_that_raises_in_every_episode_is_an_error_in_the_end(scene):
    envs = make(scene, task=Hopeless, max_faults=2, autoreset_mode="SameStep")
    envs.reset(seed=0)
    for _ in range(5):
        envs.step(np.zeros((4, 7)))
    with pytest.raises(WorldLost, match=r"world 0 .* raised 3 times in a row, the last time KeyError: 'goal'") as lost:
        envs.step(np.zeros((4, 7)))
    assert isinstance(lost.value.__cause__, KeyError)


def test_an_episode_that_ends_otherwise_sets_the_count_back(scene):
    made = count()

    class Now(Hopeless):
        """Raises in every other episode."""

        def reset(self, moment, rng):
            super().reset(moment, rng)
            self.t = 0 if next(made) // 4 % 2 else 9

    envs = make(scene, task=Now, max_faults=1, autoreset_mode="SameStep", max_episode_steps=2)
    envs.reset(seed=0)
    for _ in range(12):
        envs.step(np.zeros((4, 7)))
    assert envs.quarantines == 12


def test_a_reset_that_raises_is_drawn_anew_until_it_is_an_error(scene):
    fates = count()

    class Unborn(Explore):
        patience = 2

        def reset(self, moment, rng):
            if next(fates) < self.patience:
                raise OSError("the file is broken")
            super().reset(moment, rng)

    envs = make(scene, task=Unborn)
    observations, infos = envs.reset(seed=0)
    assert envs.quarantines == 2
    assert infos["_coverage"].all()
    assert (observations["rgb"].reshape(4, -1).max(1) > 0).all()
    Unborn.patience = 10**9
    with pytest.raises(WorldLost, match="4 times in a row, the last time OSError: the file is broken"):
        envs.reset()
    with pytest.raises(OSError, match="broken"):  # the options may be to blame
        envs.reset(options={"time": 0.1})


def test_a_world_in_quarantine_may_be_kept_and_forked(scene):
    envs = make(scene, task=cursed("step", 2), autoreset_mode="Disabled")
    envs.reset(seed=0)
    envs.step(np.zeros((4, 7)))
    seen, *_ = envs.step(np.full((4, 7), 0.1))
    restored = envs.restore(0, envs.snapshot(VICTIM))
    envs.fork(VICTIM, [1])
    fresh, _ = envs.reset(options={"reset_mask": np.arange(4) == VICTIM})
    for key, value in restored.items():
        assert (value == seen[key][VICTIM]).all()
        assert (fresh[key][:2] == seen[key][VICTIM]).all()
    again, _ = envs.reset(options={"reset_mask": np.arange(4) < 2})
    for key, value in again.items():
        assert (value[:3] == fresh[key][VICTIM]).all()  # the same random numbers
