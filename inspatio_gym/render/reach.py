"""How far a path may lead: its radius, in the scene's own units.

A path is written in radii of the scene's foreground. The foreground is the depth that a tenth of all pixels lie nearer
than: the road before a car, the edge of a table. Round something that near, a steep path may still lead below the ground
or into a wall, where there is nothing to see. The radius is therefore let grow from a small one only as long as all of the
path lies in the open.

A place is buried if recorded cameras have it in view and every one of them sees a surface before it. What no camera has in
view is taken to be open; far below the ground is such a place, which is why the radius grows and does not shrink.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.logdepth import decode_depth
from inspatio_gym.geometry.poses import invert
from inspatio_gym.types import Poses

logger = logging.getLogger(__name__)

NEARER = 10  # per cent of the pixels
TRIES = np.geomspace(0.05, 1, 20)  # radii, in radii of the foreground
BEFORE = 0.98  # of a place's depth: a surface nearer than this hides it
WITNESSES = 64  # recorded cameras that are asked, spread over the clip


def foreground(scene: Any) -> float:
    """The depth that a tenth of the scene's pixels lie nearer than, in scene units."""
    codes = scene.survey_depth[:: max(1, scene.num_frames // WITNESSES)]
    return float(np.percentile(decode_depth(codes), NEARER))


def open_radius(scene: Any, path: Callable[[float], Poses]) -> float:
    """The longest radius up to the foreground's with which no camera of `path` (radius -> (n, 4, 4)) is buried."""
    full, share = foreground(scene), TRIES[0]
    for longer in TRIES:
        if buried(scene, path(longer * full)[:, :3, 3]).any():
            logger.info("%s: the path's radius is %.2g of the foreground's, to stay in the open", scene.name, share)
            break
        share = longer
    return float(share * full)


def buried(scene: Any, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the places (n, 3), in the first camera's frame, lie behind a surface for all cameras that look there."""
    seen = np.zeros(len(places), bool)
    free = np.zeros(len(places), bool)
    for frame in range(0, scene.num_frames, max(1, scene.num_frames // WITNESSES)):
        w2c, (fx, fy, cx, cy) = invert(scene.c2w[frame]), scene.intrinsics[frame][[0, 1, 0, 1], [0, 1, 2, 2]]
        x, y, z = (places @ w2c[:3, :3].T + w2c[:3, 3]).T
        ahead = z > 0
        depth = decode_depth(scene.survey_depth[frame])
        height, width = depth.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            column = np.floor((fx * x / z + cx + 0.5) * width / scene.size[1])
            row = np.floor((fy * y / z + cy + 0.5) * height / scene.size[0])
        inside = ahead & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        surface = depth[row[inside].astype(int), column[inside].astype(int)]
        seen |= inside
        free[inside] |= surface >= BEFORE * z[inside]
    return seen & ~free
