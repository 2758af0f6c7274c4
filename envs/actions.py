"""Controls: how an agent's action becomes a camera motion and a rate of time.

Every control speaks of the same seven components, each in [-1, 1]:

    right, up, forward        of the rig's speed limit
    yaw, pitch, roll          of the rig's turn limit: right, up, clockwise
    time                      of `max_rate`: -1 reverse, 0 pause, +1 play (at source speed while max_rate is 1)

    control    action space   what the agent sets                                        time_control=True adds
    free       Box(7)         all seven; a zero action pauses and holds                  (time is there already)
    rotation   Box(2)         yaw and pitch, while time plays at source speed            time: Box(3)
    discrete   Discrete(13)   one named move at full speed, while time plays             "pause" and "reverse"
    time       Box(1)         time alone, the camera held                                (time is there already)

An action outside its space is an error that names the component, never a silent clip: whoever samples from an unbounded
distribution decides by himself how to squash it.
"""

import math
import operator
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

COMPONENTS = ("right", "up", "forward", "yaw", "pitch", "roll", "time")
CONTROLS = ("free", "rotation", "discrete", "time")
# float32 arithmetic may leave a squashed action this far outside [-1, 1]; it is clipped without complaint.
TOLERANCE = 1e-6
# What discrete control offers: the seven components of each move. The camera holds still in the last three.
MOVES: dict[str, tuple[int, ...]] = {
    "play": (0, 0, 0, 0, 0, 0, 1),
    "right": (1, 0, 0, 0, 0, 0, 1),
    "left": (-1, 0, 0, 0, 0, 0, 1),
    "up": (0, 1, 0, 0, 0, 0, 1),
    "down": (0, -1, 0, 0, 0, 0, 1),
    "forward": (0, 0, 1, 0, 0, 0, 1),
    "back": (0, 0, -1, 0, 0, 0, 1),
    "yaw_right": (0, 0, 0, 1, 0, 0, 1),
    "yaw_left": (0, 0, 0, -1, 0, 0, 1),
    "pitch_up": (0, 0, 0, 0, 1, 0, 1),
    "pitch_down": (0, 0, 0, 0, -1, 0, 1),
    "roll_right": (0, 0, 0, 0, 0, 1, 1),
    "roll_left": (0, 0, 0, 0, 0, -1, 1),
}
TIME_MOVES: dict[str, tuple[int, ...]] = {"pause": (0, 0, 0, 0, 0, 0, 0), "reverse": (0, 0, 0, 0, 0, 0, -1)}


class Control(Protocol):
    """An action space, the names of its components or moves, and what an action means."""

    space: gym.Space
    names: tuple[str, ...]

    def read(self, action: Any) -> tuple[NDArray[np.float64], float]:
        """Turn an action into a motion, float64 (6,) in [-1, 1] (right, up, forward, yaw, pitch, roll), and a rate.

        The rate is in source seconds per second. Raises ValueError or TypeError for an action outside the space.
        """
        ...


class Continuous:
    """Sets the named components; the others are zero, and time plays at source speed if it is not among them."""

    def __init__(self, names: tuple[str, ...], max_rate: float):
        self.names = names
        self.space: gym.Space = gym.spaces.Box(-1.0, 1.0, (len(names),), np.float32)
        self._shape = (len(names),)
        self._where = [COMPONENTS.index(name) for name in names]
        self._rest = [0.0] * 6 + [1.0 / max_rate]
        self._max_rate = max_rate

    def read(self, action: Any) -> tuple[NDArray[np.float64], float]:
        try:
            vector = np.asarray(action, np.float32)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"expected an action of {len(self.names)} numbers ({', '.join(self.names)}), got {action!r}: "
                "sample one with env.action_space.sample()"
            ) from error
        if vector.shape != self._shape:
            raise ValueError(
                f"expected an action of shape {self._shape} ({', '.join(self.names)}), got shape {vector.shape}: "
                "pass one action per world, without a batch axis"
            )
        full = self._rest.copy()
        for where, value in zip(self._where, vector.tolist(), strict=True):
            if not -1.0 - TOLERANCE <= value <= 1.0 + TOLERANCE:  # NaN fails every comparison
                raise ValueError(
                    f"expected finite values in [-1, 1], got {COMPONENTS[where]} = {value:g} in the action "
                    f"{vector.tolist()}: clip it (numpy.clip, gymnasium.wrappers.ClipAction) or squash it (tanh)"
                )
            full[where] = min(max(value, -1.0), 1.0)
        return np.array(full[:6]), full[6] * self._max_rate


class Discrete:
    """Picks one of the named moves."""

    def __init__(self, moves: dict[str, tuple[int, ...]]):
        self.names = tuple(moves)
        self.space: gym.Space = gym.spaces.Discrete(len(moves))
        self._motions = np.array(list(moves.values()), np.float64)[:, :6]
        self._rates = [float(move[6]) for move in moves.values()]

    def read(self, action: Any) -> tuple[NDArray[np.float64], float]:
        try:
            index = operator.index(action)
        except TypeError as error:
            raise TypeError(
                f"expected an integer action in 0..{len(self.names) - 1}, got {action!r}: "
                "env.unwrapped.action_names lists what each one does"
            ) from error
        if not 0 <= index < len(self.names):
            raise ValueError(
                f"expected an integer action in 0..{len(self.names) - 1}, got {index}: "
                f"the moves are {', '.join(self.names)}"
            )
        return self._motions[index], self._rates[index]


def make_control(name: str, *, time_control: bool = False, max_rate: float = 1.0) -> Control:
    """Make the control of that name, one of `CONTROLS`.

    max_rate: the rate (source seconds per second) of a full time component. Raises ValueError for an unknown name or a
    rate that is not a positive number.
    """
    if not isinstance(max_rate, int | float | np.number) or not 0 < max_rate < math.inf:
        raise ValueError(f"expected a positive max_rate, got {max_rate!r}: pass 1.0 to play at source speed at most")
    if name == "free":
        return Continuous(COMPONENTS, max_rate)
    if name == "rotation":
        return Continuous(("yaw", "pitch", "time") if time_control else ("yaw", "pitch"), max_rate)
    if name == "time":
        return Continuous(("time",), max_rate)
    if name == "discrete":
        return Discrete({**MOVES, **TIME_MOVES} if time_control else MOVES)
    raise ValueError(f"expected a control out of {list(CONTROLS)}, got {name!r}: pass control='free'")
