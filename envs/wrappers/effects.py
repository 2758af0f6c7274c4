"""What is done to an observation, world by world.

    Light     every episode has its own brightness and contrast
    Noise     every frame has noise of the sensor's: colours by an amount, depths by a share of themselves
    Latency   everything but the goal is seen as it was some steps ago
    Dropped   now and then the camera's pictures (rgb, depth) do not come, and the last ones stay

An effect keeps one world's state: `begin` at the start of an episode, then `see` once for every observation, the first
one included. What is random comes from the generator that both are given. Observations are replaced, never written to.
"""

import copy
from collections import deque
from typing import Protocol

import cv2
import numpy as np

from inspatio_gym.envs.spaces import MAX_DEPTH
from inspatio_gym.types import Arrays

PICTURES = ("rgb", "depth")  # of the camera
GOAL = "goal"  # keys that begin so tell what is wanted, not what is seen


class Effect(Protocol):
    """One kind of disturbance in one world."""

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        ...

    def see(self, observation: Arrays, rng: np.random.Generator) -> Arrays:
        """The observation as it is seen: a dictionary of its own, with fresh arrays where something has changed."""
        ...


class Light:
    """rgb' = 127.5 + (1 + c) (rgb - 127.5) + 255 b, with b in +-brightness and c in +-contrast drawn for an episode."""

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2):
        self.brightness = _share(brightness, "brightness")
        self.contrast = _share(contrast, "contrast")

    def begin(self, rng: np.random.Generator) -> None:
        brightness, contrast = rng.uniform(-1, 1, 2) * (self.brightness, self.contrast)
        values = 127.5 + (1 + contrast) * (np.arange(256) - 127.5) + 255 * brightness
        self._table = np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def see(self, observation: Arrays, rng: np.random.Generator) -> Arrays:
        return {**observation, "rgb": cv2.LUT(observation["rgb"], self._table)}


class Noise:
    """Normal noise on every pixel: of `rgb` (a share of 255) on colours, of `depth` (a share of the depth) on depths."""

    def __init__(self, rgb: float = 0.03, depth: float = 0.02):
        self.rgb, self.depth = _share(rgb, "rgb"), _share(depth, "depth")

    def begin(self, rng: np.random.Generator) -> None:
        """Noise has no memory."""

    def see(self, observation: Arrays, rng: np.random.Generator) -> Arrays:
        rgb, depth = observation["rgb"], observation["depth"]
        colours = rgb + (255 * self.rgb) * rng.standard_normal(rgb.shape, np.float32)
        depths = depth * (1 + np.float32(self.depth) * rng.standard_normal(depth.shape, np.float32))
        return {
            **observation,
            "rgb": np.clip(np.rint(colours), 0, 255).astype(np.uint8),
            "depth": np.clip(depths, 0, MAX_DEPTH),
        }


class Latency:
    """What is seen is `d` steps old, with d from 0 to `most` drawn for an episode; at its start, its first observation."""

    def __init__(self, most: int = 2):
        if most < 0:
            raise ValueError(f"expected a latency of 0 steps or more, got {most}: pass 2, say")
        self.most = most

    def begin(self, rng: np.random.Generator) -> None:
        self._past: deque[Arrays] = deque(maxlen=1 + int(rng.integers(self.most + 1)))

    def see(self, observation: Arrays, rng: np.random.Generator) -> Arrays:
        # Kept beyond this call, so it must be our own.
        self._past.append({key: value.copy() for key, value in observation.items() if not key.startswith(GOAL)})
        return {**observation, **copy.deepcopy(self._past[0])}


class Dropped:
    """With this chance a step brings no pictures of the camera: the last ones that came are seen again."""

    def __init__(self, chance: float = 0.1):
        self.chance = _share(chance, "chance")

    def begin(self, rng: np.random.Generator) -> None:
        self._last: Arrays = {}

    def see(self, observation: Arrays, rng: np.random.Generator) -> Arrays:
        if rng.random() >= self.chance or not self._last:
            self._last = {key: observation[key].copy() for key in PICTURES}
        return {**observation, **copy.deepcopy(self._last)}


def _share(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"expected {name} from 0 to 1, got {value}: pass 0.1, say")
    return float(value)
