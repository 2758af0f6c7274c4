"""The camera of every estimator: one focal length, and the principal point in the middle of the picture.

Pixel centres lie at integers, so that the middle of a picture w pixels wide is at (w - 1) / 2.
"""

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Size

FIRST_FOCAL = 0.9  # of the long side: a field of view of 58 degrees, until something better is known
DEPTH_SIDE = 416  # long side of depth maps

Array = NDArray[np.float64]


def first_focal(size: Size) -> float:
    """The focal length, pixels, to begin with."""
    return FIRST_FOCAL * max(size)


def middle(size: Size) -> Array:
    """The principal point (x, y) of pictures of `size`."""
    return np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])


def pinhole(focal: float | Array, size: Size) -> Array:
    """The matrix (3, 3). focal: pixels, or two for the two axes of pixels that are not square."""
    matrix = np.eye(3)
    matrix[[0, 1], [0, 1]] = focal
    matrix[:2, 2] = middle(size)
    return matrix


def shrunk(size: Size, long_side: int) -> Size:
    """`size` brought down to `long_side`, no side below 2; a smaller one stays."""
    shrink = min(1.0, long_side / max(size))
    return max(round(size[0] * shrink), 2), max(round(size[1] * shrink), 2)
