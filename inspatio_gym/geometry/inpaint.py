"""Plausible colour and depth where a view shows nothing that was measured: a pull-push pyramid.

Pull: colour and z are averaged over 2x2 pixels, those over 2x2, and so on up to one cell; far pixels weigh more,
because a gap beside a near thing shows what is behind it. Push: from the top down, every cell blends its own mean with
what comes from above, by the share of it that is covered. A hole thus gets the colours of its rim, smoother the farther
inside. It is an invention, and `covered` says so.

    levels      int64 (n + 1, 3): rows and columns of each level, padded to even numbers, and its first cell; at the end
                the number of cells
    means       float32 (4, cells): red, green, blue, z; sums on the way up, means on the way down
    weights     float32 (cells,): what the sums are to be divided by
    shares      float32 (cells,): covered share, 1 from the level on where the cells below it sum to one or more

Ref: Gortler et al., "The lumigraph" (SIGGRAPH 1996), section 3.4.
"""

import numpy as np
from numba import njit

UNKNOWN = np.float32(1e3)  # z where the whole view is empty
_ZERO, _ONE, _QUARTER, _MOST = np.float32(0), np.float32(1), np.float32(0.25), np.float32(0.75)
_NEXT = np.uint64(1)  # unsigned indices spare a test for negative ones, so that loops vectorise


@njit(cache=True, nogil=True, error_model="numpy")
def pyramid_levels(height, width):
    """The `levels` of a view of this size."""
    levels = np.zeros((64, 3), np.int64)
    n = cells = 0
    while n == 0 or height > 1 or width > 1:
        height, width = (height + 1) // 2, (width + 1) // 2
        levels[n, 0], levels[n, 1], levels[n, 2] = height + height % 2, width + width % 2, cells
        cells += levels[n, 0] * levels[n, 1]
        n += 1
    levels[n, 2] = cells
    return levels[: n + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def fill(words, z, kinds, levels, means, weights, shares):
    """Give the pixels with kinds == 2 a colour (words, uint32 (H, W), red lowest) and a z (float32 (H, W)), in place."""
    means[:] = 0
    weights[:] = 0
    shares[:] = 0
    _pull_pixels(words, z, kinds, levels[0, 1], means, weights, shares)
    top = len(levels) - 2
    for level in range(top):
        for k in range(4):
            _pull(levels, level, means[k])
        _pull(levels, level, weights)
        _pull(levels, level, shares)
        for cell in range(levels[level + 1, 2], levels[level + 2, 2]):
            shares[cell] = min(shares[cell], _ONE)
    apex = levels[top, 2]  # the last level's one cell and the three that pad it
    weights[apex : apex + 4] = weights[apex]
    for k in range(4):
        means[k, apex : apex + 4] = means[k, apex]
    for level in range(top, -1, -1):
        for k in range(4):
            _push(levels, level, top, means[k], weights, shares)
    _push_pixels(words, z, kinds, levels, means)


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_pixels(words, z, kinds, stride, means, weights, shares):
    height, width = z.shape
    red, green, blue = (
        np.zeros(2 * stride, np.float32),
        np.zeros(2 * stride, np.float32),
        np.zeros(2 * stride, np.float32),
    )
    far, mass, share = (
        np.zeros(2 * stride, np.float32),
        np.zeros(2 * stride, np.float32),
        np.zeros(2 * stride, np.float32),
    )
    for y in range(height):
        for x in range(width):
            seen = kinds[y, x] < 2
            depth = z[y, x] if z[y, x] < UNKNOWN else UNKNOWN
            weight = depth * depth if seen else _ZERO
            word = words[y, x]
            red[x] = weight * np.float32(np.int32(word & np.uint32(255)))
            green[x] = weight * np.float32(np.int32((word >> np.uint32(8)) & np.uint32(255)))
            blue[x] = weight * np.float32(np.int32((word >> np.uint32(16)) & np.uint32(255)))
            far[x] = weight * depth
            mass[x] = weight
            share[x] = _QUARTER if seen else _ZERO
        start = (y // 2) * stride
        _halve(red, means[0], start, stride)
        _halve(green, means[1], start, stride)
        _halve(blue, means[2], start, stride)
        _halve(far, means[3], start, stride)
        _halve(mass, weights, start, stride)
        _halve(share, shares, start, stride)


@njit(cache=True, nogil=True, error_model="numpy")
def _halve(row, sums, start, cells):
    """Add pairs of a row to `cells` sums from `start` on."""
    a = np.uint64(start)
    for x in range(np.uint64(cells)):
        sums[a + x] += row[x + x] + row[x + x + _NEXT]


@njit(cache=True, nogil=True, error_model="numpy")
def _pull(levels, level, sums):
    """Sum 2x2 cells of a level into the next one."""
    height, width, fine = levels[level]
    for y in range(height // 2):
        above, below = np.uint64(fine + 2 * y * width), np.uint64(fine + (2 * y + 1) * width)
        target = np.uint64(levels[level + 1, 2] + y * levels[level + 1, 1])
        for x in range(np.uint64(width // 2)):
            a, b = above + x + x, below + x + x
            sums[target + x] = sums[a] + sums[a + _NEXT] + sums[b] + sums[b + _NEXT]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _from_above(levels, level, means, y, blend, above):
    """Row y of the pixels or cells under a level, interpolated from it; `blend` is scratch."""
    height, width, start = levels[level]
    near = y // 2
    far = min(max(near + 1 if y % 2 else near - 1, 0), height - 1)
    a, b, cells = np.uint64(start + near * width), np.uint64(start + far * width), np.uint64(width)
    for x in range(cells):
        blend[x + _NEXT] = _MOST * means[a + x] + _QUARTER * means[b + x]
    blend[0], blend[cells + _NEXT] = blend[1], blend[cells]
    for x in range(cells):
        own = _MOST * blend[x + _NEXT]
        above[x + x] = own + _QUARTER * blend[x]
        above[x + x + _NEXT] = own + _QUARTER * blend[x + _NEXT + _NEXT]


@njit(cache=True, nogil=True, error_model="numpy")
def _push(levels, level, top, means, weights, shares):
    """Turn a level's sums into means: the cell's own where it is covered, what comes from above elsewhere."""
    height, width, start = levels[level]
    above, blend = np.zeros(2 * width + 4, np.float32), np.zeros(width + 4, np.float32)
    for y in range(height):
        if level < top:
            _from_above(levels, level + 1, means, y, blend, above)
        least = _ZERO if level < top else _ONE
        a = np.uint64(start + y * width)
        for x in range(np.uint64(width)):
            weight, share = weights[a + x], shares[a + x]
            own = means[a + x] / (weight if weight > _ZERO else _ONE)
            share = share if share > least else least
            means[a + x] = share * own + (_ONE - share) * above[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _push_pixels(words, z, kinds, levels, means):
    height, width = z.shape
    span = 2 * levels[0, 1]
    red, green, blue = np.empty(span, np.float32), np.empty(span, np.float32), np.empty(span, np.float32)
    far, blend = np.empty(span, np.float32), np.empty(span, np.float32)
    half = np.float32(0.5)
    for y in range(height):
        holes = 0
        for x in range(width):
            holes += kinds[y, x] == 2
        if holes == 0:
            continue
        _from_above(levels, 0, means[0], y, blend, red)
        _from_above(levels, 0, means[1], y, blend, green)
        _from_above(levels, 0, means[2], y, blend, blue)
        _from_above(levels, 0, means[3], y, blend, far)
        for x in range(width):
            word = (
                np.uint32(np.int32(red[x] + half))
                | (np.uint32(np.int32(green[x] + half)) << np.uint32(8))
                | (np.uint32(np.int32(blue[x] + half)) << np.uint32(16))
            )
            hole = kinds[y, x] == 2
            depth = far[x] if far[x] > _ZERO else UNKNOWN
            words[y, x] = word if hole else words[y, x]
            z[y, x] = depth if hole else z[y, x]
