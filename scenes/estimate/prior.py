"""What to assume of a clip whose depth cannot be measured: a camera that keeps its place above a floor, inside a wall.

The field of view is 58 degrees along the longer side unless a pan tells otherwise. In the first frame the horizon lies
at 40% of the height. Below it is the floor, a plane; around the camera stands a wall, a cylinder. Both stay where they
are while the camera turns, so that what has been seen once is found again in the same place. What differs from the
median of other frames, turned into this one, moves; it stands where the floor or wall behind it is.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.poses import angle_deg, compose
from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.estimate import Estimate
from inspatio_gym.scenes.estimate.panning import Pan, at_rest, homography
from inspatio_gym.scenes.estimate.pinhole import DEPTH_SIDE, pinhole, shrunk
from inspatio_gym.scenes.scene import SceneGeometry
from inspatio_gym.types import Mask, Size

HORIZON = 0.4  # of the height
WALL, NEAR = 1.5, 0.5  # radius of the wall, and depth of the floor at the lowest row
SAMPLES = 15  # frames that the median is taken of
OVERLAP_DEG = 15.0  # that these may be turned from the frame
DIFFERENT = 28  # grey levels from the median: something else is there


def estimate_prior(clip: Clip, *, progress: Callable[[str, float], None]) -> Estimate:
    """The prior for a camera at rest, for those who ask for it by name."""
    progress("assuming", 1.0)
    return assume(clip, None, "it was asked for")


def assume(clip: Clip, pan: Pan | None, reason: str) -> Estimate:
    """The prior, turned as the camera turns if that is known. reason: why nothing better is."""
    turns = pan is not None and pan.keeps_its_place and pan.turns
    if pan is None or not turns:
        pan = at_rest(clip.num_frames, clip.size)
    depth_size = shrunk(clip.size, DEPTH_SIDE)
    return Estimate(
        c2w=compose(pan.rotations, np.zeros((clip.num_frames, 3))),
        intrinsics=np.tile(pinhole(pan.focal, clip.size), (clip.num_frames, 1, 1)),
        depth_size=depth_size,
        geometry=SceneGeometry(
            method="rotation-and-prior" if turns else "static-prior",
            confidence=0.2 if turns else 0.1,
            reason=reason,
            licence="none",
            metres_per_unit=None,
        ),
        depth_maps=_depth_maps(clip, pan, depth_size),
    )


def _depth_maps(clip: Clip, pan: Pan, size: Size) -> Iterator[tuple[NDArray[np.float32], Mask]]:
    small = Pan(pan.rotations, pan.focal * size[1] / clip.size[1], pan.agreement)
    turning = pan.range_deg > 0
    for i in range(clip.num_frames):
        if i == 0 or turning:
            depth = assumed_depth(small, i, size)
            usual = _usual(clip, small, i, size)
        off = np.abs(_shrunk(clip, i, size) - usual).max(-1) > DIFFERENT
        yield depth, cv2.morphologyEx(off.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(bool)


def assumed_depth(pan: Pan, i: int, size: Size) -> NDArray[np.float32]:
    """z-depth (h, w) of floor and wall in frame i. pan: its focal length in pixels of `size`."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    rays = np.dstack([x, y, np.full_like(x, pan.focal)]) / pan.focal @ pan.rotations[i].T
    horizon, lowest = ((row * height - height / 2) / pan.focal for row in (HORIZON, 1.0))
    floor = np.array([0, 1, -horizon]) / (lowest - horizon) / NEAR  # inverse depth along a ray: 0 at the horizon
    down = floor / np.linalg.norm(floor)
    level = rays - (rays @ down)[..., None] * down
    inverse = np.maximum(rays @ floor, np.linalg.norm(level, axis=2) / WALL)
    return (1 / np.maximum(inverse, 1e-3)).astype(np.float32)


def _usual(clip: Clip, pan: Pan, i: int, size: Size) -> NDArray[np.float32]:
    """Median of frames that look the same way, turned into frame i, float32 (h, w, 3); where none shows it, frame i."""
    near = np.flatnonzero(angle_deg(pan.rotations, pan.rotations[i]) < OVERLAP_DEG)
    own = _shrunk(clip, i, size)
    seen = []
    for j in near[np.unique(np.linspace(0, len(near) - 1, SAMPLES).astype(int))]:
        turned = own.copy()
        cv2.warpPerspective(
            _shrunk(clip, int(j), size), homography(pan, int(j), i, size), size[::-1], turned,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip
        seen.append(turned)
    return np.median(seen, axis=0)


def _shrunk(clip: Clip, i: int, size: Size) -> NDArray[np.float32]:
    return cv2.resize(clip.rgb(i), size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
