"""What of a scene's measured geometry a camera sees, as coarse as the survey: the judge of corridors and rewards.

The coarse points of the frame that is shown (`Scene.survey_depth`) go through a z-buffer of the same resolution. It
works on the recording alone, so what it says does not depend on the world model, and it costs the same for all.
"""

from collections.abc import Sequence

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
NEAR = 1e-3  # scene units; closer points are behind the lens


class Survey:
    """The coarse points of every frame of a scene, for views with the aspect of `size`.

    obstacle: the same points, as the rig knows them.
    """

    def __init__(self, scene: Scene, obstacle: Obstacle, size: Size):
        self.codes, self.source = obstacle.codes, obstacle.pinhole
        self.c2w = np.ascontiguousarray(scene.c2w)
        scale = LONG_SIDE / max(size)
        self.shape = (round(size[0] * scale), round(size[1] * scale))
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


@njit(cache=True, nogil=True)
def _look(codes, table, frame, here, there, source, target, index):
    rows, cols = codes.shape[1:]
    height, width = index.shape
    nearest = np.full((height, width), np.inf)
    turn, shift = np.empty((3, 3)), np.empty(3)  # from the recorded camera into the one that looks
    for i in range(3):
        for j in range(3):
            turn[i, j] = there[0, i] * here[0, j] + there[1, i] * here[1, j] + there[2, i] * here[2, j]
        shift[i] = (
            there[0, i] * (here[0, 3] - there[0, 3])
            + there[1, i] * (here[1, 3] - there[1, 3])
            + there[2, i] * (here[2, 3] - there[2, 3])
        )
    for v in range(rows):
        for u in range(cols):
            d = table[codes[frame, v, u]]
            x, y = (u - source[2]) / source[0] * d, (v - source[3]) / source[1] * d
            z = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * d + shift[2]
            if z < NEAR:
                continue
            px = (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * d + shift[0]) / z * target[0] + target[2]
            py = (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * d + shift[1]) / z * target[1] + target[3]
            if not (-1 < px < width and -1 < py < height):
                continue
            left, top = int(np.floor(px)), int(np.floor(py))
            for r in range(max(top, 0), min(top + 2, height)):
                for c in range(max(left, 0), min(left + 2, width)):
                    if z < nearest[r, c]:
                        nearest[r, c] = z
                        index[r, c] = (frame * rows + v) * cols + u
