"""Many worlds as one batch: the same worlds as single environments, Gymnasium's NEXT_STEP contract, seeds and masks."""

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from inspatio_gym.envs.actions import CONTROLS
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.fake import FakeWorld
from inspatio_gym.scenes import Scene

SIZE = (48, 80)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write_box(folder / "box"), write_box(folder / "other", frames=20, name="other", metric=2.0)]


def make(scenes: list[Scene], num_envs: int, mode: str = "vector_entry_point", **arguments) -> gym.vector.VectorEnv:
    if mode == "sync" and "autoreset_mode" in arguments:
        arguments["vector_kwargs"] = {"autoreset_mode": arguments.pop("autoreset_mode")}
    return gym.make_vec(
        "InSpatio-v0",
        num_envs=num_envs,
        vectorization_mode=mode,
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
        if isinstance(value, dict):
            same(value, b[key])
        elif key == "final_obs":
            for ours, theirs in zip(value, b[key], strict=True):
                assert (ours is None) == (theirs is None)
                same(ours or {}, theirs or {})
        else:
            assert np.array_equal(value, b[key]), key


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("model", "control"), [*(("fake", control) for control in CONTROLS), ("warp", "free")])
def test_it_is_gymnasiums_sync_vector_env_but_batched(scenes, model, control, mode):
    """The same spaces, observations, rewards, ends and infos over many episodes, world by world and bit by bit."""
    ours, theirs = (
        make(scenes, 5, kind, model=model, control=control, autoreset_mode=mode, ends="end")
        for kind in ("vector_entry_point", "sync")
    )
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] is mode
    for result, expected in zip(ours.reset(seed=7), theirs.reset(seed=7), strict=True):
        same(result, expected)
    ours.action_space.seed(0)
    ends = 0
    for _ in range(25):
        actions = ours.action_space.sample()
        results = ours.step(actions)
        for result, expected in zip(results, theirs.step(actions), strict=True):
            if isinstance(result, dict):
                same(result, expected)
            else:
                assert result.dtype == expected.dtype
                assert (result == expected).all()
        ended = results[2] | results[3]
        ends += ended.sum()
        if mode is AutoresetMode.DISABLED and ended.any():
            fresh = [envs.reset(options={"reset_mask": ended.copy()}) for envs in (ours, theirs)]
            for result, expected in zip(*fresh, strict=True):
                same(result, expected)
    assert ends >= 5


def test_a_world_is_the_same_in_any_slot_and_any_batch(scenes):
    alone, many = make(scenes, 1), make(scenes, 6)
    single = gym.make("InSpatio-v0", scene=scenes, model="fake", size=SIZE)
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (10, 7)).astype(np.float32)
    first, _ = single.reset(seed=14)
    alone.reset(seed=[14])
    batch, _ = many.reset(seed=[1, 2, 3, 4, 14, 6])
    same({k: v[4] for k, v in batch.items()}, first)
    for action in actions:
        expected, reward, *_ = single.step(action)
        one, rewards, *_ = alone.step(action[None])
        batch, batch_rewards, *_ = many.step(np.repeat(action[None], 6, 0))
        same({k: v[0] for k, v in one.items()}, expected)
        same({k: v[4] for k, v in batch.items()}, expected)
        assert rewards[0] == batch_rewards[4] == reward


def test_one_model_call_a_step_for_all_worlds(scenes):
    model = Counter()
    envs = make(scenes, 4, model=model, max_episode_steps=2)
    envs.reset(seed=0)
    for _ in range(4):
        envs.step(np.zeros((4, 7), np.float32))
    assert model.started == [4, 4]  # the reset, and the autoreset after the second step
    assert model.stepped == [4, 4, 4]


def test_next_step_autoreset_ignores_the_action_and_starts_anew(scenes):
    envs = make(scenes, 3, max_episode_steps=2)
    envs.reset(seed=0)
    hold = np.zeros((3, 7), np.float32)
    assert not envs.step(hold)[3].any()
    *_, truncations, infos = envs.step(hold)
    assert truncations.all()
    assert list(infos["truncated_reason"]) == ["time limit"] * 3
    _observations, rewards, terminations, truncations, infos = envs.step(np.full((3, 7), np.nan, np.float32))
    assert not rewards.any()
    assert not terminations.any()
    assert not truncations.any()
    assert "truncated_reason" not in infos
    assert (infos["rotation_deg"] == 0).all()
    assert not envs.step(hold)[3].any()
    assert envs.step(hold)[3].all()


def test_same_step_autoreset_brings_the_last_observation_and_the_first(scenes):
    envs, twin = make(scenes, 3, max_episode_steps=2, autoreset_mode="SameStep"), make(scenes, 3, max_episode_steps=2)
    hold = np.zeros((3, 7), np.float32)
    for one in (envs, twin):
        one.reset(seed=0)
        one.step(hold)
    first, rewards, _, truncations, infos = envs.step(hold)
    last, expected, *_, old = twin.step(hold)
    fresh, *_ = twin.step(hold)
    assert truncations.all()
    assert (rewards == expected).all()
    same(first, fresh)
    for k in range(3):
        same(infos["final_obs"][k], {key: value[k] for key, value in last.items()})
    same(infos["final_info"], old)
    assert list(infos["final_info"]["truncated_reason"]) == ["time limit"] * 3
    assert (infos["rotation_deg"] == 0).all()


def test_disabled_autoreset_waits_for_a_reset(scenes):
    envs = make(scenes, 3, max_episode_steps=1, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    hold = np.zeros((3, 7), np.float32)
    assert envs.step(hold)[3].all()
    envs.reset(options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(ResetNeeded, match=r"got \[1\], which have ended"):
        envs.step(hold)
    envs.step_slots([0, 2], hold[:2])  # nobody had moved, and the others may


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


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_worlds_that_step_by_turns_are_the_worlds_that_step_together(scenes, mode):
    envs, twin = (make(scenes, 4, max_episode_steps=3, autoreset_mode=mode).unwrapped for _ in range(2))
    for one in (envs, twin):
        one.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(8):
        actions = generator.uniform(-0.2, 0.2, (4, 7)).astype(np.float32)
        together, ended = twin.step(actions), np.zeros(4, bool)
        for k in generator.permutation(4):
            observation, rewards, terminations, truncations, _ = envs.step_slots([k], actions[[k]])
            same({key: value[0] for key, value in observation.items()}, {key: v[k] for key, v in together[0].items()})
            got = (rewards[0], terminations[0], truncations[0])
            assert got == tuple(part[k] for part in together[1:4])
            ended[k] = terminations[0] | truncations[0]
        if mode is AutoresetMode.DISABLED and ended.any():
            for one in (envs, twin):
                one.reset(options={"reset_mask": ended})


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


def test_seeds(scenes):
    a, b, c = (make(scenes, 3) for _ in range(3))
    first, _ = a.reset(seed=5)
    same(b.reset(seed=[5, 6, 7])[0], first)
    assert a.np_random_seed == (5, 6, 7)
    c.reset(seed=[None, 6, None])
    assert c.np_random_seed[1] == 6
    same(c.reset(seed=np.array([5, 6, 7]))[0], first)
    after_a, after_b = a.reset()[0], b.reset()[0]  # no seed: the worlds go on with their own numbers
    same(after_a, after_b)
    assert any((after_a[key] != first[key]).any() for key in first)
    assert len({tuple(pose) for pose in first["pose"]}) == 3  # worlds of one batch differ


def test_a_mask_resets_some_worlds_and_leaves_the_others(scenes):
    envs, twin = make(scenes, 4), make(scenes, 4)
    actions = np.random.default_rng(1).uniform(-0.1, 0.1, (6, 4, 7)).astype(np.float32)
    for one in (envs, twin):
        one.reset(seed=3)
        before = one.step(actions[0])[0]
    mask = np.array([False, True, False, True])
    observations, infos = envs.reset(options={"reset_mask": mask, "time": 0.25})
    for key in before:
        assert (observations[key][~mask] == before[key][~mask]).all()
    assert (infos["_source_time"] == mask).all()
    assert infos["source_time"][mask] == pytest.approx(0.25)
    for action in actions[1:]:
        a, b = envs.step(action), twin.step(action)
        assert (a[0]["rgb"][~mask] == b[0]["rgb"][~mask]).all()
        assert (a[1][~mask] == b[1][~mask]).all()


def test_returned_arrays_are_fresh(scenes):
    envs = make(scenes, 2)
    observations, _infos = envs.reset(seed=0)
    kept = {key: value.copy() for key, value in observations.items()}
    envs.step(np.ones((2, 7), np.float32) * 0.3)
    same(observations, kept)
    for array in observations.values():
        array[...] = 0
    same(envs.reset(seed=0)[0], kept)


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
    with pytest.raises(ValueError, match=r"expected 3 seeds.*got 2"):
        envs.reset(seed=[1, 2])
    for mask in ([True, False, True], np.ones(3), np.ones(2, bool)):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="at least one world"):
        envs.reset(options={"reset_mask": np.zeros(3, bool)})
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
