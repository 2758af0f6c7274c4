"""Dense optical flow between pictures, as the metrics of motion and of photometric consistency use it.

Ref: dense inverse search, Kroeger et al., "Fast optical flow using dense inverse search" (ECCV 2016), from OpenCV.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Rgb

Flow = NDArray[np.float32]
"""(H, W, 2): how far each pixel goes, x then y, in pixels."""


def flow_between(a: Rgb, b: Rgb) -> Flow:
    """Where the pixels of picture a (H, W, 3) go in picture b. Raises ValueError for pictures of different sizes."""
    if a.shape != b.shape:
        raise ValueError(f"expected pictures of one size, got {a.shape} and {b.shape}")
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (a, b)]
    return np.asarray(search.calc(greys[0], greys[1], None), np.float32)  # type: ignore[call-overload]


def round_trip(there: Flow, back: Flow) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How far each pixel ends from where it started, after going there and back (H, W), and who stayed inside (H, W)."""
    height, width = there.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    to_x, to_y = x + there[..., 0], y + there[..., 1]
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= width - 1) & (to_y <= height - 1)
    returned: Any = cv2.remap(back, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.linalg.norm(there + returned, axis=-1), inside
