"""Agents for tasks with a goal: the oracle reaches it by every control, the servo steers by pixels, and both are judged."""

import cv2
import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box

from inspatio_gym.agents.baselines import LookAround
from inspatio_gym.agents.config import WorldConfig
from inspatio_gym.agents.episodes import make_worlds, play
from inspatio_gym.agents.evaluate import compare, scripted
from inspatio_gym.agents.oracle import Oracle, nearest_action, reach_of
from inspatio_gym.agents.servo import Servo, difference, grey
from inspatio_gym.envs.actions import make_control
from inspatio_gym.scenes import Scene

NOISE = np.random.default_rng(0).uniform(0, 255, (50, 60)).astype(np.float32)
TEXTURE = cv2.resize(NOISE, (300, 250), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
CONTROLS = [("free", False), ("rotation", True), ("discrete", True), ("time", False)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box", frames=61)


def world(task: str, box: Scene, control: str, time_control: bool) -> dict:
    asked = WorldConfig(env=f"InSpatio{task}-v0", model="fake", size=(48, 80), control=control, max_episode_steps=40)
    return {**asked.world(), "scene": [box], "time_control": time_control}


# --- the oracle -------------------------------------------------------------------------------------------------------


def test_what_is_wanted_becomes_the_nearest_action():
    wanted = np.array([[0.2, 0, 0, -3.0, 0.4, 0, 0.9], [0, 0, 0, 0.1, -0.3, 0, -0.8]])
    free = make_control("free")
    assert nearest_action(wanted, free.space, free.names) == pytest.approx(np.clip(wanted, -1, 1))
    rotation = make_control("rotation", time_control=True)
    assert nearest_action(wanted, rotation.space, rotation.names) == pytest.approx(np.clip(wanted, -1, 1)[:, [3, 4, 6]])
    discrete = make_control("discrete", time_control=True)
    named = [discrete.names[k] for k in nearest_action(wanted, discrete.space, discrete.names)]
    assert named == ["yaw_left", "reverse"]
    still = nearest_action(np.full((1, 7), 0.3), discrete.space, discrete.names)
    assert discrete.names[still[0]] == "pause"


def test_the_reach_is_what_a_full_action_does(box):
    env = gym.make("InSpatio-v0", scene=box, model="fake", size=(24, 40), max_rate=0.5, frames_per_step=6)
    reach = reach_of(env.unwrapped.stage)
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    observation, *_, info = env.step(np.array([1, 0, 0, 0, 0, 0, 1], np.float32))
    assert observation["pose"][0] == pytest.approx(reach[0], rel=1e-3)
    assert info["source_time"] == pytest.approx(reach[6])
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    assert env.step(np.array([0, 0, 0, 1, 0, 0, 0], np.float32))[4]["rotation_deg"] == pytest.approx(reach[3], rel=1e-3)


@pytest.mark.parametrize(("control", "time_control"), CONTROLS)
def test_the_oracle_finds_every_moment_by_every_control(box, control, time_control):
    envs = make_worlds(world("Moment", box, control, time_control), 10)
    oracle = Oracle(envs.single_action_space, envs.action_names, reach_of(envs.stage))
    episodes = play(envs, oracle, range(10))
    assert episodes.metrics["success"].tolist() == [1.0] * 10
    assert episodes.metrics["seeks"].max() == 0
    assert episodes.lengths.max() <= 8  # 2.5 seconds at most, half a second a step, a pause of two


def test_the_oracle_is_of_no_use_where_nothing_is_left_to_go():
    control = make_control("free")
    with pytest.raises(ValueError, match=r"expected info\['to_go'\], got none"):
        Oracle(control.space, control.names, np.ones(7)).act({}, {})


# --- the servo --------------------------------------------------------------------------------------------------------


def picture(yaw: int, pitch: int) -> np.ndarray:
    """48x80 pixels of a smooth texture, as seen after turning right and up by so many pixels."""
    seen = TEXTURE[100 - pitch : 148 - pitch, 100 + yaw : 180 + yaw]
    return np.repeat(seen[..., None], 3, -1)


def test_the_servo_turns_towards_what_the_goal_shows():
    control = make_control("rotation")
    servo = Servo(control.space, control.names, np.full(7, 30.0))
    for yaw, pitch in ((8, 0), (-8, 0), (0, 6), (0, -6)):
        servo.begin([0])
        action = servo.act({"rgb": picture(0, 0)[None], "goal_rgb": picture(yaw, pitch)[None]}, {})[0]
        expected = np.array([yaw, pitch]) / 80 * 60 / 30
        assert action == pytest.approx(expected, abs=0.05)


def test_the_servo_climbs_to_the_moment_that_looks_most_alike():
    control = make_control("time")
    for goal in (0.3, 1.1):
        servo, here = Servo(control.space, control.names, np.ones(7)), 0.0
        servo.begin([0])
        shown = lambda time: np.clip(picture(0, 0).astype(float) + 40 * time * picture(17, 9) / 127, 0, 255)  # noqa: E731
        for _ in range(25):
            seen = {"rgb": shown(here)[None].astype(np.uint8), "goal_rgb": shown(goal)[None].astype(np.uint8)}
            moved = float(servo.act(seen, {})[0, 0])
            here += moved
        assert here == pytest.approx(goal, abs=0.2)
        assert moved == 0


def test_shifted_pictures_are_compared_where_they_overlap():
    here, there = grey(picture(0, 0)), grey(picture(10, 0))
    assert difference(here, there, (0.0, 0.0)) > 0.3
    assert difference(here, there, (-5.0, 0.0)) < 0.15  # half the size: 10 pixels are 5


def test_the_servo_needs_a_picture():
    control = make_control("time")
    servo = Servo(control.space, control.names, np.ones(7))
    servo.begin([0])
    with pytest.raises(ValueError, match="got no goal_rgb"):
        servo.act({"rgb": picture(0, 0)[None]}, {})


# --- who is compared --------------------------------------------------------------------------------------------------


def test_each_task_is_compared_with_what_is_scripted_for_it(box):
    envs = make_worlds(world("Moment", box, "time", False), 1)
    assert [agent.name for agent in scripted(envs)] == ["oracle", "visual servo"]
    envs = make_worlds(world("", box, "free", False), 1)
    assert [agent.name for agent in scripted(envs)] == [LookAround.name]


def test_the_oracle_tops_the_table_of_the_moment(box):
    result = compare({**world("Moment", box, "time", False), "scene": [str(box.path)]}, None, episodes=6)
    rows = {row.agent: row for row in result.rows}
    assert rows["oracle"].metrics["success"].mean() == 1
    assert rows["hold still"].metrics["success"].mean() == 0
    assert rows["oracle"].returns.min() > result.rival.interval.high
    assert result.table()[0][3:] == ["success", "temporal error", "seeks"]
    assert "oracle" in result.to_json()
