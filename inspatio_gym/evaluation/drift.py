"""Does a long rollout decay? The camera rounds a loop while time runs to and fro, for hundreds of blocks.

Once a loop the camera passes the same place at the same moment, and what it shows there is compared with the truth, where
it is known, and with what it showed the first time:

    drift   dB   mean PSNR over the last fifth of the passes minus that over the first fifth; 0 keeps, below 0 decays
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation.clips import ClipSource, Take
from inspatio_gym.evaluation.images import psnr
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.evaluation.takes import reach
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.types import Rgb

BLOCKS = 500
LOOP = 48
"""Frames of a loop: time runs to and fro within half of them."""
YAW_DEG, AHEAD = 8.0, 0.05
"""How far the camera turns to both sides, and steps, in reaches (see `takes`)."""


@dataclass(frozen=True, slots=True)
class Drift:
    """frame: int64 (m,), frame of each pass. against: PSNR in dB (m,). last: the picture (H, W, 3) of the last pass."""

    frame: NDArray[np.int64]
    against: NDArray[np.float64]
    last: Rgb

    @property
    def db(self) -> float:
        """See the module's docstring; NaN of fewer than two passes."""
        if len(self.against) < 2:
            return float("nan")
        fifth = max(1, len(self.against) // 5)
        return float(self.against[-fifth:].mean() - self.against[:fifth].mean())


def loop(subject: Subject, start: int, frames: int) -> tuple[Take, NDArray[np.int64]]:
    """The take of so many frames from a source frame on, and where in it the passes are, int64 (m,).

    The camera rides along with the recorded one. A pass is a quarter into a loop, where the camera is turned most.
    """
    phase = np.arange(frames) % LOOP
    ahead = np.minimum(phase, LOOP - phase)
    source = np.minimum(start + ahead, subject.view.num_frames - 1)
    turn = 2 * np.pi * phase / LOOP
    offsets = compose(
        rotation_ypr(YAW_DEG * np.sin(turn)),
        np.stack([0 * turn, 0 * turn, AHEAD * reach(subject, start) * (1 - np.cos(turn))], -1),
    )
    take = Take(source.astype(np.int64), subject.view.c2w[source] @ offsets)
    return take, np.arange(LOOP // 4, frames, LOOP)


def drift(source: ClipSource, subject: Subject, start: int, frames: int, truth: ClipSource | None) -> Drift:
    """Film the loop and compare its passes with the truth, or with the first pass (whose own figure is left out)."""
    take, passes = loop(subject, start, frames)
    rgb = source.film(take, passes).rgb
    if truth is None:
        return Drift(passes[1:], np.array([psnr(picture, rgb[0]) for picture in rgb[1:]]), rgb[-1])
    true = truth.film(Take(take.source[passes[:1]], take.c2w[passes[:1]])).rgb[0]
    return Drift(passes, np.array([psnr(picture, true) for picture in rgb]), rgb[-1])
