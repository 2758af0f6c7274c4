"""What a small network makes of a clip whose camera keeps its place: `anchor(video, estimator="depth-small")`.

It does not take the prior's place by itself: `benchmarks/depth.py` has the network ahead on held-out worlds and behind on
a real road (docs/depth.md).

    keys       up to 40 frames, spread over the clip          InverseDepth(frame)  ->  nearness (h, w) of each
    chain      each key's factor, so that it agrees with the key before where both look
    usual      of frame i: the median of the keys that look its way, turned into it  ->  nearness of what rests
    moving     what differs from the median of the frames (as for the prior)  ->  the network's answer to frame i itself

A turning camera sees a point at one distance from every frame, so keys are turned as 1 / distance, not 1 / z-depth. What
rests comes from one median, so it does not flicker; only what moves is looked at frame by frame.

Of the affine freedom of inverse depth the factor is left to the scene, whose median depth is 1. The shift is the
network's own, which learnt it from worlds (`training.depth_loss`), within bounds: nothing is nearer than a quarter or
farther than four times the median depth. So a view from the side moves near things as far as they plausibly would, and
a wrong guess of the far end cannot tear the picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.checkpoints import CHECKPOINTS, locate
from inspatio_gym.extras import extra
from inspatio_gym.geometry.poses import angle_deg
from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.estimate import Estimate
from inspatio_gym.scenes.estimate.panning import Pan, find_pan, homography
from inspatio_gym.scenes.estimate.prior import OVERLAP_DEG, assume
from inspatio_gym.scenes.estimate.tracks import follow
from inspatio_gym.types import Mask, Size

if TYPE_CHECKING:
    from inspatio_gym.scenes.estimate.depth_net import InverseDepth

WEIGHTS = "depth-small"
CONFIDENCE = 0.3
RESTING_KEYS, MOST_KEYS, KEY_DEG = 9, 40, 4.0  # keys of a camera at rest, of any, and one more for so much turning
NEAREST, FARTHEST = 0.25, 4.0  # medians of depth

Map = NDArray[np.float32]


def estimate(clip: Clip, *, progress: Callable[[str, float], None], weights: str = WEIGHTS) -> Estimate:
    """The network's depth for a camera taken to keep its place.

    Raises MissingExtra without torch, WeightsNotFound and WeightsError for weights that are not there or not whole.
    """
    with extra("depth"):
        from inspatio_gym.scenes.estimate.depth_net import InverseDepth
    network = InverseDepth.load(locate(weights))
    pan = find_pan(follow(clip, lambda share: progress("tracking", share)))
    return look(clip, pan, "it was asked for", network)


def look(clip: Clip, pan: Pan, reason: str, network: "InverseDepth") -> Estimate:
    """What `network` sees, in place of the prior's floor and wall."""
    found = assume(clip, pan, reason)
    if not found.geometry.method.startswith("rotation"):
        pan = Pan(found.c2w[:, :3, :3], float(found.intrinsics[0, 0, 0]), pan.agreement)
    geometry = replace(
        found.geometry,
        method=found.geometry.method.removesuffix("prior").replace("-and-", "-") + f"and-{WEIGHTS}",
        confidence=CONFIDENCE,
        licence=CHECKPOINTS[WEIGHTS].licence,
    )
    return replace(found, geometry=geometry, depth_maps=_depth_maps(clip, pan, found, network))


def _depth_maps(clip: Clip, pan: Pan, found: Estimate, network: "InverseDepth") -> Iterator[tuple[Map, Mask]]:
    size = found.depth_size
    small = Pan(pan.rotations, pan.focal * size[1] / clip.size[1], pan.agreement)
    distance = _distance_per_depth(small, size)
    keys = keyframes(small)
    nearness = {k: network(clip.rgb(k), size) / distance for k in keys}
    for earlier, later in pairwise(keys):
        turned, both = _turned(nearness[earlier], small, earlier, later, size)
        nearness[later] *= _factor(turned, nearness[later], both)
    unit = float(np.median(nearness[keys[0]] * distance))
    usual = None
    for i, (_, moving) in enumerate(found.depth_maps):
        if usual is None or small.turns:
            usual = _usual(nearness, small, i, size) * distance
        inverse = usual
        if moving.any():
            own = network(clip.rgb(i), size)
            inverse = np.where(moving, own * _factor(usual, own, ~moving), usual)
        yield (1 / np.clip(inverse / unit, 1 / FARTHEST, 1 / NEAREST)).astype(np.float32), moving


def keyframes(pan: Pan) -> list[int]:
    """Which frames the network looks at for what rests: evenly spread, more of them the more the camera turns."""
    turned = float(np.sum(angle_deg(pan.rotations[1:], pan.rotations[:-1]))) if pan.turns else 0.0
    count = min(MOST_KEYS, RESTING_KEYS + round(turned / KEY_DEG))
    return [int(k) for k in np.unique(np.linspace(0, len(pan.rotations) - 1, count).astype(int))]


def _usual(nearness: dict[int, Map], pan: Pan, i: int, size: Size) -> Map:
    """1 / distance in frame i: the median of the keys that look its way."""
    angles = {k: float(angle_deg(pan.rotations[k], pan.rotations[i])) for k in nearness}
    near = [k for k, angle in angles.items() if angle < OVERLAP_DEG] or [min(angles, key=lambda k: angles[k])]
    seen = []
    for k in near:
        turned, inside = _turned(nearness[k], pan, k, i, size)
        seen.append(np.where(inside, turned, np.nan))
    nearest = _turned(nearness[min(near, key=lambda k: angles[k])], pan, min(near, key=lambda k: angles[k]), i, size)[0]
    missing = np.all(np.isnan(seen), 0)
    return np.where(missing, nearest, np.nanmedian(np.where(missing, 0, seen), 0)).astype(np.float32)


def _turned(nearness: Map, pan: Pan, source: int, target: int, size: Size) -> tuple[Map, Mask]:
    """A map of frame `source` as frame `target` sees it, its rim drawn out, and where it really reaches."""
    matrix = homography(pan, source, target, size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpPerspective(nearness, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(
        np.ones(size, np.uint8), matrix, size[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(turned, np.float32), inside.astype(bool)


def _factor(wanted: Map, got: Map, where: Mask) -> float:
    """What brings `got` to `wanted`, by the median over `where`; 1 where that is nowhere."""
    return float(np.median(wanted[where] / got[where])) if where.any() else 1.0


def _distance_per_depth(pan: Pan, size: Size) -> Map:
    """How much farther than its z-depth a pixel's point is from the camera, (h, w)."""
    x, y = np.meshgrid(np.arange(size[1]) - (size[1] - 1) / 2, np.arange(size[0]) - (size[0] - 1) / 2)
    return np.sqrt(1 + (x**2 + y**2) / pan.focal**2).astype(np.float32)
