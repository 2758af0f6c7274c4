"""A scene at the size somebody looks at it: cropped to the wanted aspect around the centre, then resized.

    window   the largest centred part of (H, W) with the aspect of `size`, whole pixels
    rgb      averaged over areas when shrinking, bilinear when growing
    depth    the stored pixel at each centre, never blended: a blend of near and far is a surface that is not there
    camera   pixel c of the frame becomes (c - corner + 1/2) s - 1/2, s the scale of its axis: f' = f s, likewise c'

Resized frames lie in the process-wide cache under the scene's content and the window, so views of the same scene and
size share them; full-size frames pass through without being kept.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.logdepth import decode_depth
from inspatio_gym.scenes.footage import CHUNK, frame_cache
from inspatio_gym.scenes.scene import Scene
from inspatio_gym.types import Depth, Intrinsics, Mask, Poses, Rgb, Size


class SceneView:
    """`scene` seen at `size` (height, width).

    num_frames (F), digest and c2w, float64 (F, 4, 4), are the scene's; intrinsics, float64 (F, 3, 3), are those at `size`.
    Raises ValueError for a size without pixels.
    """

    def __init__(self, scene: Scene, size: Size):
        height, width = size
        if height < 1 or width < 1:
            raise ValueError(f"expected a size (height, width) of at least (1, 1), got {size}")
        self.scene, self.size = scene, (int(height), int(width))
        self.num_frames = scene.num_frames
        self.c2w: Poses = scene.c2w
        self.digest = scene.digest
        full_height, full_width = scene.size
        cover = max(height / full_height, width / full_width)
        crop_height = min(full_height, max(1, round(height / cover)))
        crop_width = min(full_width, max(1, round(width / cover)))
        top, left = (full_height - crop_height) // 2, (full_width - crop_width) // 2
        self._window = slice(top, top + crop_height), slice(left, left + crop_width)
        scale_y, scale_x = height / crop_height, width / crop_width
        self._interpolation = cv2.INTER_AREA if min(scale_y, scale_x) < 1 else cv2.INTER_LINEAR

        intrinsics = np.array(scene.intrinsics)
        intrinsics[:, 0] *= scale_x
        intrinsics[:, 1] *= scale_y
        intrinsics[:, 0, 2] = (scene.intrinsics[:, 0, 2] - left + 0.5) * scale_x - 0.5
        intrinsics[:, 1, 2] = (scene.intrinsics[:, 1, 2] - top + 0.5) * scale_y - 0.5
        intrinsics.flags.writeable = False
        self.intrinsics: Intrinsics = intrinsics

        rows = ((np.arange(height) + 0.5) / scale_y + top) * scene.depth_size[0] / full_height
        cols = ((np.arange(width) + 0.5) / scale_x + left) * scene.depth_size[1] / full_width
        self._rows, self._cols = rows.astype(np.intp)[:, None], cols.astype(np.intp)[None, :]

    def rgb(self, i: int) -> Rgb:
        """Frame i, uint8 (height, width, 3), read-only. Raises IndexError outside 0..F-1."""
        return self._frame("rgb", i, self._resize)

    def depth(self, i: int) -> Depth:
        """Depth of frame i, float32 (height, width) in scene units, read-only. Raises IndexError outside 0..F-1."""
        scale = np.float32(self.scene.depth_scale)
        return self._frame("depth", i, lambda codes: decode_depth(codes[:, self._rows, self._cols]) * scale)

    def moving(self, i: int) -> Mask:
        """Where frame i moves by itself, bool (height, width), read-only. Raises IndexError outside 0..F-1."""
        return self._frame("moving", i, lambda moving: moving[:, self._rows, self._cols] > 0)

    def _frame(self, what: str, i: int, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        if not 0 <= i < self.num_frames:
            raise IndexError(f"expected a frame from 0 to {self.num_frames - 1}, got {i}")
        chunk = i // CHUNK
        key = (self.scene.digest, what, chunk, self.size)
        return frame_cache.get(key, lambda: convert(self.scene.chunk(what, chunk, keep=False)))[i % CHUNK]

    def _resize(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        out = np.empty((len(frames), *self.size, 3), np.uint8)
        for frame, small in zip(frames[:, *self._window], out, strict=True):
            cv2.resize(frame, self.size[::-1], dst=small, interpolation=self._interpolation)
        return out
