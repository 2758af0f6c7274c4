"""Which light comes back along a ray: a pattern's colour under one lamp with a penumbra and a sky with contact shadows.

Everything is linear RGB until `encode` makes sRGB bytes of it.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.rays import inlined, nearest
from inspatio_gym.scenes.synthetic.shapes import EPSILON, local, surface, world
from inspatio_gym.scenes.synthetic.textures import backdrop, reflectance

_jit = njit(cache=True, nogil=True, error_model="numpy")


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


@inlined
def _occlusion(tables, walk, x, n, direction, radius):
    """How much something within `radius` along `direction` darkens the sky light, falling off smoothly."""
    found, t = nearest(tables, walk, x, direction, radius, False)
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


@inlined
def radiance(tables, light, walk, shot, o, d, across, down, ray, rays, k, t):
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
        blocked, _ = nearest(tables, walk, start, sun, np.inf, True)
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
def encode(linear):
    """sRGB transfer after a soft shoulder above 0.7, as a byte."""
    if linear > 0.7:
        linear = 0.7 + 0.3 * (1.0 - math.exp(-(linear - 0.7) / 0.3))
    code = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return np.uint8(min(255.0, max(0.0, 255.0 * code + 0.5)))
