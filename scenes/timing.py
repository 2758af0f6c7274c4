"""Which frames of a video become frames of a scene: a constant rate of at most 30 frames/s out of any timestamps.

    constant rate r    keep every k-th frame, k the least that brings r / k to 30 or below
    anything else      the frame nearest in time to each tick of the usual rate, 30 at most

Both are one rule, the frame nearest to each tick, with ticks `step` seconds apart: at a constant rate every k-th frame
lies on its tick. Frames are never blended.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Frame = TypeVar("Frame")

MAX_FPS = 30  # of any scene: more frames show little that is new and cost as much as any
MIN_FPS = Fraction(1, 1000)  # below it is a damaged header; files state rates as fractions of about that fineness
JITTER = 0.25  # of a frame: timestamps this close to equal spacing are equally spaced (containers round to 1 ms or so)
NEARLY = 1.005  # phones record 30.02 frames/s and mean 30


@dataclass(frozen=True, slots=True)
class Timing:
    """fps: rate of the scene. step: seconds of source video between its frames. source_fps: the video's usual rate.
    constant: whether the video has a constant rate."""

    fps: Fraction
    step: float
    source_fps: float
    constant: bool


def choose_timing(times: NDArray[np.float64], guess: Fraction | None) -> Timing:
    """Timing for frames shown at `times`, (n,) seconds in any order; `guess` is the rate that the container states.

    Without two different times the guess is believed, and without a guess 25 frames/s.
    """
    times = np.unique(times)
    if len(times) < 2:
        rate, constant = guess or Fraction(25), True
    else:
        even = np.linspace(times[0], times[-1], len(times))
        step = float(even[1] - even[0])
        constant = bool(np.abs(times - even).max() <= JITTER * step)
        rate = _tidy(1 / step if constant else 1 / float(np.median(np.diff(times))), guess)
    rate = max(Fraction(rate), MIN_FPS)
    if constant:
        every = math.ceil(rate / (MAX_FPS * NEARLY))
        return Timing(min(rate / every, Fraction(MAX_FPS)), float(every / rate), float(rate), True)
    fps = min(rate, Fraction(MAX_FPS))
    return Timing(fps, float(1 / fps), float(rate), False)


def nearest_to_ticks(timed: Iterable[tuple[float, Frame]], timing: Timing, count: int) -> Iterator[Frame]:
    """Of frames with ascending times yield the nearest to each tick t0, t0 + step, ..., `count` ticks at most.

    The last tick lies within half a source frame of the last frame. A frame may come several times, or never. Holds two
    frames at a time.
    """
    step = timing.step
    ticks = 0
    first: float | None = None
    before: tuple[float, Frame] | None = None
    for time, frame in timed:
        if first is None:
            first = time
        # Ticks up to halfway between the frame before and this one belong to the frame before.
        while before is not None and ticks < count and first + ticks * step <= (before[0] + time) / 2:
            yield before[1]
            ticks += 1
        if ticks == count:
            return
        before = time, frame
    end = -math.inf if before is None else before[0] + 0.5 / timing.source_fps
    while before is not None and first is not None and ticks < count and first + ticks * step < end:
        yield before[1]
        ticks += 1


def _tidy(rate: float, guess: Fraction | None) -> Fraction:
    """The stated rate if that is what was measured, else a fraction near the measured one."""
    if guess and abs(float(guess) / rate - 1) < 1e-3:
        return Fraction(guess)
    return Fraction(rate).limit_denominator(1001)
