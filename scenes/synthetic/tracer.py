"""A ray caster for a few hundred solids: what does each ray hit, and which colour has it there?

    parts   (P,) solids, each a unit shape with a pose, half extents and a taper   (`Tables`)
    tree    bounding boxes in depth-first order; `skip` is where to go on when a box is missed, so no stack is needed
    cast    one ray through each pixel centre -> z-depth (H, W) float32, part (H, W) int32, -1 for the dome
    paint   samples x samples rays a pixel, lit by one directional light with a penumbra, a sky light with contact
            shadows, averaged in linear light, encoded as sRGB -> (H, W, 3) uint8

A ray is o + t d with d = R ((x - cx) / fx, (y - cy) / fy, 1), not normalised, so that t is the z-depth itself. Rows run
in parallel and no two threads share a number, so the pictures do not depend on the number of threads.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.textures import backdrop, reflectance

BOX, ELLIPSOID, CYLINDER = range(3)
_EPS = 1e-4  # metres: how far off a surface its shadow rays start
_jit = njit(cache=True, nogil=True)


class Tables(NamedTuple):
    """Solids at one moment, as arrays in world units (metres, z up)."""

    shape: NDArray[np.int64]
    """(P,) BOX, ELLIPSOID or CYLINDER (along its z)."""
    rotation: NDArray[np.float64]
    """(P, 3, 3) part-to-world."""
    centre: NDArray[np.float64]
    """(P, 3)"""
    half: NDArray[np.float64]
    """(P, 3) half extents."""
    top: NDArray[np.float64]
    """(P, 2) the size of the top face relative to the bottom one, in x and y; cylinders use the first."""
    opaque: NDArray[np.bool_]
    """(P,) whether it throws a shadow."""
    material: NDArray[np.float64]
    """(P, MATERIAL_WIDTH)"""
    low: NDArray[np.float64]
    """(N, 3) corners of the tree's boxes."""
    high: NDArray[np.float64]
    """(N, 3)"""
    skip: NDArray[np.int64]
    """(N,) the node after this one's subtree."""
    leaf: NDArray[np.int64]
    """(N,) a leaf's part, -1 inside the tree."""


class Light(NamedTuple):
    """Where light comes from; colours are linear RGB, directions unit vectors towards the light, z up."""

    sun: NDArray[np.float64]
    """(samples^2, 3) points of the light's disc, one for each ray of a pixel."""
    sun_colour: NDArray[np.float64]
    sky_axis: NDArray[np.float64]
    """(3,) the side that the sky light comes from."""
    sky_colour: NDArray[np.float64]
    ground_colour: NDArray[np.float64]
    contact: float
    """Radius in metres within which things darken each other; 0 for none."""
    zenith: NDArray[np.float64]
    horizon: NDArray[np.float64]
    dome: NDArray[np.float64]
    """(4,) centre and radius of the backdrop."""
    seed: int


@_jit
def _clip(near, far, offset, slope):
    """Cut the interval (near, far) to where offset + t slope <= 0."""
    if slope > 0:
        return near, min(far, -offset / slope)
    if slope < 0:
        return max(near, -offset / slope), far
    return (near, far) if offset <= 0 else (1.0, -1.0)


@_jit
def _hit_box(o, d, h, top):
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
    if near > _EPS:
        return near
    return far if far > _EPS else np.inf


@_jit
def _hit_ellipsoid(o, d, h):
    p = (o[0] / h[0], o[1] / h[1], o[2] / h[2])
    q = (d[0] / h[0], d[1] / h[1], d[2] / h[2])
    a = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
    b = p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
    c = p[0] * p[0] + p[1] * p[1] + p[2] * p[2] - 1.0
    root = b * b - a * c
    if root < 0:
        return np.inf
    root = math.sqrt(root)
    if -b - root > _EPS * a:
        return (-b - root) / a
    return (-b + root) / a if -b + root > _EPS * a else np.inf


@_jit
def _hit_cylinder(o, d, h, top):
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
            if _EPS < t < best and abs(p[2] + t * q[2]) <= 1.0:
                best = t
    if q[2] != 0:
        for side in (-1.0, 1.0):
            t = (side - p[2]) / q[2]
            x, y = p[0] + t * q[0], p[1] + t * q[1]
            rim = 1.0 if side < 0 else top[0]
            if _EPS < t < best and x * x + y * y <= rim * rim:
                best = t
    return best


@_jit
def _local(rotation, x, y, z):
    """The transpose of a rotation times a vector."""
    return (
        rotation[0, 0] * x + rotation[1, 0] * y + rotation[2, 0] * z,
        rotation[0, 1] * x + rotation[1, 1] * y + rotation[2, 1] * z,
        rotation[0, 2] * x + rotation[1, 2] * y + rotation[2, 2] * z,
    )


@_jit
def _world(rotation, v):
    """A rotation times a vector."""
    return (
        rotation[0, 0] * v[0] + rotation[0, 1] * v[1] + rotation[0, 2] * v[2],
        rotation[1, 0] * v[0] + rotation[1, 1] * v[1] + rotation[1, 2] * v[2],
        rotation[2, 0] * v[0] + rotation[2, 1] * v[1] + rotation[2, 2] * v[2],
    )


@_jit
def _nearest(tables, o, d, limit, shadow):
    """The first part hit before t = limit and its t; -1 and limit for none. Shadow rays pass what is not opaque and
    stop at the first thing they meet."""
    best, found = limit, -1
    ix = 1.0 / d[0] if d[0] != 0 else 1e30
    iy = 1.0 / d[1] if d[1] != 0 else 1e30
    iz = 1.0 / d[2] if d[2] != 0 else 1e30
    node, count = 0, tables.skip.shape[0]
    while node < count:
        x0, x1 = (tables.low[node, 0] - o[0]) * ix, (tables.high[node, 0] - o[0]) * ix
        y0, y1 = (tables.low[node, 1] - o[1]) * iy, (tables.high[node, 1] - o[1]) * iy
        z0, z1 = (tables.low[node, 2] - o[2]) * iz, (tables.high[node, 2] - o[2]) * iz
        enter = max(max(min(x0, x1), min(y0, y1)), max(min(z0, z1), 0.0))
        leave = min(min(max(x0, x1), max(y0, y1)), min(max(z0, z1), best))
        if enter > leave:
            node = tables.skip[node]
            continue
        k = tables.leaf[node]
        node += 1
        if k < 0 or (shadow and not tables.opaque[k]):
            continue
        r, c = tables.rotation[k], tables.centre[k]
        p = _local(r, o[0] - c[0], o[1] - c[1], o[2] - c[2])
        q = _local(r, d[0], d[1], d[2])
        if tables.shape[k] == BOX:
            t = _hit_box(p, q, tables.half[k], tables.top[k])
        elif tables.shape[k] == ELLIPSOID:
            t = _hit_ellipsoid(p, q, tables.half[k])
        else:
            t = _hit_cylinder(p, q, tables.half[k], tables.top[k])
        if t < best:
            best, found = t, k
            if shadow:
                break
    return found, best


@_jit
def _dome(o, d, dome):
    """Where a ray from inside meets the backdrop."""
    x, y, z = o[0] - dome[0], o[1] - dome[1], o[2] - dome[2]
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = x * d[0] + y * d[1] + z * d[2]
    c = x * x + y * y + z * z - dome[3] * dome[3]
    return (-b + math.sqrt(max(0.0, b * b - a * c))) / a


@_jit
def _surface(shape, p, h, top):
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


@_jit
def _occlusion(tables, x, n, direction, radius):
    """How much something within `radius` along `direction` darkens the sky light, falling off smoothly."""
    found, t = _nearest(tables, x, direction, radius, False)
    return 0.0 if found < 0 else (1.0 - t / radius) ** 2


@_jit
def _hemisphere(n, k, count):
    """The k-th of `count` directions around the unit normal n, cosine-weighted, on a sunflower spiral."""
    r2 = (k + 0.5) / count
    turn = 2.399963 * k
    r, up = math.sqrt(r2), math.sqrt(1.0 - r2)
    sign = 1.0 if n[2] >= 0 else -1.0
    a = -1.0 / (sign + n[2])
    b = n[0] * n[1] * a
    x, y = r * math.cos(turn), r * math.sin(turn)
    return (
        x * (1.0 + sign * n[0] * n[0] * a) + y * b + up * n[0],
        x * sign * b + y * (sign + n[1] * n[1] * a) + up * n[1],
        -x * sign * n[0] - y * n[1] + up * n[2],
    )


@_jit
def _radiance(tables, light, o, d, across, down, ray, rays):
    """Linear RGB along a ray; `across` and `down` are how d changes from one pixel to the next."""
    k, t = _nearest(tables, o, d, np.inf, False)
    if k < 0:
        t = _dome(o, d, light.dome)
        x = (o[0] + t * d[0] - light.dome[0], o[1] + t * d[1] - light.dome[1], o[2] + t * d[2] - light.dome[2])
        x = (x[0] / light.dome[3], x[1] / light.dome[3], x[2] / light.dome[3])
        sun = (light.sun[0, 0], light.sun[0, 1], light.sun[0, 2])
        zenith = (light.zenith[0], light.zenith[1], light.zenith[2])
        return backdrop(x, zenith, (light.horizon[0], light.horizon[1], light.horizon[2]), sun, light.seed)
    r, c, h, m = tables.rotation[k], tables.centre[k], tables.half[k], tables.material[k]
    x = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
    p = _local(r, x[0] - c[0], x[1] - c[1], x[2] - c[2])
    n, u, v, eu, ev, iu, iv = _surface(tables.shape[k], p, h, tables.top[k])
    n = _world(r, n)
    size = math.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
    n = (n[0] / size, n[1] / size, n[2] / size)
    facing = n[0] * d[0] + n[1] * d[1] + n[2] * d[2]
    if facing > 0:
        n, facing = (-n[0], -n[1], -n[2]), -facing
    # A pixel's width on the surface: the step of the hit point from one pixel to the next, along the texture's axes.
    fu, fv, whole = 0.0, 0.0, 0.0
    for step in (across, down):
        slide = (n[0] * step[0] + n[1] * step[1] + n[2] * step[2]) / min(facing, -1e-3)
        w = (t * (step[0] - slide * d[0]), t * (step[1] - slide * d[1]), t * (step[2] - slide * d[2]))
        q = _local(r, w[0], w[1], w[2])
        whole += q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
        if iu >= 0:
            fu += abs(q[0] if iu == 0 else q[1])
            fv += abs(q[1] if iv == 1 else q[2])
    if iu < 0:
        fu = fv = math.sqrt(0.5 * whole)
    unit = (p[0] / h[0], p[1] / h[1], p[2] / h[2])
    a = reflectance(m, u, v, fu, fv, eu, ev, p, unit)
    start = (x[0] + 10 * _EPS * n[0], x[1] + 10 * _EPS * n[1], x[2] + 10 * _EPS * n[2])
    sun = (light.sun[ray, 0], light.sun[ray, 1], light.sun[ray, 2])
    direct = n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]
    if direct > 0:
        blocked, _ = _nearest(tables, start, sun, np.inf, True)
        if blocked >= 0:
            direct = 0.0
    direct = max(0.0, direct)
    sky = 0.5 + 0.5 * (n[0] * light.sky_axis[0] + n[1] * light.sky_axis[1] + n[2] * light.sky_axis[2])
    open_sky = 1.0
    if light.contact > 0:
        open_sky -= 0.8 * _occlusion(tables, start, n, _hemisphere(n, ray, rays), light.contact)
    glow = m[13]
    red = a[0] * (
        glow
        + direct * light.sun_colour[0]
        + open_sky * (light.ground_colour[0] * (1 - sky) + light.sky_colour[0] * sky)
    )
    green = a[1] * (
        glow
        + direct * light.sun_colour[1]
        + open_sky * (light.ground_colour[1] * (1 - sky) + light.sky_colour[1] * sky)
    )
    blue = a[2] * (
        glow
        + direct * light.sun_colour[2]
        + open_sky * (light.ground_colour[2] * (1 - sky) + light.sky_colour[2] * sky)
    )
    return red, green, blue


@_jit
def _encode(linear):
    """sRGB transfer after a soft shoulder above 0.7, as a byte."""
    if linear > 0.7:
        linear = 0.7 + 0.3 * (1.0 - math.exp(-(linear - 0.7) / 0.3))
    code = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return np.uint8(min(255.0, max(0.0, 255.0 * code + 0.5)))


@njit(cache=True, nogil=True, parallel=True)
def cast(tables, dome, c2w, intrinsics, height, width):
    """z-depth (height, width) float32 at pixel centres and the part there, int32, -1 for the dome."""
    depth = np.empty((height, width), np.float32)
    part = np.empty((height, width), np.int32)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    o = (c2w[0, 3], c2w[1, 3], c2w[2, 3])
    for row in prange(height):
        for column in range(width):
            d = _world(c2w, ((column - cx) / fx, (row - cy) / fy, 1.0))
            k, t = _nearest(tables, o, d, np.inf, False)
            part[row, column] = k
            depth[row, column] = t if k >= 0 else _dome(o, d, dome)
    return depth, part


@njit(cache=True, nogil=True, parallel=True)
def paint(tables, light, c2w, intrinsics, height, width, samples):
    """An antialiased sRGB picture (height, width, 3) uint8."""
    rgb = np.empty((height, width, 3), np.uint8)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    o = (c2w[0, 3], c2w[1, 3], c2w[2, 3])
    across, down = _world(c2w, (1.0 / fx, 0.0, 0.0)), _world(c2w, (0.0, 1.0 / fy, 0.0))
    rays = samples * samples
    for row in prange(height):
        for column in range(width):
            red, green, blue = 0.0, 0.0, 0.0
            for i in range(samples):
                y = row + (i + 0.5) / samples - 0.5
                for j in range(samples):
                    x = column + (j + 0.5) / samples - 0.5
                    d = _world(c2w, ((x - cx) / fx, (y - cy) / fy, 1.0))
                    r, g, b = _radiance(tables, light, o, d, across, down, i * samples + j, rays)
                    red, green, blue = red + r, green + g, blue + b
            rgb[row, column, 0] = _encode(red / rays)
            rgb[row, column, 1] = _encode(green / rays)
            rgb[row, column, 2] = _encode(blue / rays)
    return rgb
