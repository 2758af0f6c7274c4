"""What of a scene's measured geometry a camera sees, as coarse as the survey: the judge of corridors and rewards.

The coarse points of the frame that is shown (`Scene.survey_depth`) go through a z-buffer of the same resolution. It
works on the recording alone, so what it says does not depend on the world model, and it costs the same for all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.camera import Obstacle
from inspatio_gym.geometry.logdepth import TABLE
from inspatio_gym.scenes import Scene
from inspatio_gym.threads import spread
from inspatio_gym.types import Poses, Size

LONG_SIDE = 64
LEAST = 8  # worlds that are worth a thread
NEAR = np.float32(1e-3)  # scene units; closer points are behind the lens


class Sight(NamedTuple):
    """What of the scene's measured geometry a camera sees: one row of the survey's answer.

    seen: int32 (h, w), which point of `survey_depth` (flat index) each coarse pixel shows, -1 where there is none.
    coverage: share of the view where a surface was measured.
    """

    seen: NDArray[np.int32]
    coverage: float


class Survey:
    """The coarse points of every frame of a scene, for views with the aspect of `size`.

    obstacle: the same points, as the rig knows them.
    """

    def __init__(self, scene: Scene, obstacle: Obstacle, size: Size):
        self.codes, self.source = obstacle.codes, obstacle.pinhole
        self.c2w = np.ascontiguousarray(scene.c2w)
        scale = LONG_SIDE / max(size)
        self.shape = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        self.target = scene.view(self.shape).intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]


def look(surveys: Sequence[Survey], frames: Sequence[int], c2w: Poses) -> list[NDArray[np.int32]]:
    """For each camera (row of `c2w`) and the frame shown: int32 (h, w), the flat index into `survey_depth` of the nearest
    point that each coarse pixel shows, -1 where there is none."""
    answers = [np.full(survey.shape, -1, np.int32) for survey in surveys]

    def some(first: int, last: int) -> None:
        for k in range(first, last):
            survey, frame = surveys[k], frames[k]
            _look(
                survey.codes,
                TABLE,
                frame,
                survey.c2w[frame],
                c2w[k],
                survey.source[frame],
                survey.target[frame],
                answers[k],
            )

    spread(some, len(surveys), least=LEAST)
    return answers


@njit(cache=True, nogil=True, error_model="numpy")
def _look(codes, table, frame, here, there, source, target, index):
    rows, cols = codes.shape[1:]
    height, width = index.shape
    nearest = np.full((height, width), np.float32(np.inf))
    m = np.empty((3, 4), np.float32)  # from the recorded camera to pixels of the one that looks
    for j in range(4):
        right = down = ahead = 0.0
        for k in range(3):
            part = here[k, j] - there[k, 3] if j == 3 else here[k, j]
            right, down, ahead = right + there[k, 0] * part, down + there[k, 1] * part, ahead + there[k, 2] * part
        m[0, j], m[1, j], m[2, j] = target[0] * right + target[2] * ahead, target[1] * down + target[3] * ahead, ahead
    fx, fy, cx, cy = np.float32(1 / source[0]), np.float32(1 / source[1]), np.float32(source[2]), np.float32(source[3])
    one, last_x, last_y = np.float32(1), np.float32(width), np.float32(height)
    for v in range(rows):
        y = (np.float32(v) - cy) * fy
        row_x, row_y, row_z = m[0, 1] * y + m[0, 2], m[1, 1] * y + m[1, 2], m[2, 1] * y + m[2, 2]
        for u in range(cols):
            d, x = table[codes[frame, v, u]], (np.float32(u) - cx) * fx
            z = d * (m[2, 0] * x + row_z) + m[2, 3]
            if z < NEAR:
                continue
            px = (d * (m[0, 0] * x + row_x) + m[0, 3]) / z
            py = (d * (m[1, 0] * x + row_y) + m[1, 3]) / z
            if not (-one < px < last_x and -one < py < last_y):
                continue
            left, top = int(px + one) - 1, int(py + one) - 1
            for r in range(max(top, 0), min(top + 2, height)):
                for c in range(max(left, 0), min(left + 2, width)):
                    if z < nearest[r, c]:
                        nearest[r, c] = z
                        index[r, c] = (frame * rows + v) * cols + u
