"""Rigid motions as 4x4 camera-to-world matrices, and the angles a user turns a camera by.

Axes are OpenCV's: x right, y down, z forward. The three angles, in degrees, are applied as

    R = Ry(yaw) Rx(pitch) Rz(roll)        yaw > 0 looks right, pitch > 0 looks up, roll > 0 leans clockwise

with the standard right-handed rotation matrices: first the heading about the vertical axis of the frame one starts in,
then up or down, then the lean. Quaternions are (w, x, y, z) with w >= 0. All functions work on stacks: "..." is any
number of leading axes.

Ref: the closed forms are those of any robotics text, e.g. Lynch and Park, "Modern Robotics", ch. 3 and appendix B.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RIGID_TOLERANCE = 1e-4  # how far R^T R may be from the identity: float32 poses of any origin pass, scaled ones do not


def require_rigid(c2w: ArrayLike, name: str = "c2w") -> Array:
    """Return `c2w` (..., 4, 4) as float64, or raise ValueError saying why it is no rigid motion."""
    poses = np.asarray(c2w, np.float64)
    if poses.shape[-2:] != (4, 4):
        raise ValueError(f"{name}: expected shape (..., 4, 4), got {poses.shape}: pass camera-to-world matrices")
    if not np.isfinite(poses).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    rotation = poses[..., :3, :3]
    error = np.abs(np.swapaxes(rotation, -1, -2) @ rotation - np.eye(3)).max(initial=0.0)
    if error > RIGID_TOLERANCE or (np.linalg.det(rotation) < 0).any():
        raise ValueError(
            f"{name}: expected a rotation in [:3, :3], got one that is off by {error:.2g} or mirrors: "
            "remove scale and handedness flips"
        )
    if np.abs(poses[..., 3, :] - (0, 0, 0, 1)).max(initial=0.0) > RIGID_TOLERANCE:
        raise ValueError(f"{name}: expected the last row 0 0 0 1, got {poses[..., 3, :]}: is the matrix transposed?")
    return poses


def compose(rotation: ArrayLike, position: ArrayLike) -> Array:
    """(..., 4, 4) pose from a rotation (..., 3, 3) and a position (..., 3), which broadcast against each other."""
    rotation, position = np.asarray(rotation, np.float64), np.asarray(position, np.float64)
    lead = np.broadcast_shapes(rotation.shape[:-2], position.shape[:-1])
    pose = np.zeros((*lead, 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1
    return pose


def invert(c2w: ArrayLike) -> Array:
    """Inverse (..., 4, 4) of rigid motions: camera-to-world becomes world-to-camera, and back."""
    poses = np.asarray(c2w, np.float64)
    rotation = np.swapaxes(poses[..., :3, :3], -1, -2)
    return compose(rotation, -(rotation @ poses[..., :3, 3:])[..., 0])


def relative_to_first(c2w: ArrayLike) -> Array:
    """The same cameras (F, 4, 4) seen from the first one, which becomes exactly the identity."""
    poses = np.asarray(c2w, np.float64)
    moved = invert(poses[0]) @ poses
    moved[0] = np.eye(4)
    return moved


def rotation_ypr(yaw_deg: ArrayLike, pitch_deg: ArrayLike = 0.0, roll_deg: ArrayLike = 0.0) -> Array:
    """(..., 3, 3) rotation Ry(yaw) Rx(pitch) Rz(roll); the angles, in degrees, broadcast against each other."""
    yaw, pitch, roll = np.broadcast_arrays(
        *(np.deg2rad(np.asarray(a, np.float64)) for a in (yaw_deg, pitch_deg, roll_deg))
    )
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    rows = (
        (cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp),
        (cp * sr, cp * cr, -sp),
        (cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def ypr_deg(rotation: ArrayLike) -> Array:
    """(..., 3) yaw, pitch, roll in degrees of rotations (..., 3, 3): the inverse of `rotation_ypr`.

    Pitch lies in [-90, 90]; at the poles, where yaw and roll turn about the same axis, roll is 0.
    """
    r = np.asarray(rotation, np.float64)
    pitch = np.arctan2(-r[..., 1, 2], np.hypot(r[..., 1, 0], r[..., 1, 1]))
    pole = np.hypot(r[..., 1, 0], r[..., 1, 1]) < 1e-9
    yaw = np.where(pole, np.arctan2(-r[..., 2, 0], r[..., 0, 0]), np.arctan2(r[..., 0, 2], r[..., 2, 2]))
    roll = np.where(pole, 0.0, np.arctan2(r[..., 1, 0], r[..., 1, 1]))
    return np.rad2deg(np.stack((yaw, pitch, roll), -1))


def angle_deg(a: ArrayLike, b: ArrayLike) -> Array:
    """Angle (...) in degrees, 0 to 180, of the rotation that takes `a` (..., 3, 3) to `b` (..., 3, 3)."""
    between = np.swapaxes(np.asarray(a, np.float64), -1, -2) @ np.asarray(b, np.float64)
    twice_axis = np.stack([between[..., i, j] - between[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1)
    trace = np.trace(between, axis1=-2, axis2=-1)
    return np.rad2deg(np.arctan2(np.linalg.norm(twice_axis, axis=-1), trace - 1))


def quaternion(rotation: ArrayLike) -> Array:
    """(..., 4) unit quaternions (w, x, y, z), w >= 0, of rotations (..., 3, 3)."""
    from scipy.spatial.transform import Rotation  # takes a quarter of a second, which no environment needs

    r = np.asarray(rotation, np.float64)
    xyzw = Rotation.from_matrix(r.reshape(-1, 3, 3)).as_quat(canonical=True)
    return xyzw[:, [3, 0, 1, 2]].reshape(*r.shape[:-2], 4)


def from_quaternion(wxyz: ArrayLike) -> Array:
    """(..., 3, 3) rotations of quaternions (..., 4) in (w, x, y, z); any length but 0 will do.

    Raises ValueError for a quaternion of length 0.
    """
    from scipy.spatial.transform import Rotation

    q = np.asarray(wxyz, np.float64)
    if (np.linalg.norm(q, axis=-1) == 0).any():
        raise ValueError("expected quaternions (w, x, y, z) of positive length, got one of length 0: pass 1 0 0 0")
    return Rotation.from_quat(q.reshape(-1, 4)[:, [1, 2, 3, 0]]).as_matrix().reshape(*q.shape[:-1], 3, 3)


def to_vector(c2w: ArrayLike) -> Array:
    """(..., 7) position (x, y, z) and quaternion (w, x, y, z; w >= 0) of poses (..., 4, 4)."""
    poses = np.asarray(c2w, np.float64)
    return np.concatenate((poses[..., :3, 3], quaternion(poses[..., :3, :3])), -1)


def from_vector(vector: ArrayLike) -> Array:
    """(..., 4, 4) poses of vectors (..., 7): the inverse of `to_vector`. Raises ValueError for a zero quaternion."""
    v = np.asarray(vector, np.float64)
    return compose(from_quaternion(v[..., 3:]), v[..., :3])


def smooth_poses(c2w: ArrayLike, sigma: float) -> Array:
    """Poses (F, 4, 4) with the jitter of their estimation taken out, as seen from the first one, which is the identity.

    Each position, and each rotation as a quaternion, becomes the mean of its neighbours under a Gaussian of `sigma` frames
    (0: as they are). A quaternion and its negative are one rotation, so before averaging each takes the sign that is nearer
    to the middle one. Beyond its ends the path goes on by point reflection, so that a uniform motion stays as it is.
    """
    poses = np.asarray(c2w, np.float64)
    reach = min(int(np.ceil(3 * sigma)), len(poses) - 1)
    if reach == 0:
        return relative_to_first(poses)
    before, after = slice(reach, 0, -1), slice(-2, -2 - reach, -1)
    position, rotation = poses[:, :3, 3], poses[:, :3, :3]
    path = np.concatenate((2 * position[0] - position[before], position, 2 * position[-1] - position[after]))
    turned = [
        end @ np.swapaxes(rotation[part], -1, -2) @ end for end, part in ((rotation[0], before), (rotation[-1], after))
    ]
    quaternions = quaternion(np.concatenate((turned[0], rotation, turned[1])))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    frames = np.arange(len(poses))
    middle = quaternions[reach + frames]
    mean_position, mean_quaternion = np.zeros_like(position), np.zeros_like(middle)
    for k, weight in enumerate(weights):
        near = quaternions[k + frames]
        sign = np.where((near * middle).sum(-1, keepdims=True) < 0, -1, 1)
        mean_position += weight * path[k + frames]
        mean_quaternion += weight * sign * near
    return relative_to_first(compose(from_quaternion(mean_quaternion), mean_position))
