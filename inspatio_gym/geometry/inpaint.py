"""Plausible colour and depth where a view shows nothing that was measured: a pull-push pyramid.

Colours are averaged upwards over covered pixels, weighted towards what is far, because a gap beside a near thing shows
what is behind it; then uncovered pixels take what comes down from the finest level that knows something. The result is
smooth and has the colours of the far rim; it is an invention, and `covered` says so.

Ref: Gortler et al., "The lumigraph" (SIGGRAPH 1996), section 3.4.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def pyramid_cells(height, width):
    """Cells that `fill` needs of scratch for a view of this size."""
    cells = 0
    while height > 1 or width > 1:
        height, width = (height + 1) // 2, (width + 1) // 2
        cells += height * width
    return cells


@njit(cache=True, nogil=True, error_model="numpy")
def _pull(fine, height, width, coarse):
    """Sum 2x2 cells: colour and z weighted towards what is far, that weight, and the covered fraction."""
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    for y in range(half_height):
        for x in range(half_width):
            for k in range(6):
                total = np.float32(0)
                for j in range(2 * y, min(2 * y + 2, height)):
                    for i in range(2 * x, min(2 * x + 2, width)):
                        total += fine[j * width + i, k]
                coarse[y * half_width + x, k] = total
            cell = coarse[y * half_width + x]
            cell[5] = min(np.float32(1), cell[5])


@njit(cache=True, nogil=True, error_model="numpy")
def fill(rgb, depth, covered, scratch):
    """Fill uncovered pixels by a pull-push pyramid that prefers what is far, which is what a gap usually shows.

    scratch: float32 (pyramid_cells(H, W) + 1, 6).

    Ref: Gortler et al., "The lumigraph" (SIGGRAPH 1996), section 3.4, pull-push.
    """
    height, width = depth.shape
    # Level 1 straight from the pixels.
    h, w = (height + 1) // 2, (width + 1) // 2
    scratch[: h * w] = 0
    for y in range(height):
        for x in range(width):
            if covered[y, x]:
                z = depth[y, x]
                weight = z * z
                weight *= weight
                cell = scratch[(y // 2) * w + x // 2]
                cell[0] += weight * np.float32(rgb[y, x, 0])
                cell[1] += weight * np.float32(rgb[y, x, 1])
                cell[2] += weight * np.float32(rgb[y, x, 2])
                cell[3] += weight * z
                cell[4] += weight
                cell[5] += np.float32(0.25)
    starts = np.zeros(32, np.int64)
    heights = np.zeros(32, np.int64)
    widths = np.zeros(32, np.int64)
    levels = 1
    heights[0], widths[0] = h, w
    while h > 1 or w > 1:
        start = starts[levels - 1] + h * w
        _pull(scratch[starts[levels - 1] : start], h, w, scratch[start:])
        h, w = (h + 1) // 2, (w + 1) // 2
        starts[levels], heights[levels], widths[levels] = start, h, w
        levels += 1
    # Push down: blend each level's own mean with the coarser level by its covered fraction.
    for level in range(levels - 1, -1, -1):
        h, w, start = heights[level], widths[level], starts[level]
        for y in range(h):
            for x in range(w):
                cell = scratch[start + y * w + x]
                own = cell[5]
                inverse = own / cell[4] if cell[4] > 0 else np.float32(0)
                if level + 1 < levels and own < 1:
                    hw, hh, coarse = widths[level + 1], heights[level + 1], starts[level + 1]
                    cx, cy = x // 2, y // 2
                    nx = min(max(cx + (1 if x % 2 else -1), 0), hw - 1)
                    ny = min(max(cy + (1 if y % 2 else -1), 0), hh - 1)
                    rest = (np.float32(1) - own) * np.float32(0.0625)
                    p, q = scratch[coarse + cy * hw + cx], scratch[coarse + cy * hw + nx]
                    r, s = scratch[coarse + ny * hw + cx], scratch[coarse + ny * hw + nx]
                    for k in range(4):
                        mixed = np.float32(9) * p[k] + np.float32(3) * (q[k] + r[k]) + s[k]
                        cell[k] = cell[k] * inverse + rest * mixed
                elif cell[4] > 0:
                    for k in range(4):
                        cell[k] = cell[k] / cell[4]
    h, w = heights[0], widths[0]
    for y in range(height):
        for x in range(width):
            if not covered[y, x]:
                cx, cy = x // 2, y // 2
                nx = min(max(cx + (1 if x % 2 else -1), 0), w - 1)
                ny = min(max(cy + (1 if y % 2 else -1), 0), h - 1)
                p, q = scratch[cy * w + cx], scratch[cy * w + nx]
                r, s = scratch[ny * w + cx], scratch[ny * w + nx]
                for k in range(4):
                    mixed = np.float32(0.0625) * (np.float32(9) * p[k] + np.float32(3) * (q[k] + r[k]) + s[k])
                    if k < 3:
                        rgb[y, x, k] = np.uint8(mixed + np.float32(0.5))
                    else:
                        depth[y, x] = mixed
