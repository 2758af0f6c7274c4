"""The turning of a camera that keeps its place, from tracks.

Between keyframes a rotation alone moves every point x to K R K^-1 x, however far away it is; that is why depth stays
unknown. Rotations are chained over keyframes and interpolated between them. A wide pan also tells the focal length:
the one that explains the points best.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation, Slerp

from inspatio_gym.geometry.poses import angle_deg
from inspatio_gym.scenes.estimate.pinhole import first_focal, pinhole
from inspatio_gym.scenes.estimate.points import Array
from inspatio_gym.scenes.estimate.sfm import MIN_POINTS, keyframes
from inspatio_gym.scenes.estimate.tracks import Tracks
from inspatio_gym.scenes.estimate.twoview import OUTLIER, Pair, turn_only
from inspatio_gym.types import Size

FOCALS = np.geomspace(0.5, 1.8, 10)  # of the long side, tried on a wide pan
WIDE_DEG = 8.0  # of turning, to tell them apart
KEEPS_ITS_PLACE = 0.7  # of the points that turning alone must explain
STANDS_STILL_DEG = 1.0  # of turning, at most


@dataclass(frozen=True)
class Pan:
    """rotations: (F, 3, 3) camera-to-world, the first the identity. focal: pixels. agreement: 0..1, the share of points
    that turning alone explains."""

    rotations: Array
    focal: float
    agreement: float

    @property
    def keeps_its_place(self) -> bool:
        """Whether turning is all that the camera does."""
        return self.agreement > KEEPS_ITS_PLACE

    @property
    def turns(self) -> bool:
        """Whether it does that."""
        return self.range_deg > STANDS_STILL_DEG

    @property
    def range_deg(self) -> float:
        """The largest angle from the first frame."""
        return float(angle_deg(self.rotations, np.eye(3)).max())


def at_rest(num_frames: int, size: Size) -> Pan:
    """A camera that does not turn."""
    return Pan(np.tile(np.eye(3), (num_frames, 1, 1)), first_focal(size), 1.0)


def find_pan(tracks: Tracks) -> Pan:
    """How the camera turned, with the usual focal length unless the pan is wide enough to tell a better one."""
    pan = _chain(tracks, first_focal(tracks.size))
    if pan.range_deg < WIDE_DEG:
        return pan
    tried = FOCALS * max(tracks.size)
    best = int(np.argmax([_chain(tracks, f).agreement for f in tried]))
    bounds = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    found = minimize_scalar(
        lambda f: -_chain(tracks, f).agreement, bounds=bounds, method="bounded", options={"maxiter": 8}
    )
    return _chain(tracks, float(found.x))


def _chain(tracks: Tracks, focal: float) -> Pan:
    keys = keyframes(tracks)
    if len(keys) == 1:
        return at_rest(tracks.num_frames, tracks.size)
    turned, agreements = [np.eye(3)], []
    for a, b in pairwise(keys):
        ids, here, there = tracks.between(a, b)
        if len(ids) < MIN_POINTS:
            turned.append(turned[-1])
            continue
        pair = Pair.of(here, there, tracks.size, focal)
        rotation, left = turn_only(pair)
        turned.append(turned[-1] @ rotation.T)
        agreements.append(float((pair.weight / (1 + (left / OUTLIER) ** 2)).sum()))
    between = Slerp(keys, Rotation.from_matrix(np.stack(turned)))
    agreement = float(np.mean(agreements)) if agreements else 0.0
    return Pan(between(np.arange(tracks.num_frames)).as_matrix(), focal, agreement)


def homography(pan: Pan, source: int, target: int, size: Size) -> Array:
    """(3, 3) from pixels of frame `target` to those of frame `source`, both of `size` and of the same focal length."""
    camera = pinhole(pan.focal, size)
    return camera @ pan.rotations[source].T @ pan.rotations[target] @ np.linalg.inv(camera)
