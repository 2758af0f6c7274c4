"""Agents that were never trained, to compare with.

    random            actions drawn uniformly
    hold still        the zero action: camera and time stand still (discrete control: "pause", or "play" without it)
    constant          one action for ever; `constant_actions` and `neighbours` list those that are tried
    look around       scripted: sweeps the view left and right, up and down, by feedback from the observed pose

An agent plays many worlds at once: `begin` says how many by their seeds, `act` maps observations with a batch axis N to
actions with one. What an agent draws depends on each world's seed alone. Beside the observations it is told the worlds'
infos, which only those that say so look at (`oracle`).
"""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Observations = dict[str, NDArray[Any]]
Infos = dict[str, Any]  # as a vector environment gives them: a batch under each key
SPEEDS = (1.0, 0.5, 0.2, 0.1, 0.05)  # at which a component of a constant action is tried


class Agent(Protocol):
    """Whoever acts in worlds."""

    name: str

    def begin(self, seeds: Sequence[int]) -> None:
        """An episode begins in each of len(seeds) worlds."""
        ...

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        """The action of every world."""
        ...


class Random:
    """Draws every action uniformly from the space."""

    name = "random"

    def __init__(self, space: gym.Space):
        self.space = space

    def begin(self, seeds: Sequence[int]) -> None:
        self._draws = [np.random.default_rng([seed, 1]) for seed in seeds]

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        if isinstance(self.space, gym.spaces.Discrete):
            return np.array([draw.integers(self.space.n) for draw in self._draws])
        assert isinstance(self.space, gym.spaces.Box)
        low, high = self.space.low, self.space.high
        return np.array([draw.uniform(low, high) for draw in self._draws], np.float32)


class Constant:
    """Repeats one action. action: of the single space."""

    def __init__(self, action: NDArray[Any] | int, name: str = "constant"):
        self.action, self.name = np.asarray(action), name

    def begin(self, seeds: Sequence[int]) -> None:
        self._all = np.repeat(self.action[None], len(seeds), 0)

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        return self._all


def hold_still(space: gym.Space, names: Sequence[str]) -> Constant:
    """The agent that does nothing. names: what the action's components, or the moves, are called."""
    if isinstance(space, gym.spaces.Discrete):
        return Constant(names.index("pause") if "pause" in names else 0, "hold still")
    assert space.shape is not None
    return Constant(np.zeros(space.shape, np.float32), "hold still")


class LookAround:
    """Sweeps yaw to and fro between +-REACH_DEG, and moves pitch to the other side at each turn, while time plays.

    The angles are those at which half of an ordinary lens's view is still of what was recorded: inside the corridor. For
    controls that name "yaw" among their components, or "yaw_right" among their moves; `time` control, which cannot turn,
    plays forward and back instead.
    """

    name = "scripted look-around"
    REACH_DEG = 15.0
    TILT_DEG = 6.0

    def __init__(self, space: gym.Space, names: Sequence[str]):
        self.space, self.names = space, tuple(names)

    def begin(self, seeds: Sequence[int]) -> None:
        self._side = np.where(np.asarray(seeds) % 2 == 0, 1.0, -1.0)
        self._tilt = self._side.copy()

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        yaw_deg, pitch_deg = heading_deg(observations["pose"])
        arrived = yaw_deg * self._side >= self.REACH_DEG
        self._tilt[arrived] *= -1
        self._side[arrived] *= -1
        # A full turn action may overshoot within a step; what is asked for falls off over the last 15 degrees.
        turn = np.clip((self._side * (self.REACH_DEG + 2) - yaw_deg) / 15, -1, 1)
        tilt = np.clip((self._tilt * self.TILT_DEG - pitch_deg) / 15, -1, 1)
        if isinstance(self.space, gym.spaces.Discrete):
            moves = {side: self.names.index(f"yaw_{side}") for side in ("left", "right")}
            return np.where(self._side > 0, moves["right"], moves["left"])
        actions = np.zeros((len(turn), len(self.names)), np.float32)
        back = "yaw" not in self.names
        for name, value in (("yaw", turn), ("pitch", tilt), ("time", self._beat(observations) if back else 1.0)):
            if name in self.names:
                actions[:, self.names.index(name)] = value
        return actions

    def _beat(self, observations: Observations) -> NDArray[np.float64]:
        """The direction of time: forward to the end of the clip, then back to its beginning."""
        position = observations["time"][:, 0]
        self._side = np.where(position >= 0.98, -1.0, np.where(position <= 0.02, 1.0, self._side))
        return self._side


def heading_deg(pose: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Yaw (right) and pitch (up) in degrees of observed poses (N, 7): position and quaternion w, x, y, z.

    From the view direction R z, R the rotation of the quaternion: yaw = atan2(x, z), pitch = asin(-y) as y points down.
    """
    w, x, y, z = np.asarray(pose, np.float64)[:, 3:].T
    right, down, forward = 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)
    return np.degrees(np.arctan2(right, forward)), np.degrees(np.arcsin(np.clip(-down, -1, 1)))


def constant_actions(space: gym.Space, names: Sequence[str]) -> list[Constant]:
    """Constant actions to begin a search with, each with a name that says what it does.

    Every move of a discrete space; of a box, zero and every action with one or two components at full or half speed
    either way (two at full speed only), the others zero.
    """
    if isinstance(space, gym.spaces.Discrete):
        return [Constant(index, f"constant: {names[index]}") for index in range(int(space.n))]
    tried = [constant(np.zeros(len(names)), names)]
    for count in range(1, min(2, len(names)) + 1):
        values = (1.0, -1.0, 0.5, -0.5) if count == 1 else (1.0, -1.0)
        for where in itertools.combinations(range(len(names)), count):
            for what in itertools.product(values, repeat=count):
                action = np.zeros(len(names))
                action[list(where)] = what
                tried.append(constant(action, names))
    return tried


def neighbours(action: NDArray[Any], names: Sequence[str], component: int) -> list[Constant]:
    """The constant actions that differ from `action`, of a box, in one component."""
    values = [sign * size for size in SPEEDS for sign in (1.0, -1.0)]
    found = []
    for value in (0.0, *values):
        if value != action[component]:
            other = action.copy()
            other[component] = value
            found.append(constant(other, names))
    return found


def constant(action: NDArray[Any], names: Sequence[str]) -> Constant:
    """The agent that repeats `action`, of a box, named by the components that are not zero."""
    words = ", ".join(f"{name} {value:+g}" for name, value in zip(names, action.tolist(), strict=True) if value)
    return Constant(action.astype(np.float32), f"constant: {words or 'nothing'}")
