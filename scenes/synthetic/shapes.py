"""The shapes that solids have: where a ray meets one, and how its surface is laid out for a texture.

Points and rays are in the part's own frame, in metres; h holds the half extents and `top` the size of the upper face
relative to the lower one. A hit closer than `EPSILON` counts as the surface that the ray starts on.
"""

import math

import numpy as np
from numba import njit

BOX, ELLIPSOID, CYLINDER = range(3)
EPSILON = 1e-4  # metres
_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def local(rotation, k, x, y, z):
    """The transpose of the k-th rotation times a vector."""
    return (
        rotation[k, 0, 0] * x + rotation[k, 1, 0] * y + rotation[k, 2, 0] * z,
        rotation[k, 0, 1] * x + rotation[k, 1, 1] * y + rotation[k, 2, 1] * z,
        rotation[k, 0, 2] * x + rotation[k, 1, 2] * y + rotation[k, 2, 2] * z,
    )


@_jit
def world(rotation, k, v):
    """The k-th rotation times a vector."""
    return (
        rotation[k, 0, 0] * v[0] + rotation[k, 0, 1] * v[1] + rotation[k, 0, 2] * v[2],
        rotation[k, 1, 0] * v[0] + rotation[k, 1, 1] * v[1] + rotation[k, 1, 2] * v[2],
        rotation[k, 2, 0] * v[0] + rotation[k, 2, 1] * v[1] + rotation[k, 2, 2] * v[2],
    )


@_jit
def _clip(near, far, offset, slope):
    """Cut the interval (near, far) to where offset + t slope <= 0."""
    if slope > 0:
        return near, min(far, -offset / slope)
    if slope < 0:
        return max(near, -offset / slope), far
    return (near, far) if offset <= 0 else (1.0, -1.0)


@_jit
def hit_box(o, d, h, top):
    near, far = -np.inf, np.inf
    near, far = _clip(near, far, o[2] - h[2], d[2])
    near, far = _clip(near, far, -o[2] - h[2], -d[2])
    for k in range(2):
        if near > far:
            return np.inf
        middle, lean = h[k] * (1 + top[k]) / 2, h[k] * (1 - top[k]) / (2 * h[2])
        near, far = _clip(near, far, o[k] + lean * o[2] - middle, d[k] + lean * d[2])
        near, far = _clip(near, far, -o[k] + lean * o[2] - middle, -d[k] + lean * d[2])
    if near > far:
        return np.inf
    if near > EPSILON:
        return near
    return far if far > EPSILON else np.inf


@_jit
def hit_ellipsoid(o, d, h):
    p = (o[0] / h[0], o[1] / h[1], o[2] / h[2])
    q = (d[0] / h[0], d[1] / h[1], d[2] / h[2])
    a = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
    b = p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
    c = p[0] * p[0] + p[1] * p[1] + p[2] * p[2] - 1.0
    root = b * b - a * c
    if root < 0:
        return np.inf
    root = math.sqrt(root)
    if -b - root > EPSILON * a:
        return (-b - root) / a
    return (-b + root) / a if -b + root > EPSILON * a else np.inf


@_jit
def hit_cylinder(o, d, h, top):
    p = (o[0] / h[0], o[1] / h[1], o[2] / h[2])
    q = (d[0] / h[0], d[1] / h[1], d[2] / h[2])
    lean = (1 - top[0]) / 2
    radius = (1 + top[0]) / 2 - lean * p[2]
    best = np.inf
    a = q[0] * q[0] + q[1] * q[1] - lean * lean * q[2] * q[2]
    b = p[0] * q[0] + p[1] * q[1] + lean * q[2] * radius
    c = p[0] * p[0] + p[1] * p[1] - radius * radius
    root = b * b - a * c
    if root >= 0 and a != 0:
        root = math.sqrt(root)
        for sign in (-1.0, 1.0):
            t = (-b + sign * root) / a
            if EPSILON < t < best and abs(p[2] + t * q[2]) <= 1.0:
                best = t
    if q[2] != 0:
        for side in (-1.0, 1.0):
            t = (side - p[2]) / q[2]
            x, y = p[0] + t * q[0], p[1] + t * q[1]
            rim = 1.0 if side < 0 else top[0]
            if EPSILON < t < best and x * x + y * y <= rim * rim:
                best = t
    return best


@_jit
def surface(shape, p, h, top):
    """Normal, (u, v), extents and the axes of u and v (or -1, -1 if round) of a point on a part, in its own frame."""
    if shape == ELLIPSOID:
        n = (p[0] / (h[0] * h[0]), p[1] / (h[1] * h[1]), p[2] / (h[2] * h[2]))
        return n, math.atan2(p[1], p[0]) * h[0] + 3.15 * h[0], p[2] + h[2], 6.3 * h[0], 2 * h[2], -1, -1
    if shape == CYLINDER:
        if abs(p[2]) > (1 - 1e-6) * h[2]:
            return (0.0, 0.0, p[2]), p[0] + h[0], p[1] + h[1], 2 * h[0], 2 * h[1], 0, 1
        x, y = p[0] / h[0], p[1] / h[1]
        slant = math.sqrt(x * x + y * y) * (1 - top[0]) / (2 * h[2])
        n = (x / h[0], y / h[1], slant)
        return n, math.atan2(p[1], p[0]) * h[0] + 3.15 * h[0], p[2] + h[2], 6.3 * h[0], 2 * h[2], -1, -1
    axis, best, lean = 2, abs(p[2]) - h[2], 0.0
    for k in range(2):
        slope = h[k] * (1 - top[k]) / (2 * h[2])
        gap = abs(p[k]) + slope * p[2] - h[k] * (1 + top[k]) / 2
        if gap > best:
            axis, best, lean = k, gap, slope
    if axis == 0:
        return (math.copysign(1.0, p[0]), 0.0, lean), p[1] + h[1], p[2] + h[2], 2 * h[1], 2 * h[2], 1, 2
    if axis == 1:
        return (0.0, math.copysign(1.0, p[1]), lean), p[0] + h[0], p[2] + h[2], 2 * h[0], 2 * h[2], 0, 2
    return (0.0, 0.0, math.copysign(1.0, p[2])), p[0] + h[0], p[1] + h[1], 2 * h[0], 2 * h[1], 0, 1
