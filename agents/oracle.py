"""An agent that knows the way: the yardstick of every task that says what is left to go.

Such a task publishes info["to_go"], float (7,) a world, in the axes of the present camera: right, up, forward in median
depths; yaw right, pitch up, roll clockwise in degrees; seconds of source time. The oracle goes all of it at once, as
far as a step reaches, under the very limits that bind every other agent:

    wanted = to_go / reach            in full actions for a step
    box       each component that the control names, clipped to [-1, 1]
    discrete  the move m with the least sum |wanted - m|: the one that leaves the least to go
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.agents.baselines import Infos, Observations
from inspatio_gym.envs.actions import COMPONENTS, MOVES, TIME_MOVES

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Stage


class Oracle:
    """Goes what info["to_go"] says is left. reach: float (7,), how far a full action goes in a step, see `reach_of`."""

    name = "oracle"

    def __init__(self, space: gym.Space, names: Sequence[str], reach: ArrayLike):
        self.space, self.names, self.reach = space, tuple(names), np.asarray(reach, np.float64)

    def begin(self, seeds: Sequence[int]) -> None:
        """There is nothing to remember."""

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        """The action of every world. Raises ValueError if the task does not say what is left to go."""
        if "to_go" not in infos:
            raise ValueError(
                "expected info['to_go'], got none: the oracle plays tasks that say what is left to go, and explore is none"
            )
        return nearest_action(infos["to_go"] / self.reach, self.space, self.names)


def reach_of(stage: "Stage") -> NDArray[np.float64]:
    """How far a full action goes in a step, (7,) in the units of "to_go".

    A step lasts longest in the scene with the lowest rate; in the others the agent falls short rather than overshoots, and
    goes the rest in the next step.
    """
    seconds = stage.frames / min(scene.fps for scene in stage.scenes)
    rig = stage.rig
    return seconds * np.array([*[rig.speed] * 3, *[rig.turn_deg] * 3, stage.config.max_rate])


def nearest_action(wanted: NDArray[np.float64], space: gym.Space, names: Sequence[str]) -> NDArray[Any]:
    """The actions that come nearest to what is wanted, (N, 7) in full actions.

    names: what the action's components, or the moves, are called.
    """
    if isinstance(space, gym.spaces.Discrete):
        table = {**MOVES, **TIME_MOVES}
        moves = np.array([table[name] for name in names], np.float64)
        return np.abs(wanted[:, None] - moves).sum(-1).argmin(-1)
    return np.clip(wanted[:, [COMPONENTS.index(name) for name in names]], -1, 1).astype(np.float32)
