"""From a clip to its cameras and its depth: the estimators, behind one interface.

    tracks        corners followed through the clip                         (`tracks`)
    structure     cameras and points from them                              (`sfm`, on `twoview`, `points`, `adjust`)
    depth         of every pixel, given the cameras                         (`dense`, on `flow`, `stereo`, `completion`)
    or, where the camera does not change its place or nothing can be followed
    prior         a stated assumption, turned as the camera turns           (`prior`, `panning`)
    or, for those who ask for it
    network       a small one that comes with the package, up to scale      (`learnt`, on `depth_net`, `panning`)
    or, with weights
    network       metric depth of each frame, cameras as above              (`depth_anything_v2`)
    network       cameras and depth of many frames together                 (`depth_anything_3`, `windows`)

An estimator looks at frames and says where the camera was and how far everything is. Whatever it had to assume it states
in `SceneGeometry`: the method, a confidence in 0..1, and the reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.scene import SceneGeometry
from inspatio_gym.types import Intrinsics, Mask, Poses, Size

VERSION = 1
"""Raise it with every change to what any estimator answers, so that cached scenes are made again."""

ESTIMATORS = {
    "sfm": "inspatio_gym.scenes.estimate.measured:estimate_structure",
    "prior": "inspatio_gym.scenes.estimate.prior:estimate_prior",
    "depth-small": "inspatio_gym.scenes.estimate.learnt:estimate",
    "depth-anything-v2-metric-indoor-small": "inspatio_gym.scenes.estimate.depth_anything_v2:estimate",
    "depth-anything-v2-metric-indoor-base": "inspatio_gym.scenes.estimate.depth_anything_v2:estimate",
    "depth-anything-v2-metric-indoor-large": "inspatio_gym.scenes.estimate.depth_anything_v2:estimate",
    "depth-anything-v2-metric-outdoor-small": "inspatio_gym.scenes.estimate.depth_anything_v2:estimate",
    "depth-anything-v2-metric-outdoor-base": "inspatio_gym.scenes.estimate.depth_anything_v2:estimate",
    "depth-anything-v2-metric-outdoor-large": "inspatio_gym.scenes.estimate.depth_anything_v2:estimate",
    "depth-anything-3-small": "inspatio_gym.scenes.estimate.depth_anything_3:estimate",
    "depth-anything-3-base": "inspatio_gym.scenes.estimate.depth_anything_3:estimate",
    "depth-anything-3-nested-giant": "inspatio_gym.scenes.estimate.depth_anything_3:estimate",
}
"""Where each estimator lives, as module:callable; called with (clip, progress=), and with weights= its own name if it is
that of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """c2w: (F, 4, 4), the first the identity. intrinsics: (F, 3, 3) at the clip's size. depth_size: (h, w).

    depth_maps: for each frame in order the z-depth float32 (h, w), finite and positive everywhere, in the units of c2w,
    and the mask bool (h, w) of what moves by itself; made one at a time as they are asked for.
    """

    c2w: Poses
    intrinsics: Intrinsics
    depth_size: Size
    geometry: SceneGeometry
    depth_maps: Iterator[tuple[NDArray[np.float32], Mask]]


def estimate_geometry(clip: Clip, *, progress: Callable[[str, float], None]) -> Estimate:
    """Cameras and depth of a clip: measured if that can be done, else assumed. progress: hears (stage, share done)."""
    from inspatio_gym.scenes.estimate.measured import measure
    from inspatio_gym.scenes.estimate.panning import find_pan
    from inspatio_gym.scenes.estimate.prior import assume
    from inspatio_gym.scenes.estimate.sfm import NoStructure
    from inspatio_gym.scenes.estimate.tracks import follow

    tracks = follow(clip, lambda share: progress("tracking", share))
    pan = find_pan(tracks)
    try:
        return measure(clip, tracks, pan, progress)
    except NoStructure as problem:
        return assume(clip, pan, f"{problem}, so depth cannot be measured")
