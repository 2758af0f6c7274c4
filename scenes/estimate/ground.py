"""The ground: a plane under the camera on which things stand and below which nothing is.

Road and floor show little texture, so flow says little about them; cars that keep pace with the camera show no flow
at all and would be taken for distant hills. One plane cures both: it is what flow is measured against, it fills what
has no texture, and what would lie below it must be moving.

In a camera, a plane n X = 1 has inverse depth n (x, y, 1): linear in the picture. It is fitted to reconstructed points
by RANSAC, as the lowest plane that many points lie on and hardly any below.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.estimate.points import Array, project
from inspatio_gym.scenes.estimate.sfm import Structure
from inspatio_gym.scenes.estimate.twoview import crowding
from inspatio_gym.types import Size

THICKNESS = 0.08  # of the camera's height: how far off the plane a point of it may lie
BELOW = 0.2  # of the camera's height: a point deeper than this contradicts the plane
MIN_UP = 0.82  # the plane's normal along the camera's y axis, at least: cameras look about level
MAX_ROLL = 0.12  # and along its x axis, at most, so that no bank beside the road is taken for it
MIN_ANGLE_DEG = 0.8  # under which a point was seen, to count
MIN_POINTS, MIN_SHARE = 8, 0.2  # that lie on the plane, and of those under the horizon
MAX_BELOW = 0.7  # of as many may lie below it
TRIALS = 1500
SPREAD = 4  # keyframes to each side whose fits are averaged (median) into one


@dataclass(frozen=True)
class Ground:
    """Planes (F, 4) in world axes, (n, d) with n X = d, |n| = 1, d > 0 below each camera; NaN where none was found."""

    planes: Array

    @property
    def found(self) -> float:
        """Share of the frames that have a plane."""
        return float(np.isfinite(self.planes[:, 0]).mean())

    def normal(self, i: int, camera: Array) -> Array | None:
        """n (3,) with n X = 1 for the plane in the coordinates of world-to-camera (4, 4), or None."""
        if not np.isfinite(self.planes[i, 0]):
            return None
        n = camera[:3, :3] @ self.planes[i, :3]
        height = self.planes[i, 3] + n @ camera[:3, 3]
        return n / height if height > 1e-9 else None


def find_ground(structure: Structure, size: Size) -> Ground:
    """The ground under every frame of a clip of that size."""
    usable = np.isfinite(structure.points[:, 0]) & ~structure.moving & (structure.angles_deg > MIN_ANGLE_DEG)
    points = structure.points[usable]
    keys = structure.keyframes
    fits = np.full((len(keys), 4), np.nan)
    for k, i in enumerate(keys):
        plane = _fit(points, structure.cameras[i], structure.focal, size)
        if plane is not None:
            fits[k] = plane
    planes = np.full((len(structure.cameras), 4), np.nan)
    good = np.isfinite(fits[:, 0])
    if good.mean() < 0.5:
        return Ground(planes)
    smooth = fits.copy()
    for k in range(len(keys)):
        near = fits[max(0, k - SPREAD) : k + SPREAD + 1]
        near = near[np.isfinite(near[:, 0])]
        if len(near):
            smooth[k] = np.median(near, axis=0)
    good = np.isfinite(smooth[:, 0])
    frames = np.arange(len(planes))
    for column in range(4):
        planes[:, column] = np.interp(frames, np.array(keys)[good], smooth[good, column])
    planes /= np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
    return Ground(planes)


def _fit(points: Array, camera: Array, focal: float, size: Size) -> Array | None:
    """The ground (4,) in world axes as one camera sees it, or None."""
    height, width = size
    rays, depth = project(camera, points)
    inside = (depth > 1e-6) & (np.abs(rays[:, 0]) * focal < width / 2) & (np.abs(rays[:, 1]) * focal < height / 2)
    rays, inverse = rays[inside], 1 / depth[inside]
    if len(rays) < MIN_POINTS:
        return None
    weight = crowding(rays * focal + max(size), size)
    weight /= weight.sum()
    lines = np.column_stack([rays, np.ones(len(rays))])
    rng = np.random.default_rng(0)
    low = np.flatnonzero(rays[:, 1] > np.quantile(rays[:, 1], 0.4))
    if len(low) < MIN_POINTS:
        return None
    picks = rng.choice(low, (TRIALS, 3))
    systems = lines[picks] + 1e-9 * np.eye(3)
    usable = np.abs(np.linalg.det(systems)) > 1e-6
    if not usable.any():
        return None
    normals = np.linalg.solve(systems[usable], inverse[picks[usable]][..., None])[..., 0]
    length = np.linalg.norm(normals, axis=1)
    normals = normals[(normals[:, 1] > MIN_UP * length) & (np.abs(normals[:, 0]) < MAX_ROLL * length) & (length > 0)]
    if not len(normals):
        return None
    score, on, below = _support(normals, lines, inverse, weight)
    best = int(np.argmax(score))
    normal = normals[best]
    for _ in range(3):
        _, on, below = _support(normal[None], lines, inverse, weight)
        rows = on[0]
        if rows.sum() < MIN_POINTS:
            return None
        scale = weight[rows] / inverse[rows] ** 2
        left = (lines[rows] * scale[:, None]).T @ lines[rows]
        normal = np.linalg.solve(
            left + 1e-9 * np.trace(left) * np.eye(3), (lines[rows] * (scale * inverse[rows])[:, None]).sum(0)
        )
    _, on, below = _support(normal[None], lines, inverse, weight)
    under = weight[lines @ normal > 0].sum()  # of the picture, below the horizon
    share = (weight * on[0]).sum()
    if on[0].sum() < MIN_POINTS or share < MIN_SHARE * under or (weight * below[0]).sum() > MAX_BELOW * share:
        return None
    length = float(np.linalg.norm(normal))
    if normal[1] < MIN_UP * length or abs(normal[0]) > 1.3 * MAX_ROLL * length:
        return None
    n = camera[:3, :3].T @ (normal / length)
    return np.append(n, 1 / length - (normal / length) @ camera[:3, 3])


def _support(
    normals: Array, lines: Array, inverse: Array, weight: Array
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Score (c,) of planes (c, 3), and which points lie on them and below them (c, n)."""
    off = 1 - (normals @ lines.T) / inverse  # height above the plane, in camera heights
    on = np.abs(off) < THICKNESS
    below = (off < -BELOW) & (normals @ lines.T > 0)
    return on @ weight - 0.5 * (below @ weight), on, below
