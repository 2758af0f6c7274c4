"""What an agent observes, with bounds that are finite everywhere.

    rgb    uint8   (H, W, 3)   the last frame of the step
    depth  float32 (H, W, 1)   z-depth in median depths, clipped at `MAX_DEPTH`
    pose   float32 (7,)        the offset's position (right, down, forward axes; median depths) and quaternion w, x, y, z
    time   float32 (2,)        position in the clip, 0 to 1, and the rate of time now, in source seconds per second

The pose is where the agent has moved the camera to, relative to the recorded camera (mount "source") or to the first
one (mount "world").
"""

from collections.abc import Mapping
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.recycling import Recycler
from inspatio_gym.types import Arrays, Rgb, Size

MAX_DEPTH = 10.0  # in median depths
SMALLEST_SIDE = 16  # pixels


def check_size(size: object, name: str) -> Size:
    """`size` as (height, width). Raises ValueError if it is not two whole numbers of at least `SMALLEST_SIDE`."""
    try:
        height, width = (int(side) for side in size if int(side) == side)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"expected {name}=(height, width) of at least {SMALLEST_SIDE} pixels each, got {size!r}: pass (96, 160), say"
        )
    return height, width


def observation_space(
    size: Size, *, max_offset: float, max_rate: float, extra: Mapping[str, gym.Space]
) -> gym.spaces.Dict:
    """The space of observations of `size` (height, width).

    max_offset: the rig's limit on the position, in median depths. max_rate: of the control. extra: what the task adds.
    Raises ValueError if the task adds a key that is there already.
    """
    height, width = size
    reach, fastest = [max_offset] * 3, max(1.0, max_rate)
    spaces: dict[str, gym.Space] = {
        "rgb": gym.spaces.Box(0, 255, (height, width, 3), np.uint8),
        "depth": gym.spaces.Box(0.0, MAX_DEPTH, (height, width, 1), np.float32),
        "pose": gym.spaces.Box(
            np.array([*(-r for r in reach), 0, -1, -1, -1], np.float32), np.array([*reach, 1, 1, 1, 1], np.float32)
        ),
        "time": gym.spaces.Box(np.array([0, -fastest], np.float32), np.array([1, fastest], np.float32)),
    }
    if taken := spaces.keys() & extra.keys():
        raise ValueError(f"expected the task to add keys of its own, got {sorted(taken)}: rename them")
    return gym.spaces.Dict({**spaces, **extra})


def empty_observation(space: gym.spaces.Dict, recycler: Recycler, *batch: int) -> Arrays:
    """Fresh arrays for an observation in `space` to be written into, or for a batch of them."""
    return {
        name: recycler.empty((*batch, *(part.shape or ())), part.dtype or np.float32)
        for name, part in space.spaces.items()
    }


class Resizer:
    """Frames from the size a model makes to the size that is observed: cover-cropped around the middle to the aspect of
    `size`, then colours averaged, depth and masks picked."""

    def __init__(self, render_size: Size, size: Size):
        self.size = size
        self._same = render_size == size
        height = min(render_size[0], round(render_size[1] * size[0] / size[1]))
        width = min(render_size[1], round(render_size[0] * size[1] / size[0]))
        top, left = (render_size[0] - height) // 2, (render_size[1] - width) // 2
        self._cropped = np.s_[top : top + height, left : left + width]
        rows = top + ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)
        cols = left + ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
        self._picked = np.ix_(rows, cols)
        self._interpolation = cv2.INTER_AREA if height >= size[0] else cv2.INTER_LINEAR

    def rgb(self, frame: Rgb, out: Rgb) -> None:
        """Write `frame` (render height, render width, 3) into `out` (height, width, 3)."""
        if self._same:
            out[...] = frame
        else:
            out[...] = cv2.resize(frame[self._cropped], self.size[::-1], interpolation=self._interpolation)

    def frames(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resized copies of frames (n, render height, render width, 3)."""
        out = np.empty((len(frames), *self.size, 3), np.uint8)
        for frame, small in zip(frames, out, strict=True):
            self.rgb(frame, small)
        return out

    def pick(self, image: NDArray[Any]) -> NDArray[Any]:
        """Depth or a mask (render height, render width) resized, every pixel the one at its centre; itself if it fits."""
        return image if self._same else image[self._picked]
