"""Depth where a view shows nothing that was measured: the warp world's filling, for depth maps from elsewhere."""

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry import inpaint

HOLE = 2  # as `inpaint.fill` marks them


def fill_depth(depth: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth maps (m, H, W) with their holes filled from the rims, the farther rim weighing more; a fresh array.

    covered: bool (m, H, W), false in holes.
    """
    filled = np.array(depth, np.float32)
    levels = inpaint.pyramid_levels(*depth.shape[1:])
    cells = levels[-1, 2]
    means, weights, shares = np.empty((4, cells), np.float32), np.empty(cells, np.float32), np.empty(cells, np.float32)
    for z, seen in zip(filled, covered, strict=True):
        if not seen.all():
            kinds = np.where(seen, 0, HOLE).astype(np.uint8)
            inpaint.fill(np.zeros(z.shape, np.uint32), z, kinds, levels, means, weights, shares)
    return filled
