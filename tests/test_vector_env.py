"""Many worlds in one process as one batch; what every vector environment keeps is in `test_vector_contract`."""

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.error import ResetNeeded

from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.fake import FakeWorld
from inspatio_gym.scenes import Scene

SIZE = (48, 80)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write_box(folder / "box"), write_box(folder / "other", frames=20, name="other", metric=2.0)]


def make(scenes: list[Scene], num_envs: int, **arguments) -> gym.vector.VectorEnv:
    return gym.make_vec(
        "InSpatio-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        **{"scene": scenes, "model": "fake", "size": SIZE, **arguments},
    )


class Counter(FakeWorld):
    """A fake world that remembers how many sessions every call was for."""

    def __init__(self) -> None:
        super().__init__(render_size=SIZE)
        self.started: list[int] = []
        self.stepped: list[int] = []

    def start(self, scenes, keys, requests):
        self.started.append(len(scenes))
        sessions, blocks = super().start(scenes, keys, requests)
        self.stepped.pop()
        return sessions, blocks

    def step(self, sessions, requests):
        self.stepped.append(len(sessions))
        return super().step(sessions, requests)


def same(a, b) -> None:
    """Assert that two observations or infos are equal, bit for bit."""
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert np.array_equal(value, b[key]), key


def test_one_model_call_a_step_for_all_worlds(scenes):
    model = Counter()
    envs = make(scenes, 4, model=model, max_episode_steps=2)
    envs.reset(seed=0)
    for _ in range(4):
        envs.step(np.zeros((4, 7), np.float32))
    assert model.started == [4, 4]  # the reset, and the autoreset after the second step
    assert model.stepped == [4, 4, 4]


def test_some_worlds_step_while_the_others_cost_nothing(scenes):
    model = Counter()
    envs, twin = make(scenes, 5, model=model), make(scenes, 5)
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (5, 7)).astype(np.float32)
    for one in (envs, twin):
        one.reset(seed=3)
    expected = twin.step(actions)
    chosen = np.array([4, 1])
    results = envs.unwrapped.step_slots(chosen, actions[chosen])
    assert model.stepped == [2]
    same(results[0], {key: value[chosen] for key, value in expected[0].items()})
    same(results[4], {key: value[chosen] for key, value in expected[4].items()})
    for result, all_of_them in zip(results[1:4], expected[1:4], strict=True):
        assert (result == all_of_them[chosen]).all()
    rest = np.array([0, 2, 3])
    same(envs.unwrapped.step_slots(rest, actions[rest])[0], {key: value[rest] for key, value in expected[0].items()})


@pytest.mark.parametrize("model", ["fake", "warp"])
def test_a_snapshot_goes_into_any_world_of_any_batch(scenes, model):
    envs, other = make(scenes, 3, model=model, max_episode_steps=6).unwrapped, make(scenes, 2, model=model).unwrapped
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (8, 7)).astype(np.float32)
    envs.reset(seed=0)
    other.reset(seed=9)
    for action in actions[:2]:
        observations = envs.step(np.repeat(action[None], 3, 0))[0]
    kept = envs.snapshot(1)
    same(other.restore(0, kept), {key: value[1] for key, value in observations.items()})
    for action in actions[2:5]:
        expected, here = envs.step_slots([1], action[None]), other.step_slots([0], action[None])
        same(here[0], expected[0])
        assert here[1] == expected[1]
    same(envs.restore(2, kept), {key: value[1] for key, value in observations.items()})
    assert [bool(envs.step_slots([2], action[None])[3][0]) for action in actions[2:6]] == [False, False, False, True]


def test_a_single_environments_snapshot_goes_into_a_vector_environment(scenes):
    single, envs = gym.make("InSpatio-v0", scene=scenes, model="fake", size=SIZE), make(scenes, 2).unwrapped
    single.reset(seed=1)
    envs.reset(seed=5)
    observation = single.step(np.full(7, 0.1, np.float32))[0]
    same(envs.restore(1, single.unwrapped.snapshot()), observation)


def test_a_fork_is_the_same_world_until_it_is_told_otherwise(scenes):
    envs = make(scenes, 4, max_episode_steps=5).unwrapped
    envs.reset(seed=0)
    envs.step(np.full((4, 7), 0.1, np.float32))
    envs.fork(2, [0, 3])
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (9, 7)).astype(np.float32)
    before = envs.step_slots([1], actions[:1])[0]["pose"]
    for action in actions:  # over the end of the episode, whose successor is drawn from the same numbers
        observations, rewards, *_ = envs.step(np.repeat(action[None], 4, 0))
        for value in observations.values():
            assert (value[2] == value[0]).all()
            assert (value[2] == value[3]).all()
        assert rewards[0] == rewards[2] == rewards[3]
    assert (observations["pose"][1] != observations["pose"][2]).any()
    assert before.shape == (1, 7)
    envs.fork(2, [0])
    apart = envs.step_slots([0, 2], np.array([actions[0], -actions[0]]))[0]["pose"]
    assert (apart[0] != apart[1]).any()


def test_make_vec_passes_the_registered_time_limit(scenes):
    assert make(scenes, 2)._limit == 250
    assert make(scenes, 2, max_episode_steps=10)._limit == 10
    assert InSpatioVectorEnv(2, scene=scenes, model="fake", size=SIZE)._limit is None


def test_render_shows_every_world(scenes):
    envs = make(scenes, 3, render_mode="rgb_array", model="warp", render_size=(96, 160))
    envs.reset(seed=0)
    frames = envs.render()
    assert len(frames) == 3
    assert all(frame.shape == (96, 160, 3) and frame.dtype == np.uint8 for frame in frames)


def test_a_grid_shows_all_worlds_in_one_picture(scenes):
    envs = make(scenes, 5, render_mode="grid")
    observations, _ = envs.reset(seed=0)
    grid = envs.render()
    assert grid.shape == (3 * SIZE[0], 2 * SIZE[1], 3)
    for k, (row, col) in enumerate(np.ndindex(3, 2)):
        part = grid[row * SIZE[0] : (row + 1) * SIZE[0], col * SIZE[1] : (col + 1) * SIZE[1]]
        assert (part == (observations["rgb"][k] if k < 5 else 0)).all()


def test_bad_actions_move_no_world(scenes):
    envs, twin = make(scenes, 3), make(scenes, 3)
    for one in (envs, twin):
        one.reset(seed=0)
    actions = np.zeros((3, 7), np.float32)
    actions[:, 6] = 1
    bad = actions.copy()
    bad[2, 3] = np.nan
    with pytest.raises(ValueError, match="got yaw = nan"):
        envs.step(bad)
    for wrong in (actions[:2], np.zeros((4, 7)), 3, None):
        with pytest.raises(ValueError, match="expected 3 actions"):
            envs.step(wrong)
    same(envs.step(actions)[0], twin.step(actions)[0])


@pytest.mark.parametrize("bad", [{"time": 99.0}, {"scene": 1, "pose": np.eye(3)}, {"pose": "home"}])
def test_a_refused_reset_changes_no_world(scenes, bad):
    envs, twin = make(scenes, 3), make(scenes, 3)
    actions = np.zeros((3, 7), np.float32)
    actions[:, 6] = 0.5
    for one in (envs, twin):
        one.reset(seed=0)
        one.step(actions)
    with pytest.raises(ValueError, match="expected"):
        envs.reset(options=bad)
    with pytest.raises(ValueError, match="expected"):
        envs.reset(options={"reset_mask": np.array([False, True, True]), **bad})
    (ours, *_, info), (theirs, *_, expected) = envs.step(actions), twin.step(actions)
    same(ours, theirs)
    same(info, expected)


def test_frames_of_worlds_that_begin_and_of_worlds_that_go_on(scenes):
    """A world that begins shows the model's first frames, the others those of a step."""
    model = FakeWorld(render_size=SIZE, first_frames=9, block_frames=12)
    envs = make(scenes, 3, model=model, include_frames=True)
    *_, infos = envs.reset(seed=0)
    assert infos["frames"].shape == (3, 9, *SIZE, 3)
    *_, infos = envs.step(np.zeros((3, 7)))
    assert infos["frames"].shape == (3, 12, *SIZE, 3)
    envs._ended[1] = True
    *_, infos = envs.step(np.zeros((3, 7)))
    assert [frames.shape for frames in infos["frames"]] == [(12, *SIZE, 3), (9, *SIZE, 3), (12, *SIZE, 3)]


class Odd:
    """A task with an observation that is one number, and a metric that starts as an integer."""

    observation_spaces = {"goal": gym.spaces.Discrete(5)}  # noqa: RUF012

    def reset(self, moment, rng):
        self.goal, self.score = rng.integers(5), 0

    def step(self, moment):
        self.score += 0.5
        return 0.0, False

    def observation(self):
        return {"goal": self.goal}

    def metrics(self):
        return {"score": self.score}


def test_a_task_may_observe_one_number_and_count_in_fractions(scenes):
    envs = make(scenes, 4, task=Odd)
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert observations["goal"].tolist() == [slot.task.goal for slot in envs.unwrapped._slots]
    envs.step(np.zeros((4, 7)))
    envs.unwrapped._ended[0] = True
    *_, infos = envs.step(np.zeros((4, 7)))
    assert infos["score"].tolist() == [0, 1, 1, 1]
    *_, infos = envs.step(np.zeros((4, 7)))
    assert infos["score"].tolist() == [0.5, 1.5, 1.5, 1.5]


def test_bad_input_says_what_was_expected(scenes):
    envs = make(scenes, 3, render_mode="rgb_array")
    for call in (lambda: envs.step(np.zeros((3, 7))), envs.render):
        with pytest.raises(ResetNeeded):
            call()
    with pytest.raises(ResetNeeded, match=r"without \[1, 2\]"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    hold = np.zeros((2, 7), np.float32)
    for call in (lambda: envs.snapshot(0), lambda: envs.fork(0, [1])):
        with pytest.raises(ResetNeeded, match="expected reset"):
            call()
    envs.reset(seed=0)
    for indices in ([0, 0], [0, 3], [-1, 0]):
        with pytest.raises(ValueError, match=r"distinct worlds in 0\.\.2"):
            envs.step_slots(indices, hold)
    with pytest.raises(TypeError, match="numbers of worlds"):
        envs.step_slots([0, 1.5], hold)
    with pytest.raises(ValueError, match="other than the source 1"):
        envs.fork(1, [0, 1])
    for arguments in (
        {"num_envs": 0}, {"max_episode_steps": 0}, {"render_mode": "human"}, {"autoreset_mode": "sometimes"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            InSpatioVectorEnv(**{"num_envs": 2, "scene": scenes, "model": "fake", "size": SIZE, **arguments})
