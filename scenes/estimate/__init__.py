"""From a clip to its cameras and its depth: the estimators, behind one interface.

    estimate_geometry(clip, progress=...) -> Estimate

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

ESTIMATORS = {"prior": "inspatio_gym.scenes.estimate.prior:estimate_prior"}
"""Where each estimator lives, as module:callable; called with (clip, progress=)."""


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
    """Cameras and depth of a clip. progress: hears (stage, share done in 0..1)."""
    from inspatio_gym.scenes.estimate.prior import estimate_prior

    return estimate_prior(clip, progress=progress)
