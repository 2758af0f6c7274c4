"""How good an inverse depth is that is known up to scale and shift: aligned by least squares, then compared as depth.

    a, b        = argmin sum (a p + b - 1 / z)^2               p predicted inverse depth, z true depth
    ẑ           = 1 / max(a p + b, 1 / (10 * largest z))
    abs_rel     = mean |ẑ - z| / z
    delta_125   = share of pixels with max(ẑ / z, z / ẑ) < 1.25

Ref: Ranftl et al., "Towards Robust Monocular Depth Estimation" (TPAMI 2022), section 6, for the alignment in inverse depth.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """abs_rel: lower is better. delta_125: share, higher is better."""

    abs_rel: float
    delta_125: float


def aligned(inverse: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float64]:
    """Depth (n,) from inverse depth (n,) with the scale and shift that suit the true depth (n,) best."""
    p, z = inverse.astype(np.float64), depth.astype(np.float64)
    columns = np.column_stack((p, np.ones_like(p)))
    a, b = np.linalg.lstsq(columns, 1 / z, rcond=None)[0]
    return 1 / np.maximum(a * p + b, 1 / (10 * z.max()))


def scores(inverse: NDArray[np.float32], depth: NDArray[np.float32]) -> Scores:
    """inverse, depth: (n,), pixels of one frame, or of all frames of a clip."""
    found, z = aligned(inverse, depth), depth.astype(np.float64)
    ratio = np.maximum(found / z, z / found)
    return Scores(float(np.mean(np.abs(found - z) / z)), float(np.mean(ratio < 1.25)))
