"""Did the camera go where it was sent? Its pose is recovered from the frames by classical geometry.

    corners    of the first frame, where its depth is smooth, lifted into space by that depth
    followed   from the first frame straight into every other one by Lucas-Kanade, starting where they were a frame ago,
               there and back: nothing adds up along the clip
    pose       of every frame by perspective-n-point: RANSAC, then Levenberg-Marquardt on those that agree, which must be many

The first frame must show the scene from the recorded camera of its moment, so that its depth is known; and time must
stand still, so that whatever the pixels do is the camera's doing. From commanded and recovered poses, relative to the
first camera, frames 1, 2, ...:

    e_R    mean angle between the rotations, degrees
    e_t    mean |t - s t'| / max |t|, with s in [0, 3] the least-squares scale of the recovered way t' onto the commanded t
    score  100 sqrt(max(0, 1 - e_R / 15) max(0, 1 - e_t / 0.5))

A frame whose pose cannot be found counts as 15 degrees and 0.5 off. A path that only turns has e_t = 0 by definition.

Ref: the three formulas are those of camera control in Duan et al., "WorldScore: a unified evaluation benchmark for world
generation" (2025), but for the unit of e_t, which here is the length of the commanded way; pose: Lepetit et al. (EPnP,
2009), Fischler and Bolles (RANSAC, 1981); tracker: Lucas and Kanade 1981, Bouguet 2000, Kalal et al. 2010.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.poses import angle_deg, compose, invert
from inspatio_gym.types import Depth, Intrinsics, Mask, Poses

Array = NDArray[np.float64]

ROTATION_LIMIT_DEG, TRANSLATION_LIMIT = 15.0, 0.5
CORNERS, SPACING = 600, 6  # at most so many, so many pixels apart
SMOOTH = 0.05  # of inverse depth: how far a pixel that may be lifted is off the mean of those two to each side
QUALITY = 0.005  # of a corner, relative to the picture's best
SCALE_LIMIT = 3.0  # a camera that went less than a third of its way was not sent elsewhere by its unit of length
RETURN = 0.7  # pixels a point may be off after the way there and back
AGREES = 1.0  # pixels between a point and where the pose puts it, of an inlier
LEAST, AGREEING = 12, 0.4  # points that must agree on a pose, and their share of those that were followed
BORDER = 8  # pixels from the rim within which a point may be lost without blame
WINDOW, LEVELS = 21, 3


@dataclass(frozen=True, slots=True)
class Track:
    """Corners of a first frame through a clip of n frames.

    start: (k, 2) pixels of the first frame. at: (n, k, 2) pixels, NaN where lost.
    """

    start: Array
    at: Array


@dataclass(frozen=True, slots=True)
class Recovered:
    """Poses of a clip, as its frames tell.

    c2w: (n, 4, 4), the first the identity; NaN where no pose was found. missed: (n, k) pixels between followed points and
    where the pose puts them, infinite for points that should be in view and were lost, NaN for those that need not be.
    """

    c2w: Poses
    missed: Array

    @property
    def found(self) -> float:
        """Share of the frames whose pose was found."""
        return float(np.isfinite(self.c2w[1:, 0, 0]).mean())


@dataclass(frozen=True, slots=True)
class CameraError:
    """rotation_deg: e_R. translation: e_t, a share of the commanded way. score: 0 to 100."""

    rotation_deg: float
    translation: float
    score: float


def recover(rgb: NDArray[np.uint8], depth: Depth, matrix: Intrinsics) -> Recovered:
    """Poses of the frames uint8 (n, H, W, 3), from the depth (H, W) of the first; matrix: (3, 3) of all.

    Raises ValueError for fewer than two frames or a depth of another size.
    """
    if rgb.ndim != 4 or len(rgb) < 2 or depth.shape != rgb.shape[1:3]:
        raise ValueError(f"expected two frames (H, W, 3) or more and depth (H, W), got {rgb.shape} and {depth.shape}")
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
    start = corners(greys[0], depth)
    track = follow(greys, start)
    columns, rows = np.rint(start).astype(int).T
    nearness = 1 / depth[rows, columns]
    rays = np.column_stack([start, np.ones(len(start))]) @ np.linalg.inv(matrix).T
    points = rays / nearness[:, None]
    c2w, missed = np.full((len(rgb), 4, 4), np.nan), np.full((len(rgb), len(start)), np.nan)
    c2w[0], last = np.eye(4), np.eye(4)
    for k in range(1, len(rgb)):
        pose = _pose(points, track.at[k], matrix, last)
        if pose is not None:
            c2w[k] = last = pose
            missed[k] = _missed(points, track.at[k], matrix, pose, rgb.shape[1:3])
    return Recovered(c2w, missed)


def camera_error(recovered: Poses, commanded: Poses) -> CameraError:
    """How far recovered poses (n, 4, 4) are off commanded ones (n, 4, 4); both are taken relative to their first.

    Raises ValueError if there are not as many, or fewer than two.
    """
    if recovered.shape != commanded.shape or len(commanded) < 2:
        raise ValueError(f"expected two poses or more of each, got {recovered.shape} and {commanded.shape}")
    found, sent = (invert(poses[0]) @ poses[1:] for poses in (recovered, commanded))
    known = np.isfinite(found[:, 0, 0])
    turned = np.where(
        known, angle_deg(np.where(known[:, None, None], found, np.eye(4))[:, :3, :3], sent[:, :3, :3]), 15
    )
    rotation = float(turned.mean())
    way, seen = sent[:, :3, 3], found[:, :3, 3]
    length = float(np.linalg.norm(way, axis=1).max())
    translation = 0.0
    if length > 1e-9:
        extent = float((seen[known] ** 2).sum())
        fit = float((seen[known] * way[known]).sum()) / extent if extent > 0 else 0.0
        scale = min(max(0.0, fit), SCALE_LIMIT)
        off = np.linalg.norm(way - scale * np.where(known[:, None], seen, 0), axis=1) / length
        translation = float(np.where(known, off, TRANSLATION_LIMIT).mean())
    shares = max(0.0, 1 - rotation / ROTATION_LIMIT_DEG), max(0.0, 1 - translation / TRANSLATION_LIMIT)
    return CameraError(rotation, translation, 100 * float(np.sqrt(shares[0] * shares[1])))


def corners(grey: NDArray[np.uint8], depth: Depth | None = None) -> Array:
    """Corners (k, 2) of a picture (H, W), pixels; with a depth (H, W) only those on smooth surfaces."""
    mask = None
    if depth is not None:
        mask = smooth(depth).astype(np.uint8) * 255
    found: Any = cv2.goodFeaturesToTrack(grey, CORNERS, QUALITY, SPACING, mask=mask)
    return np.zeros((0, 2)) if found is None else found[:, 0].astype(np.float64)


def smooth(depth: Depth) -> Mask:
    """Where a depth (H, W) is that of one surface around a pixel; the inverse depth of a plane is linear, at any slant."""
    nearness = np.pad(1 / depth, 2, mode="edge")
    middle = nearness[2:-2, 2:-2]
    sides = (nearness[:-4, 2:-2] + nearness[4:, 2:-2], nearness[2:-2, :-4] + nearness[2:-2, 4:])
    return np.all([np.abs(both / 2 - middle) <= SMOOTH * middle for both in sides], 0)


def follow(greys: list[Any], start: Array) -> Track:
    """Where points (k, 2) of the first picture (H, W) are in each of n pictures."""
    at = np.full((len(greys), len(start), 2), np.nan)
    at[0] = start
    if not len(start):
        return Track(start, at)
    origin: Any = start.astype(np.float32)[:, None]
    guess = origin.copy()
    options: Any = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    height, width = greys[0].shape
    for k, grey in enumerate(greys[1:], 1):
        there, found, _ = cv2.calcOpticalFlowPyrLK(greys[0], grey, origin, guess.copy(), **options)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, greys[0], there, origin.copy(), **options)
        moved = there[:, 0]
        good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (np.abs(back - origin)[:, 0].max(1) < RETURN)
        good &= (moved > 0).all(1) & (moved[:, 0] < width - 1) & (moved[:, 1] < height - 1)
        at[k, good] = moved[good]
        guess[good] = there[good]
    return Track(start, at)


def _pose(points: Array, at: Array, matrix: Intrinsics, guess: Array) -> Array | None:
    """c2w (4, 4) from which points (k, 3) are seen at pixels (k, 2), NaN where lost; None if too few agree on one.

    Tried are what RANSAC finds and the pose before, each refined twice on the points that agree with it: far points alone,
    of which a street is full, agree with any place, and RANSAC may be content with them.
    """
    known = np.isfinite(at[:, 0])
    if known.sum() < LEAST:
        return None
    world, pixels = points[known], at[known]
    well, turn, shift, _ = cv2.solvePnPRansac(
        world, pixels, matrix, None, iterationsCount=300, reprojectionError=AGREES, confidence=0.999, flags=cv2.SOLVEPNP_EPNP
    )  # fmt: skip
    starts = [guess] + ([invert(compose(cv2.Rodrigues(turn)[0], shift[:, 0]))] if well else [])
    best, most = None, max(LEAST, int(AGREEING * known.sum())) - 1
    for pose in starts:
        for width in (4 * AGREES, 2 * AGREES, AGREES):
            chosen = np.linalg.norm(_project(world, matrix, pose) - pixels, axis=1) < width
            if chosen.sum() < LEAST:
                break
            w2c = invert(pose)
            turn, shift = cv2.solvePnPRefineLM(
                world[chosen], pixels[chosen], matrix, None, cv2.Rodrigues(w2c[:3, :3])[0], w2c[:3, 3:].copy()
            )
            pose = invert(compose(cv2.Rodrigues(turn)[0], shift[:, 0]))
        agree = int((np.linalg.norm(_project(world, matrix, pose) - pixels, axis=1) < AGREES).sum())
        if agree > most:
            best, most = pose, agree
    return best


def _project(points: Array, matrix: Intrinsics, pose: Array) -> Array:
    """Pixels (k, 2) of points (k, 3), infinite for those that do not lie ahead."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    ahead = local[:, 2:] > 1e-6
    return np.where(ahead, (local @ matrix.T)[:, :2] / np.where(ahead, local[:, 2:], 1), np.inf)


def _missed(points: Array, at: Array, matrix: Intrinsics, pose: Array, size: Any) -> Array:
    """See `Recovered.missed`, of one frame."""
    put = _project(points, matrix, pose)
    inside = (put > BORDER).all(1) & (put[:, 0] < size[1] - 1 - BORDER) & (put[:, 1] < size[0] - 1 - BORDER)
    off = np.linalg.norm(at - put, axis=1)
    return np.where(np.isnan(at[:, 0]), np.where(inside, np.inf, np.nan), off)
