"""What a clip is measured against: a scene at the size it is seen at and, behind a synthetic one, the world that knows.

Coordinates are the scene's: the first camera is the identity, the median depth is 1.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes import Scene
from inspatio_gym.scenes.synthetic import SyntheticWorld, from_scene
from inspatio_gym.scenes.synthetic.world import View
from inspatio_gym.types import Depth, Intrinsics, Pose, Size
from inspatio_gym.warp import at_size


class Subject:
    """A scene seen at `size` (height, width); `world` is None where nobody knows the truth."""

    def __init__(self, scene: Scene, size: Size):
        self.scene, self.size = scene, (int(size[0]), int(size[1]))
        self.view: Any = at_size(scene, self.size)

    @cached_property
    def world(self) -> SyntheticWorld | None:
        """The world that the scene was rendered from."""
        try:
            return from_scene(self.scene)
        except ValueError:
            return None

    @property
    def name(self) -> str:
        """What a user calls the scene: the address of a synthetic one."""
        return self.scene.name if self.world is None else self.world.address

    def intrinsics(self, frame: int) -> Intrinsics:
        """(3, 3) at `size`."""
        return np.array(self.view.intrinsics[frame])

    def true_view(self, c2w: Pose, frame: int, samples: int) -> View:
        """What a camera would see: rgb, depth in scene units, ids. Raises ValueError for a scene without a world."""
        return self._known().render_scene(c2w, frame, self.size, self.intrinsics(frame), samples)

    def true_depth(
        self, c2w: Pose, frame: int, size: Size | None = None, intrinsics: Intrinsics | None = None
    ) -> tuple[Depth, NDArray[np.int32]]:
        """Depth in scene units and ids alone, at `size` or another. Raises ValueError for a scene without a world."""
        world = self._known()
        matrix = self.intrinsics(frame) if intrinsics is None else intrinsics
        depth, ids = world.depth(world.to_world(c2w), frame / world.fps, size or self.size, matrix)
        return depth * np.float32(world.scale), ids

    def _known(self) -> SyntheticWorld:
        if self.world is None:
            raise ValueError(f"expected a scene of a synthetic world, got {self.scene!r}: nobody knows its truth")
        return self.world
