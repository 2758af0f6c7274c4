"""Moment: what is paid by hand-worked cases, what is asked for, what earns nothing, and the laws of every environment."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.utils.env_checker import check_env

import inspatio_gym  # noqa: F401  registers the ids
from inspatio_gym.envs.tasks.moment import GAP, SEEK, STEP, SUCCESS, TOLERANCE, findable
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes import Scene, SceneGeometry, SceneWriter
from tests.test_determinism import same

SIZE = (24, 40)
FULL = 12  # frames of a step at full speed, half a second at the box's 24 frames a second


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box", frames=61)


def make(scene: Scene, **arguments) -> gym.Env:
    return gym.make("InSpatioMoment-v0", scene=scene, **{"model": "fake", "size": SIZE, **arguments})


def play(env: gym.Env, frames: list[int], **options) -> tuple[list[float], list[bool], dict]:
    """Rewards and verdicts of steps that move time by so many frames each, and the last info."""
    env.reset(seed=0, options=options)
    rewards, ended = [], []
    for count in frames:
        _, reward, terminated, _, info = env.step(np.array([count / FULL], np.float32))
        rewards.append(reward)
        ended.append(terminated)
    return rewards, ended, info


# --- the reward, worked by hand ---------------------------------------------------------------------------------------


def test_the_straight_way_and_a_pause(box):
    rewards, ended, info = play(make(box), [12, 12, 0, 0], time=0.0, goal=1.0)
    assert rewards == pytest.approx([0.5 - STEP, 0.5 - STEP, -STEP, SUCCESS - STEP])
    assert ended == [False, False, False, True]
    assert (info["success"], info["temporal_error"], info["seeks"]) == (1.0, 0.0, 0)


def test_the_tolerance_has_an_edge(box):
    """Three of 24 frames a second are an eighth of a second: within it; four are not."""
    assert TOLERANCE * 24 == 3
    for short, found in ((3, True), (4, False)):
        rewards, ended, info = play(make(box), [12, 12 - short, 0, 0], time=0.0, goal=1.0)
        assert ended == [False] * 3 + [True]
        assert info["success"] == found
        assert info["temporal_error"] == pytest.approx(short / 24)
        assert sum(rewards) == pytest.approx(1 - short / 24 - 4 * STEP + found * SUCCESS)


def test_creeping_is_a_pause_and_walking_is_none(box):
    assert play(make(box), [12, 10, 1, 1], time=0.0, goal=1.0)[1][-1]
    assert not any(play(make(box), [12, 10, 2, 2, -2, -2], time=0.0, goal=1.0)[1])


def test_a_pause_must_last(box):
    ended = play(make(box), [12, 12, 0, 12, -12, 0, 0], time=0.0, goal=1.0)[1]
    assert ended == [False] * 6 + [True]


def test_a_pause_elsewhere_ends_the_search(box):
    rewards, ended, info = play(make(box), [12, 0, 0], time=0.0, goal=1.0)
    assert ended == [False, False, True]
    assert rewards == pytest.approx([0.5 - STEP, -STEP, -STEP])
    assert (info["success"], info["temporal_error"]) == (0.0, 0.5)


def test_a_change_of_direction_is_a_seek_and_costs(box):
    rewards, _, info = play(make(box), [12, 0, 12, -6, -6, 0, 12], time=0.0, goal=2.0)
    assert info["seeks"] == 2
    assert sum(rewards) == pytest.approx(24 / 48 - 7 * STEP - 2 * SEEK)
    assert rewards[3] == pytest.approx(-6 / 48 - STEP - SEEK)
    assert rewards[4] == pytest.approx(-6 / 48 - STEP)


def test_what_is_left_to_go_is_time_alone(box):
    env = make(box)
    _, info = env.reset(options={"time": 2.0, "goal": 0.5})
    assert info["to_go"].tolist() == [0] * 6 + [-1.5]
    assert env.step(np.array([-0.5], np.float32))[4]["to_go"][6] == pytest.approx(-1.25)


# --- nothing to earn without finding it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "held",
    [[12, -12] * 50, [3, -3] * 50, [12] * 2 + [2] * 50, [2] * 60],
    ids=["swinging", "trembling", "running to the end", "walking past it"],
)
def test_no_motion_pays_that_leads_nowhere(box, held):
    rewards, _, info = play(make(box), held, time=1.0, goal=0.25)
    assert info["success"] == 0
    assert sum(rewards) < 0


@pytest.mark.parametrize("pace", [0, 1, -1], ids=["waiting", "creeping on", "creeping back"])
def test_who_does_not_look_does_not_find(box, pace):
    """To wait, or to creep through the clip until the goal comes by, is to say at once that it is here."""
    rewards, ended, info = play(make(box), [pace, pace], time=1.25, goal=1.25 + 0.5 * (pace or 1))
    assert ended == [False, True]
    assert info["success"] == 0
    assert sum(rewards) < 0.2


def test_swinging_about_the_goal_pays_no_more_than_the_way_there(box):
    rewards, ended, info = play(make(box), [12, 12, *[3, -6, 3] * 12], time=0.0, goal=1.0)
    assert not any(ended)
    assert sum(rewards) == pytest.approx(1 - 38 * STEP - SEEK * info["seeks"])
    assert info["seeks"] == 24
    assert sum(rewards) < 0.5


def test_passing_the_goal_again_and_again_pays_no_more_than_the_way_there(box):
    rewards, *_ = play(make(box), [12, 12, 12, *[-12, -12, 12, 12] * 10], time=0.0, goal=1.0)
    assert np.cumsum(rewards).max() < 1
    assert sum(rewards) < 0


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_the_picture_is_the_recorded_frame(box):
    env = make(box, model="warp", size=box.size)
    observation, _ = env.reset(seed=3)
    goal = env.unwrapped.snapshot()["task"]["goal"]
    assert (observation["goal_rgb"] == box.rgb(goal)).all()


def test_goals_are_drawn_everywhere_but_near_the_start(box):
    env, away = make(box), []
    for seed in range(60):
        _, info = env.reset(seed=seed)
        away.append(info["to_go"][6])
    assert min(np.abs(away)) >= GAP
    assert min(away) < -1
    assert max(away) > 1


def still(folder: Path, moves_from: int, frames: int = 30) -> Scene:
    """A clip that stands still up to a frame and then turns, 4 degrees a frame."""
    height, width = 24, 40
    camera = np.array([[32.0, 0, 19.5], [0, 32, 11.5], [0, 0, 1]])
    texture = np.random.default_rng(0).integers(0, 255, (height, 400, 3), np.uint8)
    turned = np.maximum(np.arange(frames) - moves_from, 0)
    with SceneWriter(folder, fps=10, size=(height, width), name="still", caption="") as writer:
        for k in turned:
            writer.write_frame(np.ascontiguousarray(texture[:, 3 * k : 3 * k + width]))
            writer.write_depth(np.ones((height, width)), np.zeros((height, width), bool))
        return writer.finish(
            c2w=compose(rotation_ypr(4.0 * turned), np.zeros((frames, 3))),
            intrinsics=np.repeat(camera[None], frames, 0),
            geometry=SceneGeometry("synthetic-truth", 1.0, "a formula", "none", None),
            provenance={},
        )


def test_moments_that_look_alike_are_never_asked_for(tmp_path: Path):
    scene = still(tmp_path / "half", moves_from=15)
    assert not findable(scene)[:15].any()
    assert findable(scene)[18:].all()
    env = make(scene)
    for seed in range(20):
        env.reset(seed=seed)
        assert findable(scene)[env.unwrapped.snapshot()["task"]["goal"]]
    with pytest.raises(ValueError, match=r"at a moment that looks like no other, got 0.5"):
        env.reset(options={"time": 2.0, "goal": 0.5})


def test_a_still_clip_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="a clip with moments that look different, got 'still'"):
        make(still(tmp_path / "still", moves_from=99)).reset(seed=0)


def test_goals_that_cannot_be_are_refused(box):
    env = make(box)
    for goal, error, words in (
        (9.0, ValueError, r"in 0\.\.2\.5 seconds, got 9"),
        (0.1, ValueError, r"farther than 0.125 s from the start at 0 s, got 0.1"),
        ("noon", TypeError, "in seconds of source video, got 'noon'"),
        (float("nan"), TypeError, "in seconds of source video, got nan"),
    ):
        with pytest.raises(error, match=words):
            env.reset(options={"time": 0.0, "goal": goal})
    for control in ("rotation", "discrete"):
        with pytest.raises(ValueError, match=f"a control that sets time, got '{control}'"):
            make(box, control=control)


def test_discrete_moves_can_reach_what_is_asked_for(box):
    env = make(box, control="discrete", time_control=True)
    for seed in range(30):
        _, info = env.reset(seed=seed)
        missed = info["to_go"][6] - 0.5 * round(info["to_go"][6] / 0.5)
        assert abs(missed) <= TOLERANCE + 1e-9


# --- the laws of every environment ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "control",
    [
        {"control": "time"},
        {"control": "free"},
        *({"control": c, "time_control": True} for c in ("rotation", "discrete")),
    ],
    ids=lambda control: control["control"],
)
def test_gymnasium_and_sb3_find_nothing_to_complain_of(box, control):
    stable_baselines3 = pytest.importorskip("stable_baselines3.common.env_checker")
    check_env(make(box, **control).unwrapped, skip_render_check=True)
    stable_baselines3.check_env(make(box, **control), warn=False)


def test_a_restored_snapshot_goes_on_bit_equal(box):
    held = np.random.default_rng(0).uniform(-1, 1, (25, 1)).astype(np.float32)
    env, other = make(box).unwrapped, make(box).unwrapped
    env.reset(seed=5)
    for action in held[:10]:
        env.step(action)
    kept = env.snapshot()
    expected = [env.step(action) for action in held[10:]]
    other.restore(kept)
    same([other.step(action) for action in held[10:]], expected)


def test_a_world_of_a_batch_is_the_single_one(box):
    envs = gym.make_vec("InSpatioMoment-v0", num_envs=2, vectorization_mode="vector_entry_point", scene=box, model="fake",
                        size=SIZE)  # fmt: skip
    env = make(box)
    batch, _ = envs.reset(seed=7)
    alone, _ = env.reset(seed=8)
    for action in np.random.default_rng(0).uniform(-0.5, 0.5, (6, 1)).astype(np.float32):
        same({key: values[1] for key, values in batch.items()}, alone)
        batch, rewards, *_ = envs.step(np.stack([action, action]))
        alone, reward, *_ = env.step(action)
        assert rewards[1] == reward
