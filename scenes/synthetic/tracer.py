"""A ray caster for solids: what does each ray hit, and which colour has it there?

    tables  solids as rows of arrays, of one world at one moment or of many worlds at many moments   (`Tables`)
    tree    bounding boxes in depth-first order; `skip` is where to go on when a box is missed, so no stack is needed
    shots   N cameras: where each stands, and which two stretches of the tree (still, moving) it sees   (`Shots`)
    cast    one ray through each pixel centre -> z-depth (N, H, W) float32, object id (N, H, W) int32
    trace   the same, and samples x samples rays a pixel, lit by one directional light with a penumbra, a sky light with
            contact shadows, averaged in linear light, encoded as sRGB -> (N, H, W, 3) uint8

A ray is o + t d with d = R ((x - cx) / fx, (y - cy) / fy, 1), not normalised, so that t is the z-depth itself. Lines
are shared out over threads and each is computed by itself, so the pictures do not depend on the number of threads. The
functions of one pixel, `seen` and `colour`, know nothing of who calls them: `cuda.py` compiles the same ones for a GPU.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.shapes import (
    BOX,
    ELLIPSOID,
    EPSILON,
    hit_box,
    hit_cylinder,
    hit_ellipsoid,
    local,
    surface,
    world,
)  # fmt: skip
from inspatio_gym.scenes.synthetic.textures import backdrop, reflectance
from inspatio_gym.threads import spread
from inspatio_gym.types import Size

_jit = njit(cache=True, nogil=True, error_model="numpy")
# A call hands over every array and counts its references, which costs more than a ray's tests.
_inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)


class Tables(NamedTuple):
    """Solids as arrays in world units (metres, z up), and trees of boxes around them."""

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
    owner: NDArray[np.int32]
    """(P,) object id."""
    low: NDArray[np.float64]
    """(K, 3) corners of the tree's boxes."""
    high: NDArray[np.float64]
    """(K, 3)"""
    skip: NDArray[np.int64]
    """(K,) the node after this one's subtree."""
    leaf: NDArray[np.int64]
    """(K,) a leaf's part, -1 inside the tree."""


class Light(NamedTuple):
    """Where light comes from, for each of N shots; colours are linear RGB, directions unit vectors towards the light."""

    sun: NDArray[np.float64]
    """(N, samples^2, 3) points of the light's disc, one for each ray of a pixel."""
    sun_colour: NDArray[np.float64]
    sky_axis: NDArray[np.float64]
    """(N, 3) the side that the sky light comes from."""
    sky_colour: NDArray[np.float64]
    ground_colour: NDArray[np.float64]
    contact: NDArray[np.float64]
    """(N,) radius in metres within which things darken each other; 0 for none."""
    zenith: NDArray[np.float64]
    horizon: NDArray[np.float64]
    dome: NDArray[np.float64]
    """(N, 4) centre and radius of the backdrop."""
    seed: NDArray[np.int64]


class Shots(NamedTuple):
    """N views of one or many worlds, as arrays: all that the kernels read."""

    tables: Tables
    light: Light
    walk: NDArray[np.int64]
    """(N, 4) the nodes of what stands still, from and to, and of what moves, from and to."""
    c2w: NDArray[np.float64]
    """(N, 4, 4) in world axes."""
    intrinsics: NDArray[np.float64]
    """(N, 3, 3)"""


@_inlined
def _nearest(tables, walk, o, d, limit, shadow):
    """The first part hit before t = limit and its t; -1 and limit for none. Shadow rays pass what is not opaque and
    stop at the first thing they meet."""
    best, found = limit, -1
    low, high, skip, leaf = tables.low, tables.high, tables.skip, tables.leaf
    shape, rotation, centre, half, top = tables.shape, tables.rotation, tables.centre, tables.half, tables.top
    ix = 1.0 / d[0] if d[0] != 0 else 1e30
    iy = 1.0 / d[1] if d[1] != 0 else 1e30
    iz = 1.0 / d[2] if d[2] != 0 else 1e30
    for stretch in range(2):
        node, end = walk[2 * stretch], walk[2 * stretch + 1]
        while node < end:
            x0, x1 = (low[node, 0] - o[0]) * ix, (high[node, 0] - o[0]) * ix
            y0, y1 = (low[node, 1] - o[1]) * iy, (high[node, 1] - o[1]) * iy
            z0, z1 = (low[node, 2] - o[2]) * iz, (high[node, 2] - o[2]) * iz
            enter = max(max(min(x0, x1), min(y0, y1)), max(min(z0, z1), 0.0))
            leave = min(min(max(x0, x1), max(y0, y1)), min(max(z0, z1), best))
            if enter > leave:
                node = skip[node]
                continue
            k = leaf[node]
            node += 1
            if k < 0 or (shadow and not tables.opaque[k]):
                continue
            p = local(rotation, k, o[0] - centre[k, 0], o[1] - centre[k, 1], o[2] - centre[k, 2])
            q = local(rotation, k, d[0], d[1], d[2])
            h, taper = (half[k, 0], half[k, 1], half[k, 2]), (top[k, 0], top[k, 1])
            if shape[k] == BOX:
                t = hit_box(p, q, h, taper)
            elif shape[k] == ELLIPSOID:
                t = hit_ellipsoid(p, q, h)
            else:
                t = hit_cylinder(p, q, h, taper)
            if t < best:
                best, found = t, k
                if shadow:
                    return found, best
    return found, best


@_jit
def _dome(o, d, dome):
    """Where a ray from inside meets the backdrop."""
    x, y, z = o[0] - dome[0], o[1] - dome[1], o[2] - dome[2]
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = x * d[0] + y * d[1] + z * d[2]
    c = x * x + y * y + z * z - dome[3] * dome[3]
    return (-b + math.sqrt(max(0.0, b * b - a * c))) / a


@_inlined
def _occlusion(tables, walk, x, n, direction, radius):
    """How much something within `radius` along `direction` darkens the sky light, falling off smoothly."""
    found, t = _nearest(tables, walk, x, direction, radius, False)
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
def _backdrop(light, n, o, d, t):
    """Linear RGB of the dome at o + t d."""
    x, y, z = o[0] + t * d[0] - light.dome[n, 0], o[1] + t * d[1] - light.dome[n, 1], o[2] + t * d[2] - light.dome[n, 2]
    x, y, z = x / light.dome[n, 3], y / light.dome[n, 3], z / light.dome[n, 3]
    zenith = (light.zenith[n, 0], light.zenith[n, 1], light.zenith[n, 2])
    horizon = (light.horizon[n, 0], light.horizon[n, 1], light.horizon[n, 2])
    sun = (light.sun[n, 0, 0], light.sun[n, 0, 1], light.sun[n, 0, 2])
    return backdrop((x, y, z), zenith, horizon, sun, light.seed[n])


@_inlined
def _radiance(tables, light, walk, shot, o, d, across, down, ray, rays, k, t):
    """Linear RGB along a ray that meets part k at t; `across` and `down` are how d changes from one pixel to the next."""
    if k < 0:
        return _backdrop(light, shot, o, d, t)
    rotation, centre, half, top = tables.rotation, tables.centre, tables.half, tables.top
    h, taper = (half[k, 0], half[k, 1], half[k, 2]), (top[k, 0], top[k, 1])
    x = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
    p = local(rotation, k, x[0] - centre[k, 0], x[1] - centre[k, 1], x[2] - centre[k, 2])
    n, u, v, eu, ev, iu, iv = surface(tables.shape[k], p, h, taper)
    n = world(rotation, k, n)
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
        q = local(rotation, k, w[0], w[1], w[2])
        whole += q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
        if iu >= 0:
            fu += abs(q[0] if iu == 0 else q[1])
            fv += abs(q[1] if iv == 1 else q[2])
    if iu < 0:
        fu = fv = math.sqrt(0.5 * whole)
    unit = (p[0] / h[0], p[1] / h[1], p[2] / h[2])
    a = reflectance(tables.material, k, u, v, fu, fv, eu, ev, p, unit)
    start = (x[0] + 10 * EPSILON * n[0], x[1] + 10 * EPSILON * n[1], x[2] + 10 * EPSILON * n[2])
    sun = (light.sun[shot, ray, 0], light.sun[shot, ray, 1], light.sun[shot, ray, 2])
    direct = n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]
    if direct > 0:
        blocked, _ = _nearest(tables, walk, start, sun, np.inf, True)
        if blocked >= 0:
            direct = 0.0
    direct = max(0.0, direct)
    sky = 0.5 + 0.5 * (n[0] * light.sky_axis[shot, 0] + n[1] * light.sky_axis[shot, 1] + n[2] * light.sky_axis[shot, 2])
    open_sky = 1.0
    if light.contact[shot] > 0:
        open_sky -= 0.8 * _occlusion(tables, walk, start, n, _hemisphere(n, ray, rays), light.contact[shot])
    glow = tables.material[k, 13]
    red = a[0] * (
        glow
        + direct * light.sun_colour[shot, 0]
        + open_sky * (light.ground_colour[shot, 0] * (1 - sky) + light.sky_colour[shot, 0] * sky)
    )
    green = a[1] * (
        glow
        + direct * light.sun_colour[shot, 1]
        + open_sky * (light.ground_colour[shot, 1] * (1 - sky) + light.sky_colour[shot, 1] * sky)
    )
    blue = a[2] * (
        glow
        + direct * light.sun_colour[shot, 2]
        + open_sky * (light.ground_colour[shot, 2] * (1 - sky) + light.sky_colour[shot, 2] * sky)
    )
    return red, green, blue


@_jit
def _encode(linear):
    """sRGB transfer after a soft shoulder above 0.7, as a byte."""
    if linear > 0.7:
        linear = 0.7 + 0.3 * (1.0 - math.exp(-(linear - 0.7) / 0.3))
    code = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return np.uint8(min(255.0, max(0.0, 255.0 * code + 0.5)))


@_inlined
def camera(c2w, intrinsics, walk):
    """A shot's numbers by themselves: the arrays they come from stay out of the loops, which makes those twice as fast."""
    turn = (
        (c2w[0, 0], c2w[0, 1], c2w[0, 2]),
        (c2w[1, 0], c2w[1, 1], c2w[1, 2]),
        (c2w[2, 0], c2w[2, 1], c2w[2, 2]),
    )
    place = (c2w[0, 3], c2w[1, 3], c2w[2, 3])
    lens = (intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2])
    return turn, place, lens, (walk[0], walk[1], walk[2], walk[3])


@_jit
def _turned(turn, v):
    a, b, c = turn
    return (
        a[0] * v[0] + a[1] * v[1] + a[2] * v[2],
        b[0] * v[0] + b[1] * v[1] + b[2] * v[2],
        c[0] * v[0] + c[1] * v[1] + c[2] * v[2],
    )


@_inlined
def _meet(tables, light, n, place, walk, d):
    """The part that a ray of shot n meets, -1 for the dome, and its t."""
    k, t = _nearest(tables, walk, place, d, np.inf, False)
    return k, (t if k >= 0 else _dome(place, d, light.dome[n]))


@_inlined
def seen(tables, light, n, eye, row, column):
    """The part at a pixel's centre, -1 for the dome, and the z-depth there; `eye` is the `camera` of shot n."""
    turn, place, lens, walk = eye
    d = _turned(turn, ((column - lens[2]) / lens[0], (row - lens[3]) / lens[1], 1.0))
    return _meet(tables, light, n, place, walk, d)


@_inlined
def colour(tables, light, n, eye, row, column, samples, k, t):
    """sRGB bytes of a pixel by samples x samples rays; (k, t) is what `seen` gives, the answer to a single one."""
    turn, place, lens, walk = eye
    across, down = _turned(turn, (1.0 / lens[0], 0.0, 0.0)), _turned(turn, (0.0, 1.0 / lens[1], 0.0))
    red, green, blue = 0.0, 0.0, 0.0
    rays = samples * samples
    for ray in range(rays):
        y = row + (ray // samples + 0.5) / samples - 0.5
        x = column + (ray % samples + 0.5) / samples - 0.5
        d = _turned(turn, ((x - lens[2]) / lens[0], (y - lens[3]) / lens[1], 1.0))
        if rays > 1:
            k, t = _meet(tables, light, n, place, walk, d)
        r, g, b = _radiance(tables, light, walk, n, place, d, across, down, ray, rays, k, t)
        red, green, blue = red + r, green + g, blue + b
    return _encode(red / rays), _encode(green / rays), _encode(blue / rays)


@_jit
def _cast_lines(tables, light, walk, c2w, intrinsics, first, last, depth, object_id):
    """Lines first..last of all pictures."""
    height, width = depth.shape[1:]
    for line in range(first, last):
        n, row = line // height, line % height
        eye = camera(c2w[n], intrinsics[n], walk[n])
        for column in range(width):
            k, depth[n, row, column] = seen(tables, light, n, eye, row, column)
            object_id[n, row, column] = tables.owner[k] if k >= 0 else 0


@_jit
def _trace_lines(tables, light, walk, c2w, intrinsics, first, last, samples, rgb, depth, object_id):
    """Lines first..last of all pictures."""
    height, width = depth.shape[1:]
    for line in range(first, last):
        n, row = line // height, line % height
        eye = camera(c2w[n], intrinsics[n], walk[n])
        for column in range(width):
            k, t = seen(tables, light, n, eye, row, column)
            depth[n, row, column] = t
            object_id[n, row, column] = tables.owner[k] if k >= 0 else 0
            red, green, blue = colour(tables, light, n, eye, row, column, samples, k, t)
            rgb[n, row, column, 0] = red
            rgb[n, row, column, 1] = green
            rgb[n, row, column, 2] = blue


def cast(shots: Shots, size: Size) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """z-depth (N, H, W) at pixel centres and the object there, 0 for the dome."""
    shape = (len(shots.c2w), *size)
    depth, object_id = np.empty(shape, np.float32), np.empty(shape, np.int32)
    spread(lambda first, last: _cast_lines(*shots, first, last, depth, object_id), shape[0] * shape[1])
    return depth, object_id


def trace(shots: Shots, size: Size, samples: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
    """Antialiased sRGB pictures (N, H, W, 3), and what `cast` gives."""
    shape = (len(shots.c2w), *size)
    rgb = np.empty((*shape, 3), np.uint8)
    depth, object_id = np.empty(shape, np.float32), np.empty(shape, np.int32)
    spread(lambda first, last: _trace_lines(*shots, first, last, samples, rgb, depth, object_id), shape[0] * shape[1])
    return rgb, depth, object_id
