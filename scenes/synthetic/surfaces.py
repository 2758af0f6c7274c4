"""The second family of patterns, flat on any face: veins, cloth, chips of stone, cracks, brushed streaks, blotches.

See `textures` for what goes in and comes out, and `styles` for where they are used.
"""

import math

from numba import njit

from inspatio_gym.scenes.synthetic.noise import band, fractal, hashed, mix, scale

MARBLE, WEAVE, CHIPS, CRACKS, STREAKS, BLOTCHES = range(15, 21)

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def second(pattern, a, b, c, u, v, fu, fv, lu, lv, seed):
    """The second family, flat on any face: veins, cloth, chips of stone, cracks, brushed streaks, blotches."""
    small = math.sqrt(fu * fv)
    if pattern == WEAVE:
        size = 0.12 * lu
        warp, weft = band(u / size, 0.0, 0.5, fu / size), band(v / size, 0.0, 0.5, fv / size)
        worn = fractal(u / (4 * lu), v / (4 * lu), seed, small / (4 * lu))
        thread = fractal(u / (0.3 * size), v / (2 * size), seed + 1, small / (0.3 * size))
        return scale(mix(mix(a, b, 0.25 + 0.5 * abs(warp - weft)), c, 0.5 * worn), 0.7 + 0.5 * thread)
    if pattern == CHIPS:
        i, j = int(math.floor(u / lu * 4)), int(math.floor(v / lu * 4))
        near, kind = 9.0, 0.0
        for k in range(9):
            p, q = i + k % 3 - 1, j + k // 3 - 1
            x = u / lu * 4 - p - hashed(p, q, seed)
            y = v / lu * 4 - q - hashed(p, q, seed + 1)
            distance = x * x + y * y
            if distance < near:
                near, kind = distance, hashed(p, q, seed + 2)
        fade = min(1.0, max(0.0, 2.0 - 8.0 * small / lu))
        chip = mix(b, c, kind)
        ground = scale(a, 0.8 + 0.4 * fractal(u / lu, v / lu, seed + 3, small / lu))
        return mix(
            ground, chip, fade * min(1.0, max(0.0, (0.3 + 0.25 * kind - math.sqrt(near)) * 8)) + 0.4 * (1 - fade)
        )
    x, y, w = u / lu, v / lu, small / lu
    if pattern == STREAKS:
        x = v / (6 * lu)
        y, w = u / (0.15 * lu), fu / (0.15 * lu)
        brushed = fractal(y, x, seed, w)
        return mix(mix(a, b, brushed), c, 0.35 * fractal(0.2 * y, 3 * x, seed + 1, 0.2 * w))
    coarse = fractal(x, y, seed, w)
    if pattern == BLOTCHES:
        patch = min(1.0, max(0.0, (coarse - 0.5) * 6 + 0.5))
        return scale(mix(a, mix(b, c, fractal(3 * x, 3 * y, seed + 5, 3 * w)), patch), 0.75 + 0.4 * coarse)
    vein = abs(fractal(x + coarse, y - coarse, seed + 1, w) - 0.5)
    line = min(1.0, max(0.0, 1.0 - vein / (0.03 if pattern == CRACKS else 0.09)))
    ground = mix(a, b, fractal(2 * x + 7, 2 * y, seed + 2, 2 * w))
    return mix(ground, c, line if pattern == CRACKS else 0.7 * line * coarse)
