"""An episode as arrays, and what all episodes of a dataset have in common.

An episode of T steps holds T + 1 observations: action t was chosen on seeing observation t and led to observation t + 1,
with reward t. The last observation belongs to it; what a reset shows is the first one of the next.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Arrays

Kind = Literal["image", "map", "vector"]


@dataclass(frozen=True, slots=True)
class Episode:
    """T steps of one world.

    index: its place in the dataset. seed: what its world was reset with. scene: the scene's name.
    observations: (T + 1, ...) each, as the world's space has them. actions: (T, ...). rewards: float64 (T,).
    terminated, truncated: the episode was ended by its task, or cut; reason: why it was cut, or "".
    infos: what goes with each observation, (T + 1, ...) each: camera, source time, coverage, the task's metrics.
    """

    index: int
    seed: int
    scene: str
    observations: Arrays
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    terminated: bool
    truncated: bool
    reason: str
    infos: Arrays

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def terminations(self) -> NDArray[np.bool_]:
        """bool (T,), true at most at the last step."""
        return self._last(self.terminated)

    @property
    def truncations(self) -> NDArray[np.bool_]:
        """bool (T,), true at most at the last step."""
        return self._last(self.truncated)

    def _last(self, value: bool) -> NDArray[np.bool_]:
        flags = np.zeros(len(self), np.bool_)
        flags[-1] = value
        return flags


@dataclass(frozen=True, slots=True)
class Source:
    """Where the episodes come from.

    world: arguments of `gymnasium.make`, its id too. observation_space, action_space: of one world. action_names: what each
    component of an action sets, or each move does. fps: observations a second of control time, a whole number. policy: who
    acted.
    """

    world: dict[str, Any]
    observation_space: gym.spaces.Dict
    action_space: gym.Space
    action_names: tuple[str, ...]
    fps: int
    policy: str

    def keys(self, kind: Kind) -> list[str]:
        """The parts of an observation of that kind."""
        return [name for name, space in self.observation_space.spaces.items() if kind_of(space) == kind]


def kind_of(space: gym.Space) -> Kind:
    """What a part of an observation is written as: a picture (H, W, 3) uint8, a map (H, W, 1) of floats, or numbers."""
    shape = space.shape or ()
    if len(shape) == 3 and shape[2] == 3 and space.dtype == np.uint8:
        return "image"
    if len(shape) == 3 and shape[2] == 1 and space.dtype == np.float32:
        return "map"
    return "vector"


class Format(Protocol):
    """Writes a dataset of one format. Made with a folder of its own and the `Source`."""

    def write(self, episode: Episode) -> None:
        """Write an episode, whole or not at all; they come in order, the last one perhaps again after a kill."""
        ...

    def finish(self, episodes: int) -> None:
        """Write what stands for the whole dataset of so many episodes, at least one."""
        ...
