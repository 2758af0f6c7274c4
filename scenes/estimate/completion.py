"""Dense maps from scattered, uncertain values, following the edges of a picture.

Weighted least squares: the map u that minimises  sum c (u - v)^2 + lambda * sum w |grad u|^2,  with c the confidence of a
value v and w = exp(-|step in the guide| / sigma), so that values spread within a surface and stop at its edge. Solved by
alternating one-dimensional solves along rows and columns, each an exact tridiagonal system.

Ref: Min et al., "Fast Global Image Smoothing Based on Weighted Least Squares", IEEE TIP 2014.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

_ROUNDS = 3


@numba.njit(cache=True, nogil=True)
def _along_rows(value, weight, guide, table, strength):
    """Replace `value` and `weight` (H, W) by their smoothed selves along each row (Thomas's algorithm)."""
    height, width = value.shape
    upper = np.empty(width, np.float32)
    for y in range(height):
        left = np.float32(0.0)
        for x in range(width):
            right = np.float32(0.0)
            if x + 1 < width:
                right = -strength * table[abs(np.int64(guide[y, x + 1]) - np.int64(guide[y, x]))]
            pivot = np.float32(1.0) - left - right
            v, w = value[y, x], weight[y, x]
            if x > 0:
                pivot -= left * upper[x - 1]
                v -= left * value[y, x - 1]
                w -= left * weight[y, x - 1]
            upper[x] = right / pivot
            value[y, x] = v / pivot
            weight[y, x] = w / pivot
            left = right
        for x in range(width - 2, -1, -1):
            value[y, x] -= upper[x] * value[y, x + 1]
            weight[y, x] -= upper[x] * weight[y, x + 1]


def complete(
    value: NDArray[np.float32], confidence: NDArray[np.float32], guide: NDArray[np.uint8], *, reach: float, sigma: float
) -> NDArray[np.float32]:
    """Fill and smooth `value` (H, W), trusted where `confidence` (H, W) >= 0 is high, along the edges of `guide` (H, W).

    reach: the smoothing's lambda, roughly the square of the distance in pixels that values travel. sigma: grey levels.
    Where no confidence reaches at all, the confident mean is returned.
    """
    table = np.array([math.exp(-step / sigma) for step in range(256)], np.float32)
    up = np.ascontiguousarray(value * confidence, np.float32)
    down = np.ascontiguousarray(confidence, np.float32).copy()
    across = np.ascontiguousarray(guide.T)
    for round_ in range(_ROUNDS):
        strength = np.float32(1.5 * reach * 4 ** (_ROUNDS - 1 - round_) / (4**_ROUNDS - 1))
        _along_rows(up, down, guide, table, strength)
        up, down = np.ascontiguousarray(up.T), np.ascontiguousarray(down.T)
        _along_rows(up, down, across, table, strength)
        up, down = np.ascontiguousarray(up.T), np.ascontiguousarray(down.T)
    mean = float((value * confidence).sum() / max(float(confidence.sum()), 1e-12))
    return np.where(down > 1e-6, up / np.maximum(down, 1e-6), mean).astype(np.float32)
