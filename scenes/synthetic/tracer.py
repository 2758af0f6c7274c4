"""A ray caster for solids: what does each ray hit, and which colour has it there?

    rays    solids as arrays, and what a ray hits first of them
    shading which light comes back along it
    shots   N cameras: where each stands, and which two stretches of the tree (still, moving) it sees   (`Shots`)
    cast    one ray through each pixel centre -> z-depth (N, H, W) float32, object id (N, H, W) int32
    trace   the same, and samples x samples rays a pixel, lit by one directional light with a penumbra, a sky light with
            contact shadows, averaged in linear light, encoded as sRGB -> (N, H, W, 3) uint8

A ray is o + t d with d = R ((x - cx) / fx, (y - cy) / fy, 1), not normalised, so that t is the z-depth itself. Lines
are shared out over threads and each is computed by itself, so the pictures do not depend on the number of threads. The
functions of one pixel, `seen` and `colour`, know nothing of who calls them: `cuda.py` compiles the same ones for a GPU.
Compiled copies on disk notice changes of their own file alone: whoever edits what these call deletes `__pycache__`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.rays import Tables, dome_at, inlined, nearest
from inspatio_gym.scenes.synthetic.shading import Light, encode, radiance
from inspatio_gym.threads import spread
from inspatio_gym.types import Size

WORTH_A_THREAD = 2000  # pixels
_jit = njit(cache=True, nogil=True, error_model="numpy")


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


@inlined
def camera(c2w, intrinsics, walk):
    """A shot's numbers by themselves, so that the arrays they come from stay out of the loops over pixels."""
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


@inlined
def _meet(tables, light, n, place, walk, d):
    """The part that a ray of shot n meets, -1 for the dome, and its t."""
    k, t = nearest(tables, walk, place, d, np.inf, False)
    return k, (t if k >= 0 else dome_at(place, d, light.dome[n]))


@inlined
def seen(tables, light, n, eye, row, column):
    """The part at a pixel's centre, -1 for the dome, and the z-depth there; `eye` is the `camera` of shot n."""
    turn, place, lens, walk = eye
    d = _turned(turn, ((column - lens[2]) / lens[0], (row - lens[3]) / lens[1], 1.0))
    return _meet(tables, light, n, place, walk, d)


@inlined
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
        r, g, b = radiance(tables, light, walk, n, place, d, across, down, ray, rays, k, t)
        red, green, blue = red + r, green + g, blue + b
    return encode(red / rays), encode(green / rays), encode(blue / rays)


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


def _share(work: Callable[[int, int], object], shape: tuple[int, int, int]) -> None:
    """Share the lines of N pictures out over threads."""
    spread(work, shape[0] * shape[1], least=1 + WORTH_A_THREAD // shape[2])


def cast(shots: Shots, size: Size) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """z-depth (N, H, W) at pixel centres and the object there, 0 for the dome."""
    shape = (len(shots.c2w), size[0], size[1])
    depth, object_id = np.empty(shape, np.float32), np.empty(shape, np.int32)
    _share(lambda first, last: _cast_lines(*shots, first, last, depth, object_id), shape)
    return depth, object_id


def trace(shots: Shots, size: Size, samples: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
    """Antialiased sRGB pictures (N, H, W, 3), and what `cast` gives."""
    shape = (len(shots.c2w), size[0], size[1])
    rgb = np.empty((*shape, 3), np.uint8)
    depth, object_id = np.empty(shape, np.float32), np.empty(shape, np.int32)
    _share(lambda first, last: _trace_lines(*shots, first, last, samples, rgb, depth, object_id), shape)
    return rgb, depth, object_id
