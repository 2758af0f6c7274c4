"""Optical flow into a frame whose camera is known, measured on what a rough depth leaves of it.

A neighbour's picture is first pulled into the frame by the rough depth. What flow remains is short and smooth, so a fast
search finds it, also where the picture flies past beside the road. A pixel that does not come back to where it started
was hidden in the neighbour, or is a mistake.

Ref: dense inverse search, Kroeger et al., "Fast optical flow using dense inverse search" (ECCV 2016), from OpenCV.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RETURN, RETURN_GROWTH = (
    0.4,
    0.05,
)  # pixels off after the way there and back that are tolerated, and for every one of flow


class FlowMeter:
    """Measures flow between pictures of one size; keeps scratch memory, so one thread at a time.

    measure(grey, other, turn, shift, rough) -> flow (h, w, 2), agreement (h, w) in 0..1
    """

    def __init__(self, height: int, width: int):
        self._search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._search.setFinestScale(1)
        self._x, self._y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))

    def measure(
        self,
        grey: NDArray[np.uint8],
        other: NDArray[np.uint8],
        turn: NDArray[np.float64],
        shift: NDArray[np.float64],
        rough: Array,
    ) -> tuple[Array, Array]:
        """Flow from `grey` to `other`, uint8 (h, w), and how far it can be believed.

        turn (3, 3) and shift (3,) map a pixel (x, y, 1) of inverse depth w to turn (x, y, 1) + w shift. rough: such w.
        """
        a, b = turn.astype(np.float32), shift.astype(np.float32)
        x, y, z = (a[k, 0] * self._x + a[k, 1] * self._y + a[k, 2] + b[k] * rough for k in range(3))
        z = np.maximum(z, np.float32(0.05))
        predicted = np.dstack([x / z, y / z])
        pulled = _sample(other, predicted)
        forth = self._search.calc(grey, pulled, None)
        back = self._search.calc(pulled, grey, None)
        reached = np.dstack([self._x, self._y]) + forth
        missed = np.linalg.norm(forth + _sample(back, reached), axis=2)
        tolerated = RETURN + RETURN_GROWTH * np.linalg.norm(forth, axis=2)
        landed = _sample(predicted, reached)
        agreement = 1 / (1 + (missed / tolerated) ** 2) ** 2
        agreement *= self._inside(reached) & self._inside(landed)
        return landed - np.dstack([self._x, self._y]), agreement

    def _inside(self, positions: Array) -> NDArray[np.bool_]:
        height, width = self._x.shape
        x, y = positions[..., 0], positions[..., 1]
        return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def _sample(image: Any, positions: Array) -> Any:
    """An image (h, w, ...) at positions (h, w, 2), bilinear, its border repeated; of the image's dtype."""
    x, y = np.ascontiguousarray(positions[..., 0]), np.ascontiguousarray(positions[..., 1])
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
