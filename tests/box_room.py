"""A scene small enough to be written in a moment, for tests of what stands on scenes: a box seen from inside.

The camera walks forward and looks a little left and right; a square in the lower left of every frame counts as moving.
Depth and cameras are exact.
"""

from pathlib import Path

import numpy as np

from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes import Scene, SceneGeometry, SceneWriter

HALF = np.array([2.0, 1.2, 3.0])  # of the box: right, down, forward
SIZE = (48, 80)


def write_box(
    folder: Path, *, frames: int = 36, fps: int = 24, name: str = "box", metric: float | None = None
) -> Scene:
    """Write the scene into `folder`; `metric` scales everything and calls the unit a metre."""
    height, width = SIZE
    focal = 0.8 * width
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    v, u = np.mgrid[:height, :width]
    rays = np.stack(((u - camera[0, 2]) / focal, (v - camera[1, 2]) / focal, np.ones(SIZE)), -1)
    t = np.linspace(0, 1, frames)
    c2w = compose(rotation_ypr(8 * np.sin(2 * np.pi * t)), np.stack((0 * t, 0 * t, 1.2 * t), -1))
    moving = (u < 12) & (v >= height - 12)
    unit = metric or 1.0
    with SceneWriter(folder, fps=fps, size=SIZE, name=name, caption="inside a box") as writer:
        for pose in c2w:
            directions = rays @ pose[:3, :3].T
            with np.errstate(divide="ignore"):
                depth = ((np.sign(directions) * HALF - pose[:3, 3]) / directions).min(-1)
            points = pose[:3, 3] + directions * depth[..., None]
            writer.write_frame((127 + 100 * np.sin(points * (3, 4, 5))).astype(np.uint8))
            writer.write_depth(depth * unit, moving)
        c2w[:, :3, 3] *= unit
        return writer.finish(
            c2w=c2w,
            intrinsics=np.repeat(camera[None], frames, 0),
            geometry=SceneGeometry("synthetic-truth", 1.0, "a formula", "none", None if metric is None else 1.0),
            provenance={},
        )
