"""Explore: look at as much of the recorded world as you can.

The scene's static surfaces are cut into cells, and the reward counts the cells that come into the *middle* of the view
for the first time in the episode, in views: parts of what a recorded frame shows (the median frame):

    reward = new cells / cells of a frame  -  COLLISION if geometry stopped the camera  -  OUTSIDE the corridor

So a return of 1 is a whole view's worth of new surface, however long the clip is.

A cell is a cube of the world, of a side that grows with the distance from the recorded camera that measured it:
CELL * 2^floor(log2 depth), so that near and far surfaces count by what they look like, and noise of the depth does not
make cells of its own. The middle is the half of the view's height and width around its centre. Riding the recording
without turning thus reveals only what passes through the middle of the video; the rest must be looked at, without
turning so far that nothing measured is left in the view (the corridor). Since the cells are the scene's and the camera
is the commanded one, the model's pixels have no say in the reward.

Nothing else pays: a cell counts once, so that pausing, swaying over a cell's edge and turning in a circle earn what the
first time showed and no more, and what lies outside the corridor is less than what going there costs.

Metrics: `explored` cells, `explored_fraction` of all, `collisions` (steps), `steps_outside` the corridor, `path_length` in
median depths and `rotation_deg`, both relative to the mount.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.envs.spaces import MAX_DEPTH
from inspatio_gym.envs.tasks import Moment
from inspatio_gym.geometry.logdepth import decode_depth

if TYPE_CHECKING:
    from inspatio_gym.scenes import Scene

CELL = 1 / 8  # side of a cell at depth 1: 3.6 to 7.2 degrees of the view
GRID_SHIFT = 0.37  # in cells; keeps walls at round numbers off the grid's planes, where rounding would split them
PART = 128  # frames
COLLISION = 0.0025  # cost of a step in which geometry stopped the camera, in views
OUTSIDE = 0.25  # cost of a step that ends outside the corridor


class Explore:
    """Reward for static surface brought into the middle of the view; see the module's docstring."""

    observation_spaces: Mapping[str, gym.Space] = {}

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        self._cells = surface_cells(moment.scene)
        self._seen = np.zeros(self._cells.number, np.bool_)
        self._explored = self._collisions = self._steps_outside = 0
        self._path_length = self._rotation_deg = 0.0
        self._look(moment)

    def step(self, moment: Moment) -> tuple[float, bool]:
        reward = self._look(moment) / self._cells.in_frame
        self._path_length += moment.moved
        self._rotation_deg += moment.turned_deg
        if moment.collided:
            self._collisions += 1
            reward -= COLLISION
        if moment.outside:
            self._steps_outside += 1
            reward -= OUTSIDE
        return reward, False

    def observation(self) -> Mapping[str, NDArray[Any]]:
        return {}

    def metrics(self) -> dict[str, float]:
        return {
            "explored": self._explored,
            "explored_fraction": self._explored / max(self._cells.number, 1),
            "collisions": self._collisions,
            "steps_outside": self._steps_outside,
            "path_length": self._path_length,
            "rotation_deg": self._rotation_deg,
        }

    def snapshot(self) -> dict[str, Any]:
        return {
            "seen": np.packbits(self._seen),
            "collisions": self._collisions,
            "steps_outside": self._steps_outside,
            "path_length": self._path_length,
            "rotation_deg": self._rotation_deg,
        }

    def restore(self, snapshot: Mapping[str, Any], scene: "Scene") -> None:
        self._cells = surface_cells(scene)
        self._seen = np.unpackbits(snapshot["seen"], count=self._cells.number).astype(np.bool_)
        self._explored = int(np.count_nonzero(self._seen))
        self._collisions, self._steps_outside = snapshot["collisions"], snapshot["steps_outside"]
        self._path_length, self._rotation_deg = snapshot["path_length"], snapshot["rotation_deg"]

    def _look(self, moment: Moment) -> int:
        """Mark the cells in the middle of the view; return how many of them are new."""
        height, width = moment.seen.shape
        middle = moment.seen[height // 4 : height - height // 4, width // 4 : width - width // 4]
        cells = self._cells.of_point[middle[middle >= 0]]
        self._seen[cells[cells >= 0]] = True
        before, self._explored = self._explored, int(np.count_nonzero(self._seen))
        return self._explored - before


class Cells(NamedTuple):
    """The surface of a scene: `of_point`, int32 (F * h * w,), the cell of every point of `survey_depth`, or -1 for points
    that move or lie farther than `MAX_DEPTH` median depths; `number`, how many cells there are; `in_frame`, how many of
    them a recorded frame shows, the median frame, and at least 1."""

    of_point: NDArray[np.int32]
    number: int
    in_frame: float


@lru_cache(maxsize=32)
def surface_cells(scene: "Scene") -> Cells:
    """Cut the static surface of a scene into cells; computed once a scene."""
    per_frame = scene.survey_depth[0].size
    cells = np.empty(scene.num_frames * per_frame, np.int32)
    parts = []  # cells are numbered within a part first, so that the 64-bit keys of a long clip are never all there
    for first in range(0, scene.num_frames, PART):
        frames = range(first, min(first + PART, scene.num_frames))
        found, within = np.unique(np.concatenate([_keys(scene, frame) for frame in frames]), return_inverse=True)
        cells[first * per_frame : (frames.stop) * per_frame] = within
        parts.append(found)
    occupied = np.unique(np.concatenate(parts))
    occupied = occupied[occupied >= 0]
    for k, found in enumerate(parts):
        number = np.where(found >= 0, np.searchsorted(occupied, found), -1).astype(np.int32)
        part = slice(k * PART * per_frame, (k + 1) * PART * per_frame)
        cells[part] = number[cells[part]]
    shown = [len(np.unique(frame[frame >= 0])) for frame in cells.reshape(scene.num_frames, per_frame)]
    return Cells(cells, len(occupied), max(float(np.median(shown)), 1.0))


def _keys(scene: "Scene", frame: int) -> NDArray[np.int64]:
    """The cell of each point of a frame as one number, int64 (h * w,), or -1."""
    depth = decode_depth(np.asarray(scene.survey_depth[frame])).astype(np.float64)
    height, width = depth.shape
    rows = (np.arange(height) + 0.5) * scene.size[0] / height - 0.5
    cols = (np.arange(width) + 0.5) * scene.size[1] / width - 0.5
    k = scene.intrinsics[frame]
    rays = np.stack(np.broadcast_arrays((cols - k[0, 2]) / k[0, 0], ((rows - k[1, 2]) / k[1, 1])[:, None], 1.0), -1)
    c2w = scene.c2w[frame]
    points = (rays * depth[..., None]) @ c2w[:3, :3].T + c2w[:3, 3]
    level = np.floor(np.log2(depth / scene.median_depth))
    side = CELL * scene.median_depth * np.exp2(level)
    cube = np.floor(points / side[..., None] + GRID_SHIFT).astype(np.int64)
    key = (level.astype(np.int64) + 32) << 57
    for axis, shift in enumerate((38, 19, 0)):
        key |= (cube[..., axis] & 0x7FFFF) << shift
    moving = scene.moving(frame)[np.ix_(np.rint(rows).astype(int), np.rint(cols).astype(int))]
    key[moving | (depth > MAX_DEPTH * scene.median_depth)] = -1
    return key.ravel()
