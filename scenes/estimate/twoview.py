"""How a camera moved between two frames, from points seen in both, when many of them move by themselves.

A point x of the first frame (a ray K^-1 (u, v, 1)) and its image y in the second obey y' [t] R x = 0 for the motion
(R, t), x_second = R x_first + t. Traffic obeys it too, for another motion, and often in the majority. So the motion is
not drawn at random from minimal samples: from several starts (one per axis and diagonal of t, the rotation that alone
explains most, and what held a moment before) a robust cost is minimised, and the best minimum is kept. In that cost

- a point's residual is its Sampson distance over its own noise, which grows with how far the tracker had to follow it;
- crowded parts of the picture weigh no more than others, so that no lorry full of texture outvotes the landscape;
- a point that would lie behind the camera counts as an outlier: what overtakes us does.

Ref: Hartley and Zisserman, Multiple View Geometry, 9.6 and 11.4.3; the cost is Geman and McClure's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.estimate.pinhole import middle
from inspatio_gym.types import Size

Array = NDArray[np.float64]

NOISE = 0.35  # pixels at a long side of 640 that a tracker is off, whatever it follows
NOISE_GROWTH = 0.012  # and for every pixel it had to go
OUTLIER = 3.0  # noises; the cost of a point saturates around here
CROWD_CELLS = 12  # along the long side
_STEPS = 12
_AXES = np.array(
    [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1], [1, 1, 0], [-1, 1, 0]], float
)


@dataclass(frozen=True)
class Pair:
    """Points seen in two frames. rays_a, rays_b: (n, 3) with z = 1; noise (n,) in the rays' units; weight (n,)."""

    rays_a: Array
    rays_b: Array
    noise: Array
    weight: Array

    @classmethod
    def of(cls, a: NDArray[np.float32], b: NDArray[np.float32], size: Size, focal: float) -> "Pair":
        """From pixels (n, 2) of a camera with its principal point in the middle and one focal length (pixels)."""
        far = np.linalg.norm(b - a, axis=1)
        weight = crowding(a, size)
        return cls(
            np.column_stack([(a - middle(size)) / focal, np.ones(len(a))]),
            np.column_stack([(b - middle(size)) / focal, np.ones(len(b))]),
            (NOISE * max(size) / 640 + NOISE_GROWTH * far) / focal,
            weight / max(weight.sum(), 1e-12),
        )


@dataclass(frozen=True)
class Motion:
    """rotation (3, 3), translation (3,) of length 1 with x_second = R x_first + t. cost: 0 (all agree) to 1 (none).
    agree: bool (n,), the points that obey it. parallax: median over them, of what rotation leaves, in noises."""

    rotation: Array
    translation: Array
    cost: float
    agree: NDArray[np.bool_]
    parallax: float


def crowding(xy: NDArray[np.floating], size: Size) -> Array:
    """Weights (n,) of points (n, 2) in a picture of `size`: less where there are many."""
    cell = (xy * (CROWD_CELLS / max(size))).astype(int)
    _, inverse, count = np.unique(cell[:, 1] * 1000 + cell[:, 0], return_inverse=True, return_counts=True)
    return 1 / np.sqrt(count[inverse])


def rotations(vectors: Array) -> Array:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    k = cross(vectors)
    near = angle < 1e-8
    safe = np.where(near, 1.0, angle)
    return (
        np.eye(3)
        + np.where(near, 1.0, np.sin(safe) / safe) * k
        + np.where(near, 0.5, (1 - np.cos(safe)) / safe**2) * (k @ k)
    )


def cross(v: Array) -> Array:
    """Cross product matrices (..., 3, 3) of vectors (..., 3)."""
    zero = np.zeros_like(v[..., 0])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*v.shape[:-1], 3, 3)


def sampson(essential: Array, pair: Pair) -> Array:
    """Signed Sampson distances (..., n) in noises, for essential matrices (..., 3, 3)."""
    lines_b = pair.rays_a @ np.swapaxes(essential, -1, -2)
    lines_a = pair.rays_b @ essential
    over = np.sqrt((lines_a[..., :2] ** 2).sum(-1) + (lines_b[..., :2] ** 2).sum(-1) + 1e-18)
    return (lines_b * pair.rays_b).sum(-1) / over / pair.noise


def _loss(r: Array, width: float) -> Array:
    square = (r / width) ** 2
    return square / (1 + square)


def behind(rotation: Array, translation: Array, pair: Pair) -> tuple[NDArray[np.bool_], Array]:
    """Points that the motion puts behind a camera by more than noise (n,), and what rotation leaves of their way, in
    noises (n,)."""
    turned = pair.rays_a @ rotation.T
    normal = np.cross(turned, pair.rays_b)
    depth_a = -(np.cross(translation, pair.rays_b) * normal).sum(1)
    depth_b = -(np.cross(translation, turned) * normal).sum(1)
    safe = np.where(np.abs(turned[:, 2]) < 1e-6, 1e-6, turned[:, 2])
    left = np.linalg.norm(pair.rays_b[:, :2] - turned[:, :2] / safe[:, None], axis=1) / pair.noise
    return ((depth_a < 0) | (depth_b < 0)) & (left > OUTLIER), left


def _implausible(parallax: Array, flow: Array) -> float:
    """A factor >= 1 for motions whose turn and shift nearly cancel: possible (an orbit), but then much else must agree."""
    return 1 + 0.25 * float(np.log2(max(1.0, np.median(parallax) / max(np.median(flow), 1.0))))


def turn_only(pair: Pair, start: Array | None = None) -> tuple[Array, Array]:
    """The rotation (3, 3) that alone explains most points, and what it leaves of each, in noises (n,)."""
    rotation = np.eye(3) if start is None else start
    small = 1e-5
    nudges = rotations(small * np.eye(3))

    def left(rotation: Array) -> Array:
        turned = pair.rays_a @ rotation.T
        return (pair.rays_b[:, :2] - turned[:, :2] / np.maximum(turned[:, 2:], 1e-3)) / pair.noise[:, None]

    for step in range(2 * _STEPS):
        residual = left(rotation)
        size = np.linalg.norm(residual, axis=1)
        width = max(OUTLIER, float(np.median(size)) * (1.5 if step < _STEPS else 1.0))
        weight = pair.weight / (1 + (size / width) ** 2) ** 2
        jacobian = np.stack([(left(nudge @ rotation) - residual) / small for nudge in nudges], -1)
        normal = np.einsum("nci,ncj,n->ij", jacobian, jacobian, weight) + 1e-9 * np.eye(3)
        change = np.linalg.solve(normal, np.einsum("nci,nc,n->i", jacobian, residual, weight))
        rotation = rotations(-change) @ rotation
        if np.linalg.norm(change) < 1e-6:
            break
    return rotation, np.linalg.norm(left(rotation), axis=1)


def relative_motion(pair: Pair, guesses: Sequence[tuple[Array, Array]] = ()) -> Motion:
    """The motion most points agree on. guesses: (rotation, translation) to start from, besides the usual ones."""
    turn, _ = turn_only(pair)
    starts_r = np.stack([turn] * len(_AXES) + [np.eye(3)] * 3 + [r for r, _ in guesses])
    starts_t = np.concatenate([_AXES, _AXES[:3], np.array([t for _, t in guesses]).reshape(-1, 3)])
    starts_t = starts_t / np.linalg.norm(starts_t, axis=1, keepdims=True)
    rotation, translation = _descend(pair, starts_r, starts_t)
    residual = sampson(cross(translation) @ rotation, pair)
    flow = np.linalg.norm(pair.rays_b - pair.rays_a, axis=1) / pair.noise
    best: Motion | None = None
    for k in range(len(rotation)):
        for sign in (1, -1):
            t = sign * translation[k]
            wrong, left = behind(rotation[k], t, pair)
            loss = np.where(wrong, 1.0, _loss(residual[k], OUTLIER))
            cost = float((pair.weight * loss).sum()) * _implausible(left, flow)
            if best is None or cost < best.cost:
                agree = ~wrong & (np.abs(residual[k]) < OUTLIER)
                parallax = float(np.median(left[agree])) if agree.any() else 0.0
                best = Motion(rotation[k], t, cost, agree, parallax)
    assert best is not None
    return best


def _descend(pair: Pair, rotation: Array, translation: Array) -> tuple[Array, Array]:
    """Levenberg-Marquardt from several starts at once, the loss narrowing from step to step."""
    widths = np.geomspace(8 * OUTLIER, OUTLIER, _STEPS)
    damping = np.full(len(rotation), 1e-3)
    small = 1e-6
    nudges = rotations(small * np.eye(3))
    for width in [*widths, OUTLIER, OUTLIER, OUTLIER, OUTLIER]:
        basis = _tangents(translation)  # (s, 2, 3)
        essential = [cross(translation) @ rotation]
        essential += [cross(translation) @ (nudge @ rotation) for nudge in nudges]
        essential += [cross(translation + small * basis[:, k]) @ rotation for k in (0, 1)]
        residuals = sampson(np.stack(essential, 1), pair)  # (s, 6, n)
        residual = residuals[:, 0]
        jacobian = (residuals[:, 1:] - residuals[:, :1]) / small
        weight = pair.weight / (1 + (residual / width) ** 2) ** 2
        weighted = jacobian * weight[:, None]
        normal = weighted @ np.swapaxes(jacobian, 1, 2)
        gradient = (weighted @ residual[..., None])[..., 0]
        normal += (damping[:, None] * np.trace(normal, axis1=1, axis2=2)[:, None] / 5 + 1e-9)[..., None] * np.eye(5)
        change = -np.linalg.solve(normal, gradient[..., None])[..., 0]
        change *= np.minimum(1, 0.3 / np.maximum(np.linalg.norm(change, axis=1, keepdims=True), 1e-12))
        moved_r = rotations(change[:, :3]) @ rotation
        moved_t = translation + (change[:, 3:, None] * basis).sum(1)
        moved_t /= np.linalg.norm(moved_t, axis=1, keepdims=True)
        before = (_loss(residual, width) * pair.weight).sum(1)
        after = (_loss(sampson(cross(moved_t) @ moved_r, pair), width) * pair.weight).sum(1)
        better = after <= before
        rotation = np.where(better[:, None, None], moved_r, rotation)
        translation = np.where(better[:, None], moved_t, translation)
        damping = np.where(better, damping * 0.3, np.minimum(damping * 8, 1e3))
    return rotation, translation


def _tangents(t: Array) -> Array:
    """Two unit vectors (..., 2, 3) at right angles to unit vectors (..., 3) and to each other."""
    helper = np.where(np.abs(t[..., :1]) < 0.6, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    first = np.cross(t, helper)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    return np.stack([first, np.cross(t, first)], -2)
