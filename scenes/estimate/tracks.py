"""Points followed through a clip: where each corner went, frame by frame.

Corners are picked cell by cell, so that every part of the picture has its share, and followed by the pyramidal
Lucas-Kanade tracker forwards and back again; a point that does not return to where it started is dropped. A track is
what later stages are made of: motion class, structure from motion, focal length.

    observations, sorted by frame: frame (M,) int32, track (M,) int32, xy (M, 2) float32, clip pixels

Only one frame is looked at at a time; a clip of 300 frames leaves 7 MB at most.

Ref: Lucas and Kanade 1981, Shi and Tomasi 1994, Bouguet 2000; the way back is Kalal et al. 2010.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.estimate.pinhole import shrunk
from inspatio_gym.types import Size

LONG_SIDE = 640  # pixels of the image that is tracked in
MAX_LIVE = 1500  # points followed at a time
CELLS = 12  # along the long side; corners are shared out over square cells
SPACING = 7  # pixels between corners, at least
MIN_EIGENVALUE = 4e-5  # of a corner, intensities in [0, 1]: below it is noise
RETURN = 0.7  # pixels a point may be off after the way there and back
WINDOW, LEVELS = 15, 4


@dataclass(frozen=True)
class Tracks:
    """Observations sorted by frame, then track; see the module's docstring.

    num_frames, size: of the clip. num_tracks: track ids are 0..num_tracks-1.
    """

    num_frames: int
    size: Size
    frame: NDArray[np.int32]
    track: NDArray[np.int32]
    xy: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", np.searchsorted(self.frame, np.arange(self.num_frames + 1)))

    @property
    def num_tracks(self) -> int:
        return int(self.track.max()) + 1 if len(self.track) else 0

    def at(self, i: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Track ids (n,), ascending, and positions (n, 2) in frame i."""
        part = slice(self._first[i], self._first[i + 1])  # type: ignore[attr-defined]
        return self.track[part], self.xy[part]

    def between(self, i: int, j: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """The tracks (n,) seen in both frames, and where: two arrays (n, 2)."""
        (ids_i, xy_i), (ids_j, xy_j) = self.at(i), self.at(j)
        ids, rows_i, rows_j = np.intersect1d(ids_i, ids_j, assume_unique=True, return_indices=True)
        return ids, xy_i[rows_i], xy_j[rows_j]


def follow(clip: Clip, report: Callable[[float], None]) -> Tracks:
    """Track corners through a whole clip. `report` hears the share done, 0..1."""
    height, width = clip.size
    small = shrunk(clip.size, LONG_SIDE)
    scale = np.array([width / small[1], height / small[0]])
    ids = np.zeros(0, np.int32)
    points = np.zeros((0, 2), np.float32)
    born = 0
    previous: Any = None
    frames, tracks, positions = [], [], []
    for i in range(clip.num_frames):
        grey: Any = cv2.cvtColor(clip.rgb(i), cv2.COLOR_RGB2GRAY)
        if small != clip.size:
            grey = cv2.resize(grey, small[::-1], interpolation=cv2.INTER_AREA)
        if previous is not None and len(ids):
            points, kept = _step(previous, grey, points)
            ids, points = ids[kept], points[kept]
        fresh = _corners(grey, points)
        ids = np.concatenate([ids, np.arange(born, born + len(fresh), dtype=np.int32)])
        points = np.concatenate([points, fresh])
        born += len(fresh)
        frames.append(np.full(len(ids), i, np.int32))
        tracks.append(ids)
        positions.append(((points + 0.5) * scale - 0.5).astype(np.float32))
        previous = grey
        report((i + 1) / clip.num_frames)
    return Tracks(clip.num_frames, clip.size, np.concatenate(frames), np.concatenate(tracks), np.concatenate(positions))


def _step(
    previous: NDArray[np.uint8], grey: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 2) of the previous frame are now, and which of them can be believed."""
    height, width = grey.shape
    levels = max(0, min(LEVELS, int(np.log2(max(1, min(height, width) / (2 * WINDOW))))))
    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02)
    options: Any = {"winSize": (WINDOW, WINDOW), "maxLevel": levels, "criteria": until}
    start: Any = points[:, None]
    there, found, _ = cv2.calcOpticalFlowPyrLK(previous, grey, start, start.copy(), **options)
    options["flags"] = cv2.OPTFLOW_USE_INITIAL_FLOW
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, previous, there, start.copy(), **options)
    off = np.abs(back - start)[:, 0].max(1)
    moved = np.asarray(there[:, 0], np.float32)
    inside = (moved > 1).all(1) & (moved[:, 0] < width - 2) & (moved[:, 1] < height - 2)
    kept = (found[:, 0] == 1) & (returned[:, 0] == 1) & (off < RETURN) & inside
    kept &= np.isfinite(moved).all(1)
    return moved, kept


def _corners(grey: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """New corners (n, 2), away from `points`, such that no cell holds more than its share."""
    height, width = grey.shape
    room = MAX_LIVE - len(points)
    if min(height, width) < 2 * SPACING or room <= 0:
        return np.zeros((0, 2), np.float32)
    strength = cv2.cornerMinEigenVal(grey.astype(np.float32) / 255, 3)
    peak = (strength == cv2.dilate(strength, np.ones((5, 5)))) & (strength > MIN_EIGENVALUE)
    taken = np.zeros((height, width), np.uint8)
    columns, rows = np.rint(points).astype(int).T if len(points) else (np.zeros(0, int), np.zeros(0, int))
    taken[rows.clip(0, height - 1), columns.clip(0, width - 1)] = 1
    peak &= cv2.dilate(taken, np.ones((2 * SPACING + 1, 2 * SPACING + 1))) == 0
    peak[:4], peak[-4:], peak[:, :4], peak[:, -4:] = False, False, False, False
    y, x = np.nonzero(peak)
    if not len(y):
        return np.zeros((0, 2), np.float32)
    side = max(width, height) / CELLS
    across = int(np.ceil(width / side))
    cell = (y / side).astype(int) * across + (x / side).astype(int)
    cells = across * int(np.ceil(height / side))
    share = int(np.ceil(2 * MAX_LIVE / cells))  # a part of the cells is sky, so the others take more
    held = np.bincount(
        (rows / side).astype(int).clip(0) * across + (columns / side).astype(int).clip(0), minlength=cells
    )
    order = np.lexsort((-strength[y, x], cell))
    y, x, cell = y[order], x[order], cell[order]
    rank = np.arange(len(cell)) - np.searchsorted(cell, cell)
    chosen = rank < np.maximum(share - held[cell], 0)
    y, x, rank = y[chosen], x[chosen], rank[chosen]
    first = np.argsort(rank, kind="stable")[:room]  # the best of every cell before the second best of any
    corners = np.stack([x[first], y[first]], 1).astype(np.float32)
    return _apart(corners)


def _apart(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop corners closer than SPACING to one before them."""
    buckets: dict[tuple[int, int], list[tuple[float, float]]] = {}
    kept = []
    for x, y in corners.tolist():
        bx, by = int(x // SPACING), int(y // SPACING)
        near = (p for a in (-1, 0, 1) for b in (-1, 0, 1) for p in buckets.get((bx + a, by + b), ()))
        if all((x - p) ** 2 + (y - q) ** 2 >= SPACING**2 for p, q in near):
            buckets.setdefault((bx, by), []).append((x, y))
            kept.append((x, y))
    return np.array(kept, np.float32).reshape(-1, 2)
