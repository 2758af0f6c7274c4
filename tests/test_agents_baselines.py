"""Agents that were never trained act as their names say; spaces survive JSON."""

import json

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspatio_gym.agents.baselines import (
    Constant,
    LookAround,
    Random,
    constant_actions,
    heading_deg,
    hold_still,
    neighbours,
)
from inspatio_gym.agents.config import WorldConfig
from inspatio_gym.agents.episodes import make_worlds, play
from inspatio_gym.agents.spaces import space_from_json, space_to_json
from inspatio_gym.envs.actions import COMPONENTS, MOVES, TIME_MOVES, make_control
from inspatio_gym.geometry.poses import quaternion, rotation_ypr

FREE = make_control("free")
DISCRETE = make_control("discrete", time_control=True)


def seen(yaw: float = 0.0, pitch: float = 0.0, position: float = 0.5, worlds: int = 1) -> dict[str, np.ndarray]:
    pose = np.concatenate([np.zeros(3), quaternion(rotation_ypr(yaw, pitch, 0.0)[:3, :3])])
    return {"pose": np.repeat(pose[None], worlds, 0), "time": np.repeat([[position, 1.0]], worlds, 0)}


@settings(max_examples=50, deadline=None)
@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-30, 30))
def test_heading_is_read_off_the_pose(yaw: float, pitch: float, roll: float):
    pose = np.concatenate([[0.1, 0.2, 0.3], quaternion(rotation_ypr(yaw, pitch, roll)[:3, :3])])
    assert np.concatenate(heading_deg(pose[None])) == pytest.approx([yaw, pitch], abs=1e-4)


@pytest.mark.parametrize("space", [FREE.space, DISCRETE.space], ids=["free", "discrete"])
def test_random_depends_on_each_worlds_seed_alone(space: gym.Space):
    def actions(seeds: list[int]) -> np.ndarray:
        agent = Random(space)
        agent.begin(seeds)
        return np.array([agent.act({}, {}) for _ in range(20)])

    both, other = actions([3, 4]), actions([4, 3])
    assert (both[:, 0] == other[:, 1]).all()
    assert (both[:, 0] != both[:, 1]).any()
    assert all(action in space for action in both[:, 0])


def test_holding_still_is_zero_or_pause():
    for control, expected in (
        (FREE, np.zeros(7)),
        (DISCRETE, DISCRETE.names.index("pause")),
        (make_control("discrete"), list(MOVES).index("play")),
    ):
        agent = hold_still(control.space, control.names)
        agent.begin([0, 1])
        assert (agent.act({}, {}) == np.stack([expected, expected])).all()


def test_constants_are_different_sound_and_named():
    for control in (FREE, DISCRETE, make_control("rotation"), make_control("time")):
        tried = constant_actions(control.space, control.names)
        assert len({agent.name for agent in tried}) == len(tried)
        assert len({agent.action.tobytes() for agent in tried}) == len(tried)
        for agent in tried:
            control.read(agent.action)
    assert [agent.name for agent in tried][:2] == ["constant: nothing", "constant: time +1"]
    assert len(constant_actions(DISCRETE.space, DISCRETE.names)) == len(MOVES) + len(TIME_MOVES)


def test_neighbours_differ_in_one_component():
    action = np.array([0, 0, 0, 0.5, 0, 0, 1], np.float32)
    found = neighbours(action, COMPONENTS, 3)
    assert all((np.delete(agent.action, 3) == np.delete(action, 3)).all() for agent in found)
    assert len({float(agent.action[3]) for agent in found} - {0.5}) == len(found) == 10
    assert "constant: yaw +0.05, time +1" in [agent.name for agent in found]


@pytest.mark.parametrize("control", [FREE, make_control("rotation"), DISCRETE], ids=["free", "rotation", "discrete"])
def test_looking_around_sweeps_to_both_sides(control):
    agent = LookAround(control.space, control.names)
    agent.begin([0])
    yaw, visited = 0.0, []
    for _ in range(40):
        action = agent.act(seen(yaw), {})[0]
        motion, rate = control.read(action)
        assert rate == 1.0
        yaw += 15 * motion[3]
        visited.append(yaw)
    assert max(visited) >= LookAround.REACH_DEG
    assert min(visited) <= -LookAround.REACH_DEG
    assert np.abs(visited).max() < 50
    assert np.count_nonzero(np.diff(np.sign(np.diff(visited)))) >= 3  # there and back again


@pytest.mark.parametrize("scene", ["room", "street"])
def test_looking_around_stays_inside_the_corridor(scene: str):
    steps = 40
    worlds = make_worlds(
        WorldConfig(scene=(scene,), model="warp", size=(16, 24), control="free", max_episode_steps=steps).world(), 4
    )
    episodes = play(worlds, LookAround(worlds.single_action_space, worlds.action_names), range(4))
    worlds.close()
    assert episodes.lengths.tolist() == [steps] * 4


def test_looking_around_in_time_goes_to_both_ends():
    control = make_control("time")
    agent = LookAround(control.space, control.names)
    agent.begin([0])
    beats = [agent.act(seen(position=p), {})[0, 0] for p in (0.5, 0.99, 0.5, 0.01, 0.5)]
    assert beats == [1, -1, -1, 1, 1]


def test_a_constant_agent_serves_as_many_worlds_as_begin():
    agent = Constant(np.arange(7) / 7)
    for worlds in (3, 1):
        agent.begin(range(worlds))
        assert agent.act({}, {}).shape == (worlds, 7)


@pytest.mark.parametrize(
    "space",
    [
        FREE.space,
        DISCRETE.space,
        gym.spaces.Dict(
            {
                "rgb": gym.spaces.Box(0, 255, (16, 24, 3), np.uint8),
                "depth": gym.spaces.Box(0.0, 10.0, (16, 24, 1), np.float32),
                "pose": gym.spaces.Box(np.array([-0.5, -1], np.float32), np.array([0.5, 1], np.float32)),
            }
        ),
    ],
)
def test_spaces_survive_json(space: gym.Space):
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space


def test_spaces_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match="expected a Box"):
        space_to_json(gym.spaces.MultiBinary(3))
    with pytest.raises(ValueError, match="of type box, discrete or dict, got 'tuple'"):
        space_from_json({"type": "tuple"})
