"""What to assume of a clip when its geometry cannot be measured: a camera at rest above a floor, before a wall.

The camera stands still with a field of view of 60 degrees along the longer side. The horizon lies at 40% of the height;
below it the floor comes nearer, its inverse depth growing linearly with the row as a plane's does; above it everything is
as far as the wall. What differs from the median frame moves, and stands where the floor or wall behind it is.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.scene import SceneGeometry
from inspatio_gym.types import Mask, Rgb

if TYPE_CHECKING:
    from inspatio_gym.scenes.estimate import Estimate

LONG_SIDE = 416
_FIELD_OF_VIEW_DEG = 60.0
_HORIZON = 0.4  # of the height
_WALL, _NEAR = 1.5, 0.5  # depth above the horizon, and at the lowest row
_SAMPLES = 15  # frames that the median is taken of
_DIFFERENT = 28  # grey levels from the median frame: something else is there


def estimate_prior(clip: Clip, *, progress: Callable[[str, float], None]) -> "Estimate":
    """The stated prior for a clip whose geometry nobody measured."""
    from inspatio_gym.scenes.estimate import Estimate

    height, width = clip.size
    shrink = min(1.0, LONG_SIDE / max(height, width))
    depth_size = (max(round(height * shrink), 1), max(round(width * shrink), 1))
    focal = max(height, width) / (2 * np.tan(np.radians(_FIELD_OF_VIEW_DEG / 2)))
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    progress("geometry", 1.0)
    return Estimate(
        c2w=np.tile(np.eye(4), (clip.num_frames, 1, 1)),
        intrinsics=np.tile(camera, (clip.num_frames, 1, 1)),
        depth_size=depth_size,
        geometry=SceneGeometry(
            method="static-prior",
            confidence=0.1,
            reason="no estimator that measures cameras and depth is part of this version",
            licence="none",
            metres_per_unit=None,
        ),
        depth_maps=_depth_maps(clip, depth_size),
    )


def _depth_maps(clip: Clip, size: tuple[int, int]) -> Iterator[tuple[NDArray[np.float32], Mask]]:
    chosen = np.unique(np.linspace(0, clip.num_frames - 1, _SAMPLES).astype(int))
    usual = np.median([_small(clip.rgb(int(i)), size) for i in chosen], axis=0)
    rows = np.linspace(0, 1, size[0])
    inverse = 1 / _WALL + np.clip((rows - _HORIZON) / (1 - _HORIZON), 0, 1) * (1 / _NEAR - 1 / _WALL)
    depth = np.repeat((1 / inverse).astype(np.float32)[:, None], size[1], 1)
    for i in range(clip.num_frames):
        off = np.abs(_small(clip.rgb(i), size) - usual).max(-1) > _DIFFERENT
        yield depth, cv2.morphologyEx(off.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(bool)


def _small(rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
    return cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
