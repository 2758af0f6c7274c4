"""What patterns are made of: hashes of integer cells, octaves of noise, antialiased stripes, mixtures of colours.

All randomness is a hash of integers, so nothing is stored and any machine sees the same. Each function is filtered to the
width of a pixel that it is given.
"""

import math

from numba import njit

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def hashed(i, j, seed):
    """A number in [0, 1) for each integer cell."""
    h = (i * 374761393 + j * 668265263 + seed * 974634777) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 739982445) & 0xFFFFFFFF
    h = ((h ^ (h >> 12)) * 695872825) & 0xFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFFFF) / 16777216.0


@_jit
def _noise(x, y, seed):
    """Value noise in [0, 1]: random numbers on the integer lattice, smoothly interpolated."""
    i, j = int(math.floor(x)), int(math.floor(y))
    s, t = x - i, y - j
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    low = hashed(i, j, seed) * (1 - s) + hashed(i + 1, j, seed) * s
    high = hashed(i, j + 1, seed) * (1 - s) + hashed(i + 1, j + 1, seed) * s
    return low * (1 - t) + high * t


@_jit
def fractal(x, y, seed, footprint):
    """Octaves of value noise, amplitude 0.62 an octave, in about [0, 1] with mean 1/2; (x, y) in cells of the coarsest."""
    total, amplitude, norm = 0.0, 1.0, 0.0
    for octave in range(6):
        norm += amplitude
        if footprint < 1.0:
            fade = min(1.0, 2.0 * (1.0 - footprint))
            total += amplitude * fade * (_noise(x, y, seed + octave) - 0.5)
        amplitude *= 0.62
        x, y, footprint = 2.03 * x + 17.1, 2.03 * y + 5.7, 2.03 * footprint
    return min(1.0, max(0.0, 0.5 + 1.9 * total / norm))


@_jit
def band(x, low, high, width):
    """The share of a box of `width` around x inside [low, high] + integers: an antialiased stripe of period 1."""
    width = max(width, 1e-6)
    a, b = x - width / 2, x + width / 2
    span = high - low
    fa, fb = math.floor(a), math.floor(b)
    upper = fb * span + min(max(b - fb - low, 0.0), span)
    lower = fa * span + min(max(a - fa - low, 0.0), span)
    return (upper - lower) / width


@_jit
def inside(x, low, high, width):
    """The share of a box of `width` around x inside [low, high]."""
    width = max(width, 1e-6)
    return max(0.0, min(x + width / 2, high) - max(x - width / 2, low)) / width


@_jit
def mix(p, q, t):
    return p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t, p[2] + (q[2] - p[2]) * t


@_jit
def scale(p, t):
    return p[0] * t, p[1] * t, p[2] * t


@_jit
def hue(h):
    """A pleasant, moderately saturated colour for a number in [0, 1)."""
    r = 0.5 + 0.5 * math.cos(6.2832 * h)
    g = 0.5 + 0.5 * math.cos(6.2832 * (h - 0.36))
    b = 0.5 + 0.5 * math.cos(6.2832 * (h - 0.64))
    return 0.08 + 0.62 * r * r, 0.08 + 0.52 * g * g, 0.08 + 0.55 * b * b
