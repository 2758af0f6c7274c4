"""What a camera bumps into: the coarse depth of the source frame that is being shown.

A depth map says where surfaces begin, not where they end. A point seen by the source camera at pixel (u, v) and depth z
is blocked where

    depth(u, v) - clearance < z < depth(u, v) + thickness

`clearance` is the camera's own radius; `thickness` is finite, so that the unknown space far behind a thin object stays
open. Outside the view nothing is known and nothing blocks.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.geometry.poses import invert
from inspatio_gym.types import Intrinsics, Poses, Size

NEVER_SHOWN = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The surfaces of one scene, as seen by every source frame; `at` picks the frames that a step shows.

    codes: uint16 (F, h, w), log-coded z-depth. w2c: float64 (F, 4, 4). pinhole: float64 (F, 4), fx, fy, cx, cy in the
    pixels of `codes`. source: int64 (n,), the source frame shown in each frame of the step. Nobody writes to any of them.
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
        return type(self)(self.codes, self.w2c, self.pinhole, indices)


def _frozen(array: NDArray) -> NDArray:
    """A read-only plain view: numba compiles once for it, whether it is a memory map or not."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
