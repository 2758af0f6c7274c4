"""The warp world: the scene's geometry alone, seen from another camera. No weights, no accelerator.

A block is one frame, and a session has no memory: what a request shows depends on (scene, source frame, camera) only.
The work is in `layers` (what is kept of a source frame) and `geometry.kernels` (how it is seen from elsewhere).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry import kernels
from inspatio_gym.layers import View, shared_store
from inspatio_gym.recycling import Recycler
from inspatio_gym.threads import spread, threads
from inspatio_gym.types import Pose, Rgb, Size
from inspatio_gym.world import Block, BlockRequest

if TYPE_CHECKING:
    from inspatio_gym.scenes import Scene

SHARED_PIXELS = 60_000
"""Of a view whose rows are worth sharing out over threads, when there are fewer views than these."""


@lru_cache(maxsize=32)
def at_size(scene: Any, size: Size) -> View:
    """The scene cropped and resized to `size`, which must be at least 2x2 pixels; itself if it has that size."""
    if tuple(scene.size) == tuple(size):
        return scene
    from inspatio_gym.scenes.view import SceneView

    return SceneView(scene, size)


class WarpSession:
    """The scene that is being looked at, and nothing else."""

    def __init__(self, view: View):
        self.view = view

    nbytes = 0

    def snapshot(self, light: bool = False) -> dict[str, Any]:
        return {}

    def restore(self, snapshot: dict[str, Any]) -> None:
        pass

    def fork(self) -> "WarpSession":
        return WarpSession(self.view)


class WarpModel:
    """Novel views by warping; see the module's docstring.

    render_size: (height, width) of the views. device: "cpu", or "auto", which is the same here. background: also fill
    what the frame hides from other frames.
    """

    name = "warp"
    first_frames = 1
    block_frames = 1
    nondeterministic = False

    def __init__(self, render_size: Size, device: str = "cpu", background: bool = True):
        if device not in ("cpu", "auto"):
            raise ValueError(f"expected device 'cpu', got {device!r}: the warp world runs on the CPU alone")
        if min(render_size) < 2:
            raise ValueError(f"expected a render size of at least (2, 2), got {tuple(render_size)}")
        self.render_size = (int(render_size[0]), int(render_size[1]))
        self.digest = f"warp background={background}"
        self.layers = shared_store(self.render_size, background=background)
        self._recycler = Recycler()

    def session(self, scene: "Scene", key: int) -> WarpSession:
        """A session over `scene`; `key` is not needed, as nothing is random."""
        return WarpSession(at_size(scene, self.render_size))

    def start(
        self, scenes: Sequence["Scene"], keys: Sequence[int], requests: Sequence[BlockRequest]
    ) -> tuple[list[WarpSession], list[Block]]:
        """Begin one session a scene and yield its first frame."""
        sessions = [self.session(scene, key) for scene, key in zip(scenes, keys, strict=True)]
        return sessions, self.step(sessions, requests)

    def step(self, sessions: Sequence[WarpSession], requests: Sequence[BlockRequest]) -> list[Block]:
        """Render the observed frames of each request.

        Raises IndexError for a source frame outside the scene.
        """
        wanted, targets, counts = [], [], []
        for session, request in zip(sessions, requests, strict=True):
            counts.append(len(request.observe))
            for k in request.observe:
                frame = int(request.source[k])
                if not 0 <= frame < session.view.num_frames:
                    raise IndexError(f"expected a source frame in 0..{session.view.num_frames - 1}, got {frame}")
                wanted.append((session.view, frame))
                targets.append(request.c2w[k])
        height, width = self.render_size
        total = len(wanted)
        rgb = self._recycler.empty((total, height, width, 3), np.uint8)
        depth = self._recycler.empty((total, height, width), np.float32)
        covered = self._recycler.empty((total, height, width), np.bool_)
        with self.layers.lock:
            for first in range(0, total, self.layers.capacity):
                part = slice(first, first + self.layers.capacity)
                self._render(wanted[part], np.array(targets[part], np.float64), rgb[part], depth[part], covered[part])
        blocks, start = [], 0
        for count in counts:
            stop = start + count
            blocks.append(Block(rgb[start:stop], depth[start:stop], covered[start:stop]))
            start = stop
        return blocks

    def _render(
        self,
        wanted: list[tuple[View, int]],
        targets: NDArray[np.float64],
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        covered: NDArray[np.bool_],
    ) -> None:
        """Write views (n, H, W, ...) of frames `wanted` from cameras `targets` (n, 4, 4); n fit into the store."""
        store = self.layers
        slots = store.slots(wanted)
        if rgb[0].size >= 3 * SHARED_PIXELS and len(wanted) < threads():
            for k, slot in enumerate(slots):
                self._render_shared(slot, targets[k], rgb[k], depth[k], covered[k])
            return

        def some(first: int, last: int) -> None:
            kernels.render_worlds(
                first, last, slots, targets, store.poses, store.pinholes, store.depth, store.rgbx, store.chunks,
                store.plan, rgb, depth, covered,
            )  # fmt: skip

        spread(some, len(wanted))

    def _render_shared(
        self, slot: int, target: Pose, rgb: Rgb, depth: NDArray[np.float32], covered: NDArray[np.bool_]
    ) -> None:
        """The same for one large view, whose rows are shared out over the threads; the result is the same to the bit."""
        store, (height, width) = self.layers, self.render_size
        bands = threads()
        buffers = [[self._recycler.empty((height + 2, width + 2), np.float32) for _ in range(bands)] for _ in range(2)]
        words = self._recycler.empty((height, width), np.uint32)
        kinds = self._recycler.empty((height, width), np.uint8)
        cameras = kernels.relate_layers(store.poses[slot], target, store.pinholes[slot], store.plan)

        def splat(first: int, last: int) -> None:
            for band in range(first, last):
                for layer in range(2):
                    buffers[layer][band].fill(kernels.EMPTY)
                    rows = store.plan[layer, 0]
                    begin, end = rows * band // bands, rows * (band + 1) // bands
                    kernels.splat(
                        store.depth[slot], store.chunks[slot], store.plan, layer, cameras[layer], begin, end,
                        buffers[layer][band],
                    )  # fmt: skip

        def merge(first: int, last: int) -> None:
            for layer in range(first, last):
                for other in buffers[layer][1:]:
                    np.minimum(buffers[layer][0], other, out=buffers[layer][0])
                kernels.clear_border(buffers[layer][0])

        def resolve(first: int, last: int) -> None:
            kernels.resolve(
                buffers[0][0], buffers[1][0], store.depth[slot], store.rgbx[slot], store.plan, cameras, first, last, words,
                depth, kinds,
            )  # fmt: skip

        spread(splat, bands)
        spread(merge, 2)
        spread(resolve, height, least=height // bands)
        kernels.finish(words, kinds, rgb, depth, covered)
