"""One path of cameras from several windows of frames, each with cameras and depth in a world and a unit of its own.

    window k      frames of size - overlap on from where the one before began; they share `overlap` frames
    similarity    x -> s R x + t, from window k's world to the one before, from the frames that both saw:
                  s  median ratio of the two depths, over pixels that the network is sure of
                  R  mean of the rotations between each frame's two cameras
                  t  median of what is then left between their positions

Depth decides the scale, and each camera its own rotation, so that a camera that only turns, or stands still, is aligned
as well as one that moves. In the middle of the overlap the path goes over from one window to the next.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from inspatio_gym.types import Poses

Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """first: index of the first frame. c2w: (n, 4, 4). depth: (n, h, w), in the unit of c2w. sure: (n, h, w), higher where
    depth is more certain. focal: (n, 2), of the width and the height."""

    first: int
    c2w: Poses
    depth: Maps
    sure: Maps
    focal: NDArray[np.float64]

    @property
    def end(self) -> int:
        """One past its last frame."""
        return self.first + len(self.c2w)


@dataclass(frozen=True, slots=True)
class Joined:
    """c2w: (F, 4, 4). depth: (F, h, w). scales: what each window was multiplied by. apart: the median relative difference
    of the depth in the frames that two windows saw, 0 where there is one window."""

    c2w: Poses
    depth: Maps
    scales: list[float]
    apart: float


def spans(frames: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """First and one past the last frame of each window of up to `size` frames, neighbours sharing `overlap` of them."""
    starts = range(0, max(frames - overlap, 1), size - overlap)
    return [(start, min(start + size, frames)) for start in starts]


def join(windows: list[Window]) -> Joined:
    """All frames in the world and the unit of the first window."""
    world, scale = np.eye(4), 1.0
    scales, apart = [scale], []
    c2w, depth = [windows[0].c2w], [windows[0].depth]
    for before, after in pairwise(windows):
        step, between, difference = _similarity(before, after)
        world = world @ np.block([[between[:3, :3], scale * between[:3, 3:]], [np.zeros((1, 3)), np.ones((1, 1))]])
        scale *= step
        moved = after.c2w.copy()
        moved[:, :3, 3] *= scale
        shared = before.end - after.first
        kept = shared // 2  # of the shared frames, by the window before
        c2w[-1] = c2w[-1][: len(c2w[-1]) - (shared - kept)]
        depth[-1] = depth[-1][: len(depth[-1]) - (shared - kept)]
        c2w.append((world @ moved)[kept:])
        depth.append(np.float32(scale) * after.depth[kept:])
        scales.append(scale)
        apart.append(difference)
    return Joined(np.concatenate(c2w), np.concatenate(depth), scales, float(np.mean(apart)) if apart else 0.0)


def _similarity(before: Window, after: Window) -> tuple[float, Poses, float]:
    """s, then R and t as (4, 4), from the world of `after` to that of `before`, and how far their depths differ then."""
    shared = before.end - after.first
    old, new = before.c2w[-shared:], after.c2w[:shared]
    sure = np.minimum(before.sure[-shared:], after.sure[:shared])
    ratio = (before.depth[-shared:] / after.depth[:shared])[sure >= np.median(sure)]
    scale = float(np.median(ratio))
    rotation = Rotation.from_matrix(old[:, :3, :3] @ np.swapaxes(new[:, :3, :3], -1, -2)).mean().as_matrix()
    motion = np.eye(4)
    motion[:3, :3] = rotation
    motion[:3, 3] = np.median(old[:, :3, 3] - scale * new[:, :3, 3] @ rotation.T, axis=0)
    return scale, motion, float(np.median(np.abs(ratio / scale - 1)))
