"""The contract of vector environments, kept by every engine and told alike by every view of one.

    engines   single        worlds by themselves, under Gymnasium's own SyncVectorEnv: the measure of the others
              process       InSpatioVectorEnv
              1, 3 actors   RayVectorEnv
    views     what a learner is given: Gymnasium's verbs, with tensors or without, SB3's VecEnv, the episodes of
              RLlib's env runner, TorchRL's tensordicts

Worlds count (`counting`), so that what must come is known to the digit.
"""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.vector import AutoresetMode, VectorEnv

from inspatio_gym import envs as house
from inspatio_gym.envs.actions import CONTROLS
from inspatio_gym.scenes import Scene
from tests import counting
from tests.counting import END, GO, LIMIT, Counting, Transition, expected, policy

ENGINES = ("single", "process", "1 actor", "3 actors")
OURS = ENGINES[1:]
MODES = tuple(AutoresetMode)
SIZE = (48, 80)
COUNTING = {"task": Counting, "control": "rotation", "max_episode_steps": LIMIT, "min_coverage": 0.0}
Make = Callable[..., VectorEnv]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write_box(folder / "box"), write_box(folder / "other", frames=20, name="other", metric=2.0)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray for all; its workers do not find the tests, so that their classes travel by value."""
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=64, include_dashboard=False, log_to_driver=False)  # as many actors as are kept
    ray.cloudpickle.register_pickle_by_value(counting)
    yield
    ray.cloudpickle.unregister_pickle_by_value(counting)
    ray.shutdown()


@pytest.fixture(scope="module")
def make(scenes: list[Scene], request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes `num_envs` worlds by an engine. Actors take their time to start, so those of the same arguments are kept."""
    kept: dict[str, VectorEnv] = {}

    def make(engine: str, num_envs: int = 4, mode: AutoresetMode = AutoresetMode.NEXT_STEP, **arguments: Any):
        arguments = {"scene": scenes, "model": "fake", "size": SIZE, **arguments}
        if engine == "single":
            vector = {"vector_kwargs": {"autoreset_mode": mode}, "vectorization_mode": "sync"}
            return gym.make_vec("InSpatio-v0", num_envs, **vector, **arguments)
        if engine == "process":
            vector = {"autoreset_mode": mode, "vectorization_mode": "vector_entry_point"}
            return gym.make_vec("InSpatio-v0", num_envs, **vector, **arguments).unwrapped
        request.getfixturevalue("cluster")
        key = repr((engine, num_envs, mode, arguments))
        if key not in kept:
            kept[key] = house.RayVectorEnv(
                "InSpatio-v0", num_envs, num_actors=int(engine[0]), autoreset_mode=mode, **arguments
            )
        return kept[key]

    yield make
    for envs in kept.values():
        envs.close()


def equal(results, others) -> None:
    """Assert that what two environments returned is equal, bit for bit and type by type."""
    for ours, theirs in zip(results, others, strict=True):
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


def rows(observations, worlds) -> dict[str, np.ndarray]:
    return {key: value[worlds] for key, value in observations.items()}


def counted(observations) -> np.ndarray:
    """Episode and step, (..., 2)."""
    return observations["count"][..., 1:]


def sampled(envs: VectorEnv, steps: int) -> np.ndarray:
    """Random actions, (steps, num_envs, ...)."""
    envs.action_space.seed(0)
    return np.array([envs.action_space.sample() for _ in range(steps)])


# --- the same worlds by every engine ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "model", "control", "mode", "task"),
    [
        *(("process", "fake", control, mode, "explore") for control in CONTROLS for mode in MODES),
        *(("process", "warp", "free", mode, "explore") for mode in MODES),
        *(("process", "warp", "free", AutoresetMode.SAME_STEP, task) for task in ("goal", "goal-curriculum", "moment")),
        ("1 actor", "fake", "discrete", AutoresetMode.NEXT_STEP, "explore"),
        ("3 actors", "warp", "free", AutoresetMode.SAME_STEP, "explore"),
        ("3 actors", "fake", "free", AutoresetMode.NEXT_STEP, "goal"),
    ],
)
def test_every_engine_is_gymnasiums_own_vector_environment(make: Make, engine, model, control, mode, task):
    """The same spaces, seeds, observations, rewards, ends and infos over many episodes, bit by bit."""
    ours, theirs = (
        make(kind, 5, mode, ends="end", model=model, control=control, task=task) for kind in (engine, "single")
    )
    for space in ("single_observation_space", "observation_space", "single_action_space", "action_space"):
        assert getattr(ours, space) == getattr(theirs, space)
    assert ours.metadata["autoreset_mode"] is mode
    equal(ours.reset(seed=7), theirs.reset(seed=7))
    ends = 0
    for actions in sampled(theirs, 20):
        results = ours.step(actions)
        equal(results, theirs.step(actions))
        ended = results[2] | results[3]
        ends += ended.sum()
        if mode is AutoresetMode.DISABLED and ended.any():
            equal(*(envs.reset(options={"reset_mask": ended.copy()}) for envs in (ours, theirs)))
    assert ends >= 5


def test_a_world_is_the_same_whoever_has_it(make: Make, scenes: list[Scene]):
    """In slot 0 of 1, slot 7 of 16, on actor 2 of 3, on that actor's successor: bit for bit, over an autoreset."""
    arguments = {"model": "warp", "max_episode_steps": 6}
    here = {"seed": 14, "options": {"scene": 1}}
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (12, 7)).astype(np.float32)

    def told(envs: VectorEnv, slot: int, before: Callable[[int], None] = lambda k: None) -> list[Any]:
        """All that the world in `slot` shows, while its neighbours do something else."""
        seeds = [100 + k for k in range(envs.num_envs)]
        seeds[slot] = 14
        history = [rows(envs.reset(**here | {"seed": seeds})[0], slot)]
        for k, action in enumerate(actions):
            before(k)
            batch = np.random.default_rng(k).uniform(-1, 1, (envs.num_envs, 7)).astype(np.float32)
            batch[slot] = action
            observations, *rest, infos = envs.step(batch)
            history += [rows(observations, slot), *(part[slot] for part in rest), infos["c2w"][slot]]
        return history

    single = gym.make("InSpatio-v0", **{"scene": scenes, "size": SIZE, **arguments})
    history = [single.reset(**here)[0]]
    for k, action in enumerate(actions):
        if k == 6:
            observation, info = single.reset()
            history += [observation, np.float64(0), np.False_, np.False_, info["c2w"]]
        else:
            observation, reward, terminated, truncated, info = single.step(action)
            history += [observation, np.float64(reward), np.bool_(terminated), np.bool_(truncated), info["c2w"]]
    equal(told(make("process", 1, **arguments), 0), history)
    equal(told(make("process", 16, **arguments), 7), history)
    actors = make("3 actors", 6, **arguments)
    equal(told(actors, 5), history)

    def kill(k: int) -> None:
        if k in (3, 8):
            os.kill(actors.actor_pids[2], signal.SIGKILL)

    pid = actors.actor_pids[2]
    equal(told(actors, 5, kill), history)
    assert actors.actor_pids[2] != pid


# --- what comes at the end of an episode --------------------------------------------------------------------------------


# Worlds 0 to 3 turn, and so terminate, in step (never, 1, 3, 2) of every episode. What is observed after each step:
# episode, step, and a T for terminated or an L for the limit.
TABLES = {
    AutoresetMode.NEXT_STEP: """
        1.1    1.1T   1.1    1.1
        1.2    2.0    1.2    1.2T
        1.3L   2.1T   1.3TL  2.0
        2.0    3.0    2.0    2.1
        2.1    3.1T   2.1    2.2T
        """,
    AutoresetMode.SAME_STEP: """
        1.1    1.1T   1.1    1.1
        1.2    2.1T   1.2    1.2T
        1.3L   3.1T   1.3TL  2.1
        2.1    4.1T   2.1    2.2T
        2.2    5.1T   2.2    3.1
        """,
}
TABLES[AutoresetMode.DISABLED] = TABLES[AutoresetMode.SAME_STEP]  # they are reset between the steps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_comes_when_in_each_autoreset_mode(make: Make, engine, mode):
    envs = make(engine, mode=mode, **COUNTING)
    assert envs.metadata["autoreset_mode"] is mode
    observations, infos = envs.reset(seed=0)
    assert counted(observations).tolist() == [[1, 0]] * 4
    assert (infos["steps"] == 0).all()
    over = np.zeros(4, bool)
    for line in TABLES[mode].split("\n")[1:-1]:
        marks = line.split()
        seen = np.array([[float(number) for number in mark.strip("TL").split(".")] for mark in marks])
        terminates, truncates = (np.array([letter in mark for mark in marks]) for letter in "TL")
        ends = terminates | truncates
        turning = counted(observations)[:, 1] == (-1, 0, 2, 1)
        actions = np.where(turning[:, None], END, GO)
        if mode is AutoresetMode.NEXT_STEP:
            actions[over] = np.nan  # ignored, whatever it is
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        same(terminations, terminates)
        same(truncations, truncates)
        fresh = (seen[:, 1] == 0) | (ends if mode is AutoresetMode.SAME_STEP else False)
        same(rewards, np.where(seen[:, 1] == 0, 0.0, 100 * seen[:, 0] + seen[:, 1]))
        if mode is AutoresetMode.SAME_STEP:
            assert counted(observations)[ends].tolist() == [[episode + 1, 0] for episode, _ in seen[ends]]
            assert ("final_obs" in infos) == ("final_info" in infos) == ends.any()
            for k in np.flatnonzero(ends):
                assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == ends.tolist()
                assert counted(infos["final_obs"][k]).tolist() == seen[k].tolist()
                assert infos["final_info"]["steps"][k] == seen[k, 1]
        else:
            assert counted(observations).tolist() == seen.tolist()
        assert infos["steps"].tolist() == np.where(fresh, 0, seen[:, 1]).tolist()
        if engine != "single":  # whose limit is a wrapper's, which gives no reason
            last = infos.get("final_info", infos if mode is not AutoresetMode.SAME_STEP else {})
            said = last.get("truncated_reason", [None] * 4)
            assert list(said) == ["time limit" if truncated else None for truncated in truncates]
        if mode is AutoresetMode.DISABLED and ends.any():
            stay = rows(observations, ~ends)
            observations, _ = envs.reset(options={"reset_mask": ends.copy()})
            assert counted(observations)[ends].tolist() == [[episode + 1, 0] for episode, _ in seen[ends]]
            same(rows(observations, ~ends), stay)
        over = ends


@pytest.mark.parametrize("engine", OURS)
def test_a_world_that_waits_for_a_reset_is_not_stepped(make: Make, engine):
    envs = make(engine, mode=AutoresetMode.DISABLED, **COUNTING)
    envs.reset(seed=0)
    assert envs.step(np.stack([GO, END, GO, GO]))[2].tolist() == [False, True, False, False]
    with pytest.raises(gym.error.ResetNeeded, match=r"got \[1\], which have ended"):
        envs.step(np.repeat(GO[None], 4, 0))
    others = [0, 2, 3]
    assert envs.step_slots(others, np.repeat(GO[None], 3, 0))[0]["count"][:, 2].tolist() == [2, 2, 2]


# --- what a learner sees ------------------------------------------------------------------------------------------------


Story = list[tuple[np.ndarray, Transition]]  # actions and what came of them, of all worlds, each's in order


def transition(before, reward, terminated, truncated, after) -> Transition:
    return Transition(
        tuple(map(float, before)), float(reward), bool(terminated), bool(truncated), tuple(map(float, after))
    )


def through_gymnasium(envs: VectorEnv, steps: int) -> Story:
    """As a learner must read the three modes."""
    mode = envs.metadata["autoreset_mode"]
    story: Story = []
    observations, _ = envs.reset(seed=0)
    over = np.zeros(envs.num_envs, bool)
    for _ in range(steps):
        actions = policy(observations)
        after, rewards, terminations, truncations, infos = envs.step(actions)
        ended = terminations | truncations
        for k in range(envs.num_envs):
            if mode is AutoresetMode.NEXT_STEP and over[k]:
                continue  # the action was ignored
            last = infos["final_obs"][k] if mode is AutoresetMode.SAME_STEP and ended[k] else rows(after, k)
            before = observations["count"][k]
            story.append((actions[k], transition(before, rewards[k], terminations[k], truncations[k], last["count"])))
        if mode is AutoresetMode.DISABLED and ended.any():
            after, _ = envs.reset(options={"reset_mask": ended})
        observations, over = after, ended
    return story


def through_tensors(envs: VectorEnv, steps: int) -> Story:
    from inspatio_gym.envs.tensors import TorchVectorEnv

    return through_gymnasium(TorchVectorEnv(envs), steps)


def through_sb3(envs: VectorEnv, steps: int) -> Story:
    from inspatio_gym.envs.sb3 import to_sb3

    venv = to_sb3(envs)
    venv.seed(0)
    story: Story = []
    observations = venv.reset()
    for _ in range(steps):
        actions = policy(observations)
        after, rewards, dones, infos = venv.step(actions)
        for k, info in enumerate(infos):
            truncated = info["TimeLimit.truncated"]
            last = info["terminal_observation"] if dones[k] else rows(after, k)
            before = observations["count"][k]
            terminated = dones[k] and not truncated
            story.append((actions[k], transition(before, rewards[k], terminated, truncated, last["count"])))
        observations = after
    return story


def through_rllib(envs: VectorEnv, steps: int) -> Story:
    """What its env runner collects, in two rounds that cut episodes in two."""
    pytest.importorskip("tree", reason="needs the extra rllib")
    import torch
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.columns import Columns
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.rllib.core.rl_module.torch import TorchRLModule
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    class Scripted(TorchRLModule):
        def _forward(self, batch, **_):
            return {Columns.ACTIONS: torch.from_numpy(policy(batch[Columns.OBS]))}

    config = PPOConfig().environment(lambda _: envs).debugging(seed=0)
    config.env_runners(
        num_env_runners=0, num_envs_per_env_runner=envs.num_envs, gym_env_vectorize_mode="vector_entry_point"
    )
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=Scripted))
    runner = SingleAgentEnvRunner(config=config, worker_index=0)
    story: Story = []
    for _ in range(2):
        for episode in runner.sample(num_timesteps=steps // 2 * envs.num_envs):
            counts, actions = episode.get_observations()["count"], episode.get_actions()
            for k, (action, reward) in enumerate(zip(actions, episode.get_rewards(), strict=True)):
                last = k == len(actions) - 1
                ends = last and episode.is_terminated, last and episode.is_truncated
                story.append((action, transition(counts[k], reward, *ends, counts[k + 1])))
    return story


def through_torchrl(envs: VectorEnv, steps: int) -> Story:
    pytest.importorskip("torchrl", reason="needs the extra torchrl")
    import torch

    from inspatio_gym.envs.torchrl import to_torchrl

    env = to_torchrl(envs)
    env.set_seed(0)
    story: Story = []
    before = env.reset()
    for _ in range(steps):
        before["action"] = torch.from_numpy(policy(before))
        step, after = env.step_and_maybe_reset(before)
        for action, count, next_ in zip(step["action"], step["count"], step["next"], strict=True):
            ends = next_["terminated"], next_["truncated"]
            assert bool(next_["done"]) == any(ends)
            story.append((action, transition(count, next_["reward"], *ends, next_["count"])))
        before = after
    return story


# Where a view has one word for both kinds of end, an episode that ends by both has terminated.
VIEWS = {
    "gymnasium": (through_gymnasium, MODES, False),
    "tensors": (through_tensors, MODES, False),
    "sb3": (through_sb3, MODES, True),
    "rllib": (through_rllib, [AutoresetMode.NEXT_STEP], False),
    "torchrl": (through_torchrl, [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP], False),
}


@pytest.mark.parametrize(
    ("view", "engine", "mode"),
    [
        (view, engine, mode)
        for view, (_, modes, _) in VIEWS.items()
        for engine in ENGINES
        for mode in modes
        if (engine in ("single", "process") or mode is modes[0]) and (view, engine) != ("tensors", "single")
    ],
)
def test_every_view_tells_the_same_story(make: Make, view, engine, mode):
    """Every transition once, none across an episode's end, its last observation the old episode's."""
    through, _, one_word = VIEWS[view]
    story = through(make(engine, mode=mode, **COUNTING), 24)
    names = list(dict.fromkeys(told.before[0] for _, told in story))
    assert len(names) == 4
    for name in names:
        actions, told = zip(*(part for part in story if part[1].before[0] == name), strict=True)
        must = expected(actions, name)
        if one_word:
            must = [each._replace(truncated=each.truncated and not each.terminated) for each in must]
        assert list(told) == must
        assert len(told) >= 16
        assert {(each.terminated, each.truncated) for each in told} >= {(False, False), (True, False), (False, True)}


# --- seeds, masks, options, some worlds alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", OURS)
def test_seeds(make: Make, engine):
    envs = make(engine, **COUNTING)
    first, _ = envs.reset(seed=5)
    assert envs.np_random_seed == (5, 6, 7, 8)
    assert len({tuple(pose) for pose in first["pose"]}) == 4  # worlds of one batch differ
    after, _ = envs.reset()  # no seed: the worlds go on with their own numbers
    assert any((after[key] != first[key]).any() for key in first)
    for again in ([5, 6, 7, 8], np.array([5, 6, 7, 8])):
        same(envs.reset(seed=again)[0], first)
        same(envs.reset()[0], after)
    mixed, _ = envs.reset(seed=[8, None, 5, None])
    assert envs.np_random_seed == (8, 6, 5, 8)
    for slot, seed in ((0, 3), (2, 0)):
        same(rows(mixed, slot), rows(first, seed))
    with pytest.raises(ValueError, match=r"expected 4 seeds.*got 2"):
        envs.reset(seed=[1, 2])


@pytest.mark.parametrize("engine", OURS)
def test_a_mask_resets_some_worlds_and_leaves_the_others(make: Make, engine):
    envs, twin = make(engine, **COUNTING), make("process", **COUNTING)
    actions = np.random.default_rng(1).uniform(-0.1, 0.1, (6, 4, 2)).astype(np.float32)
    for one in (envs, twin):
        one.reset(seed=3)
        before = one.step(actions[0])[0]
    mask = np.array([False, True, False, True])
    observations, infos = envs.reset(seed=[9, 9, None, None], options={"reset_mask": mask, "time": 0.25})
    assert envs.np_random_seed == (3, 9, 5, 6)  # a world that is not reset keeps its numbers
    same(rows(observations, ~mask), rows(before, ~mask))
    assert infos["_source_time"].tolist() == mask.tolist()
    assert infos["source_time"][mask] == pytest.approx(0.25)
    for action in actions[1:]:
        a, b = envs.step(action), twin.step(action)
        same(rows(a[0], ~mask), rows(b[0], ~mask))
        same(a[1][~mask], b[1][~mask])
    for bad in ([True, False, True, True], np.ones(4), np.ones(2, bool)):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": bad})
    with pytest.raises(ValueError, match="at least one world"):
        envs.reset(options={"reset_mask": np.zeros(4, bool)})


@pytest.mark.parametrize("engine", ENGINES)
def test_options_reach_every_world(make: Make, scenes: list[Scene], engine):
    envs = make(engine, **COUNTING)
    pose = np.array([0.1, 0, 0, 1, 0, 0, 0], np.float32)
    for scene in (1, "other", scenes[1].path):
        observations, infos = envs.reset(seed=0, options={"scene": scene, "time": 0.25, "pose": pose})
        assert infos["source_time"] == pytest.approx(0.25)
        assert observations["time"][:, 0] == pytest.approx(0.25 * scenes[1].fps / (scenes[1].num_frames - 1), abs=0.03)
        assert observations["pose"] == pytest.approx(np.repeat(pose[None], 4, 0), abs=1e-6)
    with pytest.raises(ValueError, match=r"reset options out of .* got \['moment'\]"):
        envs.reset(options={"moment": 3})
    _, infos = envs.reset(seed=0)
    assert len(set(infos["source_time"].tolist())) > 1  # an option holds for one reset


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", OURS)
def test_worlds_that_step_by_turns_are_the_worlds_that_step_together(make: Make, engine, mode):
    """`step_slots` returns the rows that were asked for, in that order, and moves no other world."""
    envs, twin = make(engine, mode=mode, **COUNTING), make("process", mode=mode, **COUNTING)
    equal(envs.reset(seed=0), twin.reset(seed=0))
    generator = np.random.default_rng(0)
    for _ in range(8):
        actions = generator.uniform(-0.2, 0.2, (4, 2)).astype(np.float32)
        together = twin.step(actions)
        order = generator.permutation(4)
        for some in (order[:1], order[1:]):
            observations, *rest, infos = envs.step_slots(some, actions[some])
            same(observations, rows(together[0], some))
            equal(rest, [part[some] for part in together[1:4]])
            same(infos["c2w"], together[4]["c2w"][some])
        ended = together[2] | together[3]
        if mode is AutoresetMode.DISABLED and ended.any():
            equal(*(one.reset(options={"reset_mask": ended}) for one in (envs, twin)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_returned_is_the_callers(make: Make, engine, mode):
    """It is never written to again, and whatever the caller writes into it changes nothing."""
    envs = make(engine, mode=mode, **COUNTING)

    def run(*, scribble: bool) -> list[dict[str, np.ndarray]]:
        held, copies = [], []
        for k in range(7):
            ended = np.zeros(4, bool)
            if k == 0:
                observations, infos = envs.reset(seed=0)
            else:
                observations, _, terminations, truncations, infos = envs.step(np.full((4, 2), 0.1, np.float32))
                ended = terminations | truncations
            if mode is AutoresetMode.DISABLED and ended.any():
                observations, infos = envs.reset(options={"reset_mask": ended})
            last = {f"final {key}": v for key, v in infos["final_obs"][0].items()} if "final_obs" in infos else {}
            held.append({**observations, **last, "covered": infos["covered"], "c2w": infos["c2w"]})
            copies.append({key: value.copy() for key, value in held[-1].items()})
            if scribble:
                for value in held[-1].values():
                    value[...] = 1
        if not scribble:
            equal(held, copies)
        return copies

    equal(run(scribble=True), run(scribble=False))
