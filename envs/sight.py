"""A stand-in for the survey: the shown frame's own coarse points in a z-buffer, one call for all worlds."""

import numpy as np
from numba import njit

from inspatio_gym.geometry.logdepth import decode_depth
from inspatio_gym.scenes import Scene
from inspatio_gym.types import Size

LONG_SIDE = 64


class Survey:
    """Coarse points of every frame of a scene, and the pinhole of a coarse view with the aspect of `size`."""

    def __init__(self, scene: Scene, size: Size):
        depth = np.asarray(scene.survey_depth)
        self.height, self.width = depth.shape[1:]
        self.depth = decode_depth(depth)
        self.c2w = np.ascontiguousarray(scene.c2w)
        full = np.asarray(scene.intrinsics[0])
        sx, sy = self.width / scene.size[1], self.height / scene.size[0]
        self.source_pinhole = (
            full[0, 0] * sx, full[1, 1] * sy, (full[0, 2] + 0.5) * sx - 0.5, (full[1, 2] + 0.5) * sy - 0.5
        )  # fmt: skip
        scale = LONG_SIDE / max(size)
        self.shape = (round(size[0] * scale), round(size[1] * scale))
        view = scene.view(self.shape).intrinsics[0]
        self.target_pinhole = (view[0, 0], view[1, 1], view[0, 2], view[1, 2])


def look(surveys, frames, c2w):
    """(N, h, w) flat index of the nearest point each coarse pixel shows, -1 where none."""
    answers = []
    for survey, frame, camera in zip(surveys, frames, c2w, strict=True):
        w2c = np.linalg.inv(camera) @ survey.c2w[frame]
        answers.append(_look(survey.depth, frame, w2c, survey.source_pinhole, survey.target_pinhole, *survey.shape))
    return answers


@njit(cache=True, nogil=True)
def _look(depth, frame, m, source, target, height, width):
    rows, cols = depth.shape[1:]
    nearest = np.full((height, width), np.inf)
    index = np.full((height, width), -1, np.int32)
    for v in range(rows):
        for u in range(cols):
            d = depth[frame, v, u]
            x, y = (u - source[2]) / source[0] * d, (v - source[3]) / source[1] * d
            z = m[2, 0] * x + m[2, 1] * y + m[2, 2] * d + m[2, 3]
            if z < 1e-3:
                continue
            px = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * d + m[0, 3]) / z * target[0] + target[2]
            py = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * d + m[1, 3]) / z * target[1] + target[3]
            if not (-1 < px < width and -1 < py < height):
                continue
            for r in (int(np.floor(py)), int(np.floor(py)) + 1):
                for c in (int(np.floor(px)), int(np.floor(px)) + 1):
                    if 0 <= r < height and 0 <= c < width and z < nearest[r, c]:
                        nearest[r, c] = z
                        index[r, c] = (frame * rows + v) * cols + u
    return index
