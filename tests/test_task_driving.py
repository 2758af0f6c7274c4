"""Driving: what is paid by hand-worked cases, what earns nothing, which targets are named, and the laws of every task."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import inspatio_gym  # noqa: F401  registers the ids
from inspatio_gym.agents.baselines import hold_still
from inspatio_gym.agents.oracle import Oracle, reach_of
from inspatio_gym.agents.reckoning import DeadReckoning
from inspatio_gym.envs.tasks import driving
from inspatio_gym.envs.tasks.driving import APART_DEG, SMOOTH, bearing_deg, looks_at, turned_by
from inspatio_gym.scenes import load_scene
from inspatio_gym.scenes.tracking import KINDS, Target
from tests.test_determinism import play, same

SIZE = (24, 40)


def make(scene="street", **arguments):
    return gym.make("InSpatioDriving-v0", scene=scene, **{"model": "fake", "size": SIZE, **arguments})


def episode(env, act, steps=40, **options):
    """Rewards, and the last info, of an episode in which `act(info)` says what is done."""
    _, info = env.reset(seed=3, options=options)
    rewards = []
    for _ in range(steps):
        _, reward, terminated, truncated, info = env.step(act(info))
        rewards.append(reward)
        if terminated or truncated:
            break
    return rewards, info


def knowing(env):
    base = env.unwrapped
    oracle = Oracle(base.action_space, base.action_names, reach_of(base.stage))
    return lambda info: oracle.act({}, {"to_go": info["to_go"][None]})[0]


# --- geometry and reward, worked by hand -------------------------------------------------------------------------------


def test_a_bearing_is_yaw_to_the_right_and_pitch_up():
    assert bearing_deg(np.array([0.0, 0.0, 1.0])) == pytest.approx([0, 0])
    assert bearing_deg(np.array([0.5, 0.0, np.sqrt(0.75)])) == pytest.approx([30, 0])
    assert bearing_deg(np.array([0.0, -0.5, np.sqrt(0.75)])) == pytest.approx([0, 30])
    towards = np.array([0.3, -0.2, 0.9]) / np.linalg.norm([0.3, -0.2, 0.9])
    assert turned_by(bearing_deg(towards))[:3, 2] == pytest.approx(towards)


def test_a_target_in_the_middle_of_the_picture_lies_straight_ahead():
    scene = load_scene("street")
    k = scene.intrinsics[0]
    rows = np.array([[k[0, 2], k[1, 2]], [k[0, 2] + k[0, 0], k[1, 2]]], np.float32)
    target = Target("landmark", 0, rows, np.zeros((2, 2), np.float32), np.ones(2, np.float32), "clip")
    assert target.direction(scene, 0) == pytest.approx([0, 0, 1])
    assert bearing_deg(target.direction(scene, 1)) == pytest.approx([45, 0], abs=1e-4)


@pytest.fixture
def sign(monkeypatch):
    """Street with a single target, at a yaw from the recorded camera that a test chooses and at its height."""
    scene = load_scene("street")
    k = scene.intrinsics[0]

    def place(yaw_deg, frames=scene.num_frames):
        xy = np.tile(np.float32([k[0, 2] + k[0, 0] * np.tan(np.radians(yaw_deg)), k[1, 2]]), (frames, 1))
        target = Target("landmark", 0, xy, np.zeros_like(xy), np.ones(frames, np.float32), "clip")
        monkeypatch.setattr(driving, "targets_of", lambda scene: (target,))
        looks_at.cache_clear()

    yield place
    looks_at.cache_clear()


START = {"time": 0.0, "pose": np.eye(4)}
RIGHT, STILL = np.float32([1, 0]), np.float32([0, 0])  # 15 degrees in half a second


@pytest.mark.parametrize(("yaw_deg", "on_target"), [(19.9, True), (20.1, False)])
def test_the_reward_falls_with_the_angle_and_the_tolerance_has_an_edge(sign, yaw_deg, on_target):
    sign(yaw_deg)
    env = make()
    observation, info = env.reset(seed=0, options=START)
    assert observation["cue"] == pytest.approx([yaw_deg / 90, 0, 0, 1])
    assert info["to_go"] == pytest.approx([0, 0, 0, yaw_deg, 0, 0, 0], abs=1e-4)
    observation, reward, *_, info = env.step(RIGHT)
    error = yaw_deg - 15
    assert reward == pytest.approx(1 / (1 + (error / 5) ** 2) - SMOOTH, abs=1e-5)  # from rest to the turn limit
    assert observation["cue"] == pytest.approx([yaw_deg / 90, 0, 12 / 72, 1])
    assert info["mean_error_deg"] == pytest.approx(error, abs=1e-4)
    assert info["time_on_target"] == info["acquisitions"] == float(on_target)
    assert info["jerk"] == pytest.approx(30 / 0.5**2)
    _, reward, *_, info = env.step(STILL)
    assert reward == pytest.approx(1 / (1 + (error / 5) ** 2) - SMOOTH, abs=1e-5)  # and back to rest
    assert info["jerk"] == pytest.approx((30 + 60) / 2 / 0.5**2)


def test_what_is_known_too_short_or_is_looked_at_already_is_not_named(sign):
    for yaw_deg, frames, named in ((20, 84, 1), (APART_DEG - 0.5, 84, 0), (20, 30, 1)):
        sign(yaw_deg, frames)
        observation, info = make().reset(seed=0, options=START)
        assert info["targets"] == named
        assert bool(observation["goal_rgb"].any()) == bool(named)
        assert observation["cue"][3] == named
    env = make()
    env.reset(seed=0, options={**START, "time": 10 / 24})  # less than a second of it is left
    assert env.unwrapped.task.metrics()["targets"] == 0
    assert env.step(STILL)[1] == pytest.approx(0)


# --- what does not pay -----------------------------------------------------------------------------------------------------


def test_staring_at_a_world_that_stands_still_earns_nothing(sign):
    sign(15.0)
    env = make(time_control=True)
    env.reset(seed=0, options=START)
    env.step(np.float32([1, 0, 1]))
    assert env.step(np.float32([0, 0, 1]))[1] > 0.9
    assert env.step(np.float32([0, 0, 0]))[1] <= 0
    for _ in range(5):
        assert env.step(np.float32([0, 0, 0]))[1] == pytest.approx(0)


@pytest.mark.parametrize(
    "act",
    [lambda k: RIGHT, lambda k: RIGHT * (-1) ** k, lambda k: STILL, lambda k: np.float32([0, 1])],
    ids=["spinning", "oscillating", "holding still", "looking away"],
)
@pytest.mark.parametrize("scene", ["room", "street"])
def test_other_ways_earn_far_less_than_looking_at_the_target(scene, act):
    env = make(scene)
    best, info = episode(env, knowing(env))
    steps = iter(range(1000))
    other, other_info = episode(env, lambda info: act(next(steps)))
    assert info["time_on_target"] > 0.7
    assert other_info["time_on_target"] < 0.3 * info["time_on_target"]
    assert sum(other) < 0.4 * sum(best)


# --- which targets ---------------------------------------------------------------------------------------------------------


def test_targets_of_the_training_and_held_out_ones_never_meet():
    scene = load_scene("street")
    train, held_out, both = (looks_at(scene, frozenset(KINDS), share) for share in ("train", "held out", "all"))
    assert train
    assert held_out
    # Looks are compared by what they are: the same target at the same time.
    keys = [{(id(look.target), look.first) for look in looks} for looks in (train, held_out, both)]
    assert not keys[0] & keys[1]
    assert keys[0] | keys[1] == keys[2]
    assert 0.1 < len(held_out) / len(both) < 0.45


def test_kinds_of_targets_can_be_chosen():
    scene = load_scene("street")
    for kind in KINDS:
        assert {look.target.kind for look in looks_at(scene, frozenset([kind]), "all")} == {kind}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"control": "free"}, "expected control='rotation', got 'free'"),
        ({"control": "time"}, "expected control='rotation', got 'time'"),
        ({"mount": "world"}, "expected mount='source'"),
        ({"task_options": {"kinds": ("cars",)}}, "expected kinds out of"),
        ({"task_options": {"share": "some"}}, "expected a share out of"),
        ({"task_options": {"tolerance_deg": 0}}, "expected tolerance_deg between"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        make(**arguments)


def test_a_scene_without_targets_is_refused(monkeypatch):
    monkeypatch.setattr(driving, "targets_of", lambda scene: ())
    looks_at.cache_clear()
    with pytest.raises(ValueError, match="expected a scene with targets"):
        make("room").reset(seed=0)
    looks_at.cache_clear()


# --- laws of every task ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time_control", [False, True])
@pytest.mark.parametrize("scene", ["room", "street"])
def test_checkers_pass(scene, time_control):
    from stable_baselines3.common.env_checker import check_env as check_sb3

    env = make(scene, time_control=time_control).unwrapped
    check_env(env, skip_render_check=True)
    check_sb3(env, warn=False)


def test_dead_reckoning_turns_to_the_cue_and_rests_without_one():
    agent = DeadReckoning(gym.spaces.Box(-1, 1, (2,)), ("yaw", "pitch"), np.full(7, 15.0))
    here = np.float32([[0, 0, 0, 1, 0, 0, 0]] * 3)
    cue = np.float32([[10 / 90, -5 / 90, 0.2, 1], [30 / 90, 0, 0, 1], [0, 0, 0, 0]])
    actions = agent.act({"cue": cue, "pose": here}, {})
    assert actions == pytest.approx(np.array([[10 / 15, -5 / 15], [1, 0], [0, 0]]), abs=1e-6)


def test_an_episode_that_holds_still_is_told_so():
    env = make()
    agent = hold_still(env.action_space, env.unwrapped.action_names)
    agent.begin([0])
    _, info = episode(env, lambda info: agent.act({}, {})[0])
    assert info["jerk"] == pytest.approx(0, abs=1e-6)
    assert info["targets"] >= 2  # one after the other, as each is over


def test_episodes_and_restored_snapshots_are_bit_equal():
    held = np.random.default_rng(5).uniform(-0.4, 0.4, (60, 2)).astype(np.float32)
    env, other = make(model="warp"), make(model="warp")
    runs = [[one.reset(seed=11), *play(one, held)] for one in (env, other)]
    same(*runs)
    for begun in (7, 23):
        env.reset(seed=begun)
        play(env, held[:begun])
        snapshot = env.unwrapped.snapshot()
        ahead = play(env, held[begun:])
        other.unwrapped.restore(snapshot)
        same(ahead, play(other, held[begun:]))
