"""Shots: one world cannot span a cut, nor a frame with nothing in it.

Frames are compared as thumbnails. At a hard cut the mean difference from the frame before stands alone: far above that
of the frames before it and of the frame after it. A pan, however fast, changes as much at the next frame; a flash
changes back; a dissolve changes little at a time. Those are not cut: halving a good shot loses half a world, while a
missed cut is seen at once.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Rgb

THUMBNAIL = (36, 24)  # width, height; coarse, so that noise and small motion average out
MIN_CHANGE = 15.0  # grey levels
SUDDEN = 4.0  # a cut changes this many times as much as its neighbours
MEMORY = 8  # frames before
BLANK_CONTRAST = 8  # grey levels between the darkest and the brightest part of a frame that shows nothing


@dataclass(slots=True)
class _Held:
    """A frame waiting for its successor; `change` from its predecessor, None if it has none in its shot."""

    index: int
    frame: Rgb
    thumbnail: NDArray[np.int16]
    change: float | None


def split_shots(frames: Iterable[Rgb]) -> Iterator[tuple[int, Rgb, bool]]:
    """Yield each frame that shows something: its index, itself, whether it begins a shot. Holds one frame."""
    recent: deque[float] = deque(maxlen=MEMORY)
    held: _Held | None = None

    def begins(held: _Held, next_change: float) -> bool:
        usual = max(next_change, *recent, 0.0)
        cut = held.change is None or held.change > max(MIN_CHANGE, SUDDEN * usual)
        if cut:
            recent.clear()
        else:
            recent.append(held.change or 0.0)
        return cut

    for index, frame in enumerate(frames):
        thumbnail = cv2.resize(frame, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.int16)
        blank = np.ptp(thumbnail, axis=(0, 1)).max() < BLANK_CONTRAST
        change = float(np.abs(thumbnail - held.thumbnail).mean()) if held is not None and not blank else None
        if held is not None:
            yield held.index, held.frame, begins(held, change or 0.0)
        held = None if blank else _Held(index, frame, thumbnail, change)
    if held is not None:
        yield held.index, held.frame, begins(held, 0.0)
