"""A visual servo: an agent that was never trained and steers by pixels alone, `rgb` against `goal_rgb`.

Turning shows as a shift of the whole picture, which phase correlation measures (Kuglin & Hines 1975); a shift of s
widths is about s FIELD_DEG degrees. What a shift does not show, time and translation, is climbed greedily: go one way
while the difference between the pictures falls; once it rises, turn round and go half as far; once the steps are too
small to matter, go on with the next component, and in the end rest.

    difference = mean |rgb - goal_rgb|, both in grey, ROWS high, the contrast evened out, rgb shifted onto goal_rgb

It knows neither pose nor scene, and it gets stuck where a greedy climber does.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.agents.baselines import Infos, Observations
from inspatio_gym.agents.oracle import nearest_action
from inspatio_gym.envs.actions import COMPONENTS

ROWS = 24  # pixels of height of the pictures that are compared
FIELD_DEG = 60.0  # of view, taken for granted
CLIMBED = ("time", "forward", "right", "up")
SMALLEST = 0.1  # of a full action; below, the next component has its turn
ROUNDS = 2  # turns of each
RISE = 1.02  # the difference must grow by this factor to count: the same view differs a little from moment to moment
LOOK = 0.1  # least of phase correlation's response for a shift to be believed


class Servo:
    """See the module's docstring. reach: float (7,), how far a full action goes in a step (`oracle.reach_of`)."""

    name = "visual servo"

    def __init__(self, space: gym.Space, names: Sequence[str], reach: NDArray[np.float64]):
        self.space, self.names = space, tuple(names)
        self._turn_deg = reach[3]
        moves = set(self.names)
        self._climbed = [
            COMPONENTS.index(name) for name in CLIMBED if moves & {name, {"time": "reverse"}.get(name, name)}
        ]

    def begin(self, seeds: Sequence[int]) -> None:
        self._climbs = [_Climb(len(self._climbed)) for _ in seeds]

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        """The action of every world. Raises ValueError without a picture of the goal."""
        if "goal_rgb" not in observations:
            raise ValueError("expected a picture of the goal in the observation, got no goal_rgb: the servo has no aim")
        wanted = np.zeros((len(self._climbs), 7))
        for row, climb in enumerate(self._climbs):
            here, there = (grey(observations[key][row]) for key in ("rgb", "goal_rgb"))
            (right, down), response = cv2.phaseCorrelate(
                here, there, cv2.createHanningWindow(here.shape[::-1], cv2.CV_32F)
            )
            seen = response > LOOK
            if seen:
                # The goal shows things where the camera has yet to move them: to the left by turning right.
                wanted[row, 3] = -right / here.shape[1] * FIELD_DEG / self._turn_deg
                wanted[row, 4] = down / here.shape[1] * FIELD_DEG / self._turn_deg
            if self._climbed:
                component, value = climb.go(difference(here, there, (right, down) if seen else (0.0, 0.0)))
                wanted[row, self._climbed[component]] = value
        return nearest_action(wanted, self.space, self.names)


class _Climb:
    """Greedy descent along `count` components in turn, each of them `ROUNDS` times, and then rest."""

    def __init__(self, count: int):
        self._turns, self._count = ROUNDS * count, count
        self._step, self._last = 1.0, np.inf

    def go(self, apart: float) -> tuple[int, float]:
        """Which component to move, and by how much of a full action, now that the pictures differ by so much."""
        if apart > RISE * self._last:
            self._step *= -0.5
            if abs(self._step) < SMALLEST:
                self._turns, self._step = self._turns - 1, 0.5
        self._last = apart
        return -self._turns % self._count, self._step if self._turns > 0 else 0.0


def difference(here: NDArray[np.float32], there: NDArray[np.float32], shift: tuple[float, float]) -> float:
    """Mean absolute difference of two pictures (H, W) where they overlap once `here` is shifted by (right, down) pixels."""
    height, width = here.shape
    right, down = shift
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    shifted = cv2.warpAffine(here, move, (width, height), flags=cv2.INTER_LINEAR, borderValue=np.nan)
    return float(np.nanmean(np.abs(shifted - there)))


def grey(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture (H, W, 3) in grey, `ROWS` high, of mean 0 and deviation 1."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (round(ROWS * width / height), ROWS), interpolation=cv2.INTER_AREA)
    values = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return (values - values.mean()) / max(float(values.std()), 1e-3)
