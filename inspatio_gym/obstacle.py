"""What a camera bumps into: the coarse depth of the source frame that is being shown.

A depth map says where surfaces begin, not where they end. A point seen by the source camera at pixel (u, v) and depth z
is blocked where

    depth(u, v) - clearance < z < depth(u, v) + thickness

`clearance` is the camera's own radius; `thickness` is finite, so that the unknown space far behind a thin object stays
open. Outside the view nothing is known and nothing blocks. How deep a point is inside is z - depth(u, v) + clearance,
zero when it is free.

Between texels the inverse depth is interpolated, because in a pinhole image the inverse depth of a plane is an affine
function of the pixel: with X = (u - cx) / fx and Y = (v - cy) / fy,

    1 / z = a X + b Y + c   <=>   (a, b, c) . P = 1,

so slanted walls come out exactly flat, and their normal is (a, b, c) itself, read off the gradient.

The functions here are numba kernels for one point; `inspatio_gym.camera` calls them for all frames of a step at once.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.geometry.logdepth import decode_code
from inspatio_gym.geometry.poses import invert
from inspatio_gym.types import Intrinsics, Poses, Size

NEVER_SHOWN = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The surfaces of one scene, as seen by every source frame; `at` picks the frames that a step shows.

    codes: uint16 (F, h, w), log-coded z-depth. w2c: float64 (F, 4, 4). pinhole: float64 (F, 4), fx, fy, cx, cy in the
    pixels of `codes`. source: int64 (n,), the source frame shown in each frame of the step. All arrays are read-only.
    """

    codes: NDArray[np.uint16]
    w2c: Poses
    pinhole: NDArray[np.float64]
    source: NDArray[np.int64]

    @classmethod
    def of(cls, survey_depth: NDArray[np.uint16], c2w: Poses, intrinsics: Intrinsics, size: Size) -> Self:
        """Prepare a scene: `survey_depth` uint16 (F, h, w) (a memory map is fine and stays one), `c2w` (F, 4, 4),
        `intrinsics` (F, 3, 3) in the pixels of an image of `size` (height, width).

        Raises TypeError for depth that is not uint16 codes, ValueError for shapes that do not fit together.
        """
        if survey_depth.dtype != np.uint16:
            raise TypeError(f"expected uint16 depth codes, got {survey_depth.dtype}: use logdepth.encode_depth")
        frames = len(c2w)
        if survey_depth.ndim != 3 or len(survey_depth) != frames or intrinsics.shape != (frames, 3, 3):
            raise ValueError(
                f"expected survey_depth (F, h, w), c2w (F, 4, 4) and intrinsics (F, 3, 3) of as many frames, "
                f"got {survey_depth.shape}, {c2w.shape} and {intrinsics.shape}"
            )
        height, width = survey_depth.shape[1:]
        scale_x, scale_y = width / size[1], height / size[0]
        pinhole = np.stack(
            (
                intrinsics[:, 0, 0] * scale_x,
                intrinsics[:, 1, 1] * scale_y,
                (intrinsics[:, 0, 2] + 0.5) * scale_x - 0.5,
                (intrinsics[:, 1, 2] + 0.5) * scale_y - 0.5,
            ),
            -1,
        )
        return cls(_frozen(survey_depth), _frozen(invert(c2w)), _frozen(pinhole), NEVER_SHOWN)

    def at(self, source: ArrayLike) -> Self:
        """The same scene while the frames `source`, int (n,), are shown. Raises IndexError outside 0..F-1."""
        indices = np.asarray(source, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self.codes):
            raise IndexError(f"expected source frames in 0..{len(self.codes) - 1}, got {indices}")
        return replace(self, source=indices)


def _frozen(array: NDArray) -> NDArray:
    """A read-only plain view: numba compiles once for it, whether it is a memory map or not."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@njit(cache=True, nogil=True)
def _cell(coordinate: float, size: int) -> tuple[int, int, float]:
    """The two texels around a coordinate and the weight of the second; constant beyond the outer centres."""
    first = min(max(int(np.floor(coordinate)), 0), max(size - 2, 0))
    return first, min(first + 1, size - 1), min(max(coordinate - first, 0.0), 1.0)


@njit(cache=True, nogil=True)
def surface(codes, pinhole, frame, x, y, z):
    """The surface that source camera `frame` sees through the point (x, y, z) of its own axes.

    Returns (depth, a, b, c), with depth 0 when the camera does not see that way.
    """
    if z <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    fx, fy, cx, cy = pinhole[frame]
    height, width = codes.shape[1:]
    u, v = fx * x / z + cx, fy * y / z + cy
    if not (-0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5):
        return 0.0, 0.0, 0.0, 0.0
    left, right, s = _cell(u, width)
    top, bottom, t = _cell(v, height)
    w00, w01 = 1.0 / decode_code(codes[frame, top, left]), 1.0 / decode_code(codes[frame, top, right])
    w10, w11 = 1.0 / decode_code(codes[frame, bottom, left]), 1.0 / decode_code(codes[frame, bottom, right])
    inverse = (w00 * (1 - s) + w01 * s) * (1 - t) + (w10 * (1 - s) + w11 * s) * t
    a = fx * ((w01 - w00) * (1 - t) + (w11 - w10) * t)
    b = fy * ((w10 - w00) * (1 - s) + (w11 - w01) * s)
    return 1.0 / inverse, a, b, inverse - a * x / z - b * y / z


@njit(cache=True, nogil=True)
def inside(codes, pinhole, frame, x, y, z, clearance, thickness):
    """How deep the point (x, y, z) of source camera `frame` is blocked, in scene units along z; 0 when it is free."""
    depth = surface(codes, pinhole, frame, x, y, z)[0]
    if depth == 0.0:
        return 0.0
    deep = z - depth + clearance
    return deep if 0.0 < deep < clearance + thickness else 0.0


@njit(cache=True, nogil=True)
def way_out(codes, pinhole, frame, x, y, z, deep):
    """The displacement (3,) along the surface's normal, towards the viewer, that takes `deep` off a blocked point.

    One Newton step: moving by t along the unit normal m changes the depth inside by -t z / |m . P| near the surface.
    """
    _, a, b, c = surface(codes, pinhole, frame, x, y, z)
    length = np.sqrt(a * a + b * b + c * c)
    distance = (a * x + b * y + c * z) / length  # of the viewer to the plane through the point
    push = -(deep * (1.0 + 1e-6) + 1e-9) * abs(distance) / z / length
    return push * a, push * b, push * c
