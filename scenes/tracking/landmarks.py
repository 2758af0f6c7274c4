"""Landmarks: corners of the static surface, at home in space.

A corner of a frame (Shi and Tomasi 1994) is lifted by the scene's depth; from then on it is where geometry puts it, in
every frame that sees it: inside the picture, at the depth that was measured there, and not behind anything that moves.
"""

import itertools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.scene import Scene
from inspatio_gym.scenes.tracking import Target

EVERY_S = 0.5  # new ones are looked for this often
CELLS = (4, 6)  # rows and columns of the picture: one landmark in each at most
FARTHEST = 10.0  # median depths
SAME_DEPTH = 0.1  # a measured depth may differ by this share from the landmark's
MARGIN = 3  # pixels from the border
GAP = 2  # frames that a landmark may be hidden without being given up
LIFE_S = 1.0  # shorter ones are left out


def find_landmarks(scene: Scene, report: Callable[[float], None]) -> list[Target]:
    """The landmarks of a scene. `report` hears the share done."""
    every = max(1, round(EVERY_S * scene.fps))
    points = np.zeros((0, 3))  # in scene axes
    born = np.zeros(0, np.int64)
    for i in range(0, scene.num_frames, every):
        known = _seen(scene, i, points)[0]
        fresh = _lifted(scene, i, _corners(scene, i, known))
        points, born = np.concatenate([points, fresh]), np.append(born, np.full(len(fresh), i))
    xy = np.zeros((scene.num_frames, len(points), 2), np.float32)
    seen = np.zeros((scene.num_frames, len(points)), np.bool_)
    for i in range(scene.num_frames):
        xy[i], seen[i] = _seen(scene, i, points)
        report((i + 1) / scene.num_frames)
    targets = []
    for k, start in enumerate(born.tolist()):
        first, last = _run(seen[:, k], start)
        if (last - first + 1) / scene.fps >= LIFE_S:
            where = xy[first : last + 1, k]
            inside = _inside(scene, xy[min(last + 1, scene.num_frames - 1), k])
            end = "clip" if last == scene.num_frames - 1 else "hidden" if inside else "left"
            targets.append(Target("landmark", first, where, np.zeros_like(where), np.ones(len(where), np.float32), end))  # type: ignore[arg-type]
    return targets


def _corners(scene: Scene, i: int, known: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best corner (n, 2) of every cell without a known landmark, of what stands still and is not too far."""
    height, width = scene.size
    grey = cv2.cvtColor(scene.rgb(i), cv2.COLOR_RGB2GRAY)
    score = cv2.cornerMinEigenVal(grey, 5)
    moving = cv2.dilate(scene.moving(i).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    # An edge between near and far has no depth of its own.
    depth = scene.depth(i)
    near, far = cv2.erode(depth, np.ones((5, 5))), cv2.dilate(depth, np.ones((5, 5)))
    usable = ~moving & (far < FARTHEST * scene.median_depth) & (far - near < SAME_DEPTH * near)
    usable[:MARGIN], usable[-MARGIN:], usable[:, :MARGIN], usable[:, -MARGIN:] = False, False, False, False
    score = np.where(usable, score, 0.0)
    least = 0.02 * float(score.max())
    found = []
    rows, cols = (
        np.linspace(0, side, count + 1).astype(int) for side, count in zip((height, width), CELLS, strict=True)
    )
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(cols):
            taken = (known >= (left, top)) & (known < (right, bottom))
            cell = score[top:bottom, left:right]
            if not taken.all(1).any() and cell.max() > max(least, 1e-6):
                y, x = np.unravel_index(int(cell.argmax()), cell.shape)
                found.append((left + x, top + y))
    return np.array(found, np.float32).reshape(-1, 2)


def _lifted(scene: Scene, i: int, xy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points (n, 3) in scene axes of pixels (n, 2)."""
    k, c2w = scene.intrinsics[i], scene.c2w[i]
    z = scene.depth(i)[xy[:, 1].astype(int), xy[:, 0].astype(int)].astype(np.float64)
    rays = np.column_stack(((xy[:, 0] - k[0, 2]) / k[0, 0], (xy[:, 1] - k[1, 2]) / k[1, 1], np.ones(len(xy))))
    return (rays * z[:, None]) @ c2w[:3, :3].T + c2w[:3, 3]


def _seen(scene: Scene, i: int, points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 3) are in frame i, (n, 2), and which of them are seen there."""
    k, c2w = scene.intrinsics[i], scene.c2w[i]
    x, y, z = ((points - c2w[:3, 3]) @ c2w[:3, :3]).T
    ahead = z > 1e-6
    depth = np.where(ahead, z, 1.0)
    xy = np.column_stack((k[0, 0] * x / depth + k[0, 2], k[1, 1] * y / depth + k[1, 2])).astype(np.float32)
    seen = ahead & _inside(scene, xy)
    cols, rows = np.rint(xy[seen]).astype(int).T
    measured = scene.depth(i)[rows, cols]
    seen[seen] = (np.abs(measured - z[seen]) < SAME_DEPTH * z[seen]) & ~scene.moving(i)[rows, cols]
    return xy, seen


def _inside(scene: Scene, xy: NDArray[np.float32]) -> NDArray[np.bool_]:
    height, width = scene.size
    x, y = xy[..., 0], xy[..., 1]
    return (x >= MARGIN) & (x <= width - 1 - MARGIN) & (y >= MARGIN) & (y <= height - 1 - MARGIN)


def _run(seen: NDArray[np.bool_], start: int) -> tuple[int, int]:
    """First and last frame of the stretch around `start` in which gaps are of `GAP` frames at most."""
    ends = []
    for way in (-1, 1):
        last, i = start, start
        while 0 <= i + way < len(seen) and abs(i - last) <= GAP:
            i += way
            if seen[i]:
                last = i
        ends.append(last)
    return ends[0], ends[1]
