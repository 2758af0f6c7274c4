"""Depth of every pixel of every frame, once the cameras are known.

    neighbours   frames before and after that see the frame's points move by a few to a dozen pixels
    rough        sparse points and the ground, spread along the picture's edges
    flow         into each neighbour, on what the rough depth leaves (`flow`)
    votes        inverse depth by triangulation, with a variance (`stereo`)
    moving       what flow contradicts the cameras, or would lie under the ground, or behind the camera
    complete     votes, points and a little faith in the ground, spread where nothing is known (`completion`)

Moving things take no part in that; each is stood where the static world is at its foot. All of it is in units of the
median inverse depth of the frame's points, so that no constant depends on the scene's scale.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import local

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.estimate.completion import complete
from inspatio_gym.scenes.estimate.flow import FlowMeter
from inspatio_gym.scenes.estimate.ground import Ground, find_ground
from inspatio_gym.scenes.estimate.pinhole import DEPTH_SIDE, middle, pinhole, shrunk
from inspatio_gym.scenes.estimate.points import Array
from inspatio_gym.scenes.estimate.sfm import Structure
from inspatio_gym.scenes.estimate.stereo import Votes, triangulate_flow
from inspatio_gym.scenes.estimate.tracks import Tracks
from inspatio_gym.threads import threads
from inspatio_gym.types import Mask, Size

PARALLAX = (2.5, 6.0, 14.0)  # pixels wanted between a frame and its neighbours, each way
REACH = 30  # frames that a neighbour may be away
MIN_ANGLE_DEG = 0.5  # under which a point was seen, to be trusted here
AGREES = 1.5  # pixels, at a long side of 832, that a point may be off its place in the frame

# Weights of what is known of a pixel, where 1 is inverse depth known to 5% of the median one.
UNIT = 0.05
POINT = 3.0
ROUGH_GROUND, FAITH_IN_GROUND, FAITH_IN_FAR = 0.02, 0.3, 0.002
FAR_SHARE = 0.05  # what nothing is known about, above the horizon, is as far as the farthest of the points
TEXTURE = 60.0  # grey levels squared, below which nothing can be said to move

Map = NDArray[np.float32]
Places = tuple[NDArray[np.intp], ...]


class DenseDepth:
    """Depth maps of a clip with known structure. size: (h, w) of the maps."""

    def __init__(self, clip: Clip, tracks: Tracks, structure: Structure):
        height, width = clip.size
        self.size: Size = shrunk(clip.size, DEPTH_SIDE)
        self._clip, self._tracks, self._structure = clip, tracks, structure
        self._scale = np.array([self.size[1] / width, self.size[0] / height])
        self._camera = pinhole(structure.focal * self._scale, self.size)
        self.ground: Ground = find_ground(structure, clip.size)
        x, y = np.meshgrid(np.arange(self.size[1]), np.arange(self.size[0]))
        self._rays = np.dstack([x, y, np.ones_like(x)]) @ np.linalg.inv(self._camera).T
        self._scratch = local()

    def maps(self) -> Iterator[tuple[Map, Mask]]:
        """For each frame, in order: z-depth float32 (h, w) and what moves by itself, bool (h, w)."""
        workers = threads()
        waiting: deque[Future[tuple[Map, Mask]]] = deque()
        greys: dict[int, NDArray[np.uint8]] = {}
        frames = self._clip.num_frames
        with _one_thread_a_call(), ThreadPoolExecutor(workers) as pool:
            try:
                for i in range(frames):
                    for j in range(max(greys, default=-1) + 1, min(i + REACH + 1, frames)):
                        greys[j] = self._grey(j)
                    around = {j: greys[j] for j in range(max(0, i - REACH), min(i + REACH + 1, frames))}
                    waiting.append(pool.submit(self.depth, i, around))
                    greys.pop(i - REACH, None)
                    if len(waiting) > workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for task in waiting:
                    task.cancel()

    def depth(self, i: int, greys: dict[int, NDArray[np.uint8]]) -> tuple[Map, Mask]:
        """z-depth and moving things of frame i. greys: frame -> grey picture (h, w), of i and all within `REACH`."""
        seen, inverse, points = self.points(i)
        unit = float(np.median(inverse)) if len(inverse) else 1.0
        places, known = _nearest_pixel(seen, inverse / unit, self.size)
        normal = self.ground.normal(i, self._structure.cameras[i])
        plane = np.zeros(self.size, np.float32)
        if normal is not None:
            plane = np.maximum(self._rays @ normal / unit, 0).astype(np.float32)

        grey = greys[i]
        neighbours = self._neighbours(i, points)
        far = float(np.quantile(known, FAR_SHARE)) if len(known) else 0.0
        rough = _rough(plane, far, places, known, grey)
        votes = self._votes(i, neighbours, greys, rough, unit)
        moving = _moving(votes, plane, grey)
        steady = _inverse_depth(votes, moving, plane, far, places, known, grey)
        return (1 / (unit * np.maximum(_stood(steady, moving), 1e-3))).astype(np.float32), moving

    def _grey(self, i: int) -> NDArray[np.uint8]:
        small = cv2.resize(self._clip.rgb(i), self.size[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)

    def points(self, i: int) -> tuple[Array, Array, Array]:
        """Reconstructed points that frame i sees where it should: pixels (n, 2) of the map, inverse depth, world."""
        s = self._structure
        ids, seen = self._tracks.at(i)
        good = np.isfinite(s.points[ids, 0]) & ~s.moving[ids] & (s.angles_deg[ids] > MIN_ANGLE_DEG)
        points, seen = s.points[ids[good]], seen[good]
        inside = points @ s.cameras[i, :3, :3].T + s.cameras[i, :3, 3]
        depth = np.where(inside[:, 2] > 1e-6, inside[:, 2], np.nan)
        expected = inside[:, :2] / depth[:, None] * s.focal + middle(self._clip.size)
        fits = np.linalg.norm(expected - seen, axis=1) < AGREES * max(self._clip.size) / 832 + 0.5
        return (seen[fits] + 0.5) * self._scale - 0.5, 1 / depth[fits], points[fits]

    def _neighbours(self, i: int, points: Array) -> list[int]:
        """Frames on both sides of i in which its points have moved by about `PARALLAX`."""
        chosen: list[int] = []
        for way in (-1, 1):
            j = i
            for wanted in PARALLAX:
                j += way
                while (
                    0 <= j + way < self._clip.num_frames and abs(j - i) < REACH and self._moved(i, j, points) < wanted
                ):
                    j += way
                if 0 <= j < self._clip.num_frames and abs(j - i) <= REACH:
                    chosen.append(j)
        return chosen

    def _moved(self, i: int, j: int, points: Array) -> float:
        """Median pixels that the change of place, not of direction, between two cameras moves points (n, 3)."""
        if len(points) < 5:
            return 0.0
        here, there = self._structure.cameras[[i, j]]
        moved = points @ there[:3, :3].T + there[:3, 3]
        turned = (points @ here[:3, :3].T + here[:3, 3]) @ (there[:3, :3] @ here[:3, :3].T).T
        ahead = (moved[:, 2] > 1e-6) & (turned[:, 2] > 1e-6)
        if ahead.sum() < 5:
            return 0.0
        apart = moved[ahead, :2] / moved[ahead, 2:] - turned[ahead, :2] / turned[ahead, 2:]
        return float(np.median(np.linalg.norm(apart, axis=1))) * self._camera[0, 0]

    def _votes(
        self, i: int, neighbours: list[int], greys: dict[int, NDArray[np.uint8]], rough: Map, unit: float
    ) -> Votes:
        if not hasattr(self._scratch, "meter"):
            self._scratch.meter = FlowMeter(*self.size)
        back = np.linalg.inv(self._camera)
        here = np.linalg.inv(self._structure.cameras[i])
        flow = np.zeros((len(neighbours), *self.size, 2), np.float32)
        agreement = np.zeros((len(neighbours), *self.size), np.float32)
        turn, shift = np.zeros((len(neighbours), 3, 3)), np.zeros((len(neighbours), 3))
        for k, j in enumerate(neighbours):
            move = self._structure.cameras[j] @ here
            turn[k], shift[k] = self._camera @ move[:3, :3] @ back, self._camera @ move[:3, 3] * unit
            flow[k], agreement[k] = self._scratch.meter.measure(greys[i], greys[j], turn[k], shift[k], rough)
        return triangulate_flow(flow, agreement, turn, shift, _structure_tensor(greys[i]))


def _structure_tensor(grey: NDArray[np.uint8]) -> Map:
    """Sums over 7x7 pixels of gx gx, gx gy, gy gy, (h, w, 3), in grey levels squared."""
    gx, gy = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.dstack([cv2.boxFilter(p, -1, (7, 7), normalize=False) for p in (gx * gx, gx * gy, gy * gy)])


def _nearest_pixel(places: Array, inverse: Array, size: Size) -> tuple[Places, Map]:
    """Rows and columns of the points inside the map, and their inverse depths."""
    x, y = np.rint(places).astype(np.intp).reshape(-1, 2).T
    inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
    return (y[inside], x[inside]), inverse[inside].astype(np.float32)


def _rough(plane: Map, far: float, places: Places, known: Map, grey: NDArray[np.uint8]) -> Map:
    weight = np.where(plane > 0, ROUGH_GROUND, FAITH_IN_FAR).astype(np.float32)
    total = weight * np.where(plane > 0, plane, far)
    np.add.at(total, places, POINT * known)
    np.add.at(weight, places, POINT)
    return complete(total / weight, weight, grey, reach=60.0, sigma=20.0)


def _moving(votes: Votes, plane: Map, grey: NDArray[np.uint8]) -> Mask:
    """What cannot be part of a rigid world: what contradicts itself, lies under the ground, or behind the camera."""
    deviation = 1 / np.sqrt(votes.information + 1e-12)
    seen = (votes.texture > TEXTURE) & (votes.information > 0)
    # A car that keeps pace seems as far as the hills. Little of it has texture: what has speaks for its whole surface.
    weight = np.where(seen, 1, 0.01) * _weight(votes)
    surface = complete(votes.inverse, weight.astype(np.float32), grey, reach=8.0, sigma=8.0)
    near = cv2.boxFilter((seen & (deviation < plane)).astype(np.float32), -1, (7, 7)) > 0.1
    below = near & (plane > 0.15) & (surface < 0.6 * plane)
    behind = seen & (votes.inverse < -np.maximum(2 * deviation, 0.1))
    odd = below | behind | (seen & (votes.contradiction > 0.6))
    odd = cv2.morphologyEx(odd.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(odd, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)).astype(bool)


def _weight(votes: Votes) -> NDArray[np.float64]:
    """Weights (h, w) of the votes: 1 where inverse depth is known to `UNIT`; what is near is never known better."""
    with np.errstate(divide="ignore"):
        variance = 1 / votes.information.astype(np.float64)
    return UNIT**2 / (variance + (UNIT * np.maximum(votes.inverse, 0)) ** 2 + 0.03**2)


def _inverse_depth(
    votes: Votes,
    moving: Mask,
    plane: Map,
    far: float,
    places: Places,
    known: Map,
    grey: NDArray[np.uint8],
) -> Map:
    """Inverse depth (h, w) of the static world; under moving things what surrounds them."""
    inverse = np.maximum(votes.inverse, 0)
    weight = np.where(moving, 0, _weight(votes))
    total = weight * inverse
    ground = np.where(plane > 0, FAITH_IN_GROUND * UNIT**2 / ((0.3 * plane) ** 2 + 0.1**2), 0)
    sky = np.where(plane > 0, 0, FAITH_IN_FAR)
    total += ground * plane + sky * far
    weight += ground + sky
    steady = ~moving[places]
    places, known = tuple(index[steady] for index in places), known[steady]
    np.add.at(total, places, POINT * known)
    np.add.at(weight, places, POINT)
    return complete(
        (total / np.maximum(weight, 1e-12)).astype(np.float32), weight.astype(np.float32), grey, reach=30.0, sigma=8.0
    )


def _stood(inverse: Map, moving: Mask) -> Map:
    """Inverse depth with every moving blob upright where the static world is at its foot."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(moving.astype(np.uint8))
    stood = inverse.copy()
    for k in range(1, count):
        x, y, width, height, _ = boxes[k]
        blob = labels[y : y + height, x : x + width] == k
        lowest = y + height - 1 - np.argmax(blob[::-1], axis=0)
        foot = min(int(np.percentile(lowest[blob.any(0)], 80)) + 2, len(inverse) - 1)
        stood[y : y + height, x : x + width][blob] = np.median(inverse[foot, x : x + width])
    return stood


@contextmanager
def _one_thread_a_call() -> Iterator[None]:
    """Keep OpenCV to one thread a call: its flow depends on how rows are shared out, and ours are the threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
