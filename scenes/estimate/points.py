"""Points from cameras, and cameras from points: triangulation and resection of tracks.

    cameras   (K, 4, 4) world-to-camera while they are being estimated (the published ones are camera-to-world)
    rays      (M, 2) observations as (x, y) on the plane z = 1 of their camera
    points    (T, 3) world, NaN where a track has no point (yet)

Ref: Hartley and Zisserman, Multiple View Geometry, 12 (triangulation), 7 and A6 (resection by iteration).
"""

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.estimate.twoview import rotations

Array = NDArray[np.float64]

REWEIGHTINGS = 3
MIN_ANGLE_DEG = 0.35  # between two rays of a point: below it the depth is a guess


def triangulate(
    cameras: Array, camera: NDArray[np.int64], track: NDArray[np.int64], rays: Array, num_tracks: int
) -> tuple[Array, Array]:
    """Points (T, 3) nearest to all rays of each track, and the widest angle (T,), degrees, between a ray and the mean.

    camera, track: (M,) which camera and which track each ray belongs to. A track seen by one camera gets NaN.
    """
    rotation = cameras[:, :3, :3]
    centre = -np.einsum("kji,kj->ki", rotation, cameras[:, :3, 3])
    ray = np.einsum("mji,mj->mi", rotation[camera], np.column_stack([rays, np.ones(len(rays))]))
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    origin = centre[camera]
    across = np.eye(3) - ray[:, :, None] * ray[:, None, :]  # projects onto what is at right angles to the ray
    weight = np.ones(len(rays))
    points = np.full((num_tracks, 3), np.nan)
    seen = np.bincount(track, minlength=num_tracks)
    for _ in range(REWEIGHTINGS):
        left = _sum_by(track, (across * weight[:, None, None]).reshape(-1, 9), num_tracks).reshape(-1, 3, 3)
        right = _sum_by(track, np.einsum("mij,mj->mi", across, origin) * weight[:, None], num_tracks)
        scale = np.trace(left, axis1=1, axis2=2)
        fine = (seen >= 2) & (scale > 0)
        regular = left[fine] + (1e-9 * scale[fine])[:, None, None] * np.eye(3)
        points[fine] = np.linalg.solve(regular, right[fine][..., None])[..., 0]
        away = np.linalg.norm(points[track] - origin, axis=1)
        weight = 1 / np.maximum(away, 1e-6) ** 2  # so that angles count, not distances
        weight[~np.isfinite(weight)] = 0
    mean = _sum_by(track, ray, num_tracks)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    cosine = np.clip((ray * mean[track]).sum(1), -1, 1)
    angle = np.zeros(num_tracks)
    np.maximum.at(angle, track, np.degrees(np.arccos(cosine)))
    return points, angle


def _sum_by(index: NDArray[np.int64], values: Array, count: int) -> Array:
    """Sums (count, c) of rows of values (M, c) that share an index."""
    return np.stack([np.bincount(index, column, count) for column in values.T], 1)


def project(cameras: Array, points: Array) -> tuple[Array, Array]:
    """Rays (M, 2) and depths (M,) of points (M, 3) in cameras (M, 4, 4) or (4, 4)."""
    inside = np.einsum("...ij,...j->...i", cameras[..., :3, :3], points) + cameras[..., :3, 3]
    depth = inside[..., 2]
    safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    return inside[..., :2] / safe[..., None], depth


def resect(
    points: Array, rays: Array, start: Array, noise: float, weight: Array, steps: int = 15
) -> tuple[Array, NDArray[np.bool_]]:
    """The camera (4, 4) that sees points (n, 3) along rays (n, 2), from a start nearby; and which agree (n,).

    A Geman-McClure cost that narrows from step to step, so that up to about half of the points may be wrong.
    """
    camera = start.copy()
    for width in [*np.geomspace(12, 3, steps // 2), *[3.0] * (steps - steps // 2)]:
        inside = points @ camera[:3, :3].T + camera[:3, 3]
        ahead = inside[:, 2] > 1e-6
        x, y, z = inside[:, 0], inside[:, 1], np.where(ahead, inside[:, 2], 1.0)
        residual = np.stack([x / z, y / z], 1) - rays
        size = np.linalg.norm(residual, axis=1) / noise
        scale = max(width, 1.5 * float(np.median(size[ahead]))) if ahead.any() and width > 3 else width
        w = weight * ahead / (1 + (size / scale) ** 2) ** 2
        zero = np.zeros_like(z)
        by_point = np.stack([1 / z, zero, -x / z**2, zero, 1 / z, -y / z**2], 1).reshape(-1, 2, 3)
        turn = np.stack([zero, inside[:, 2], -y, -inside[:, 2], zero, x, y, -x, zero], 1).reshape(-1, 3, 3)
        jacobian = np.concatenate([by_point @ turn, by_point], 2)  # (n, 2, 6): turning, then shifting
        normal = np.einsum("nci,ncj,n->ij", jacobian, jacobian, w)
        normal += np.diag(np.diag(normal)) * 1e-6 + 1e-12 * np.eye(6)
        change = -np.linalg.solve(normal, np.einsum("nci,nc,n->i", jacobian, residual, w))
        turned = rotations(change[:3])
        camera[:3, :3] = turned @ camera[:3, :3]
        camera[:3, 3] = turned @ camera[:3, 3] + change[3:]
    seen, depth = project(camera, points)
    agree = (depth > 0) & (np.linalg.norm(seen - rays, axis=1) < 3 * noise)
    return camera, agree
