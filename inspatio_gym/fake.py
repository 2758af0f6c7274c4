"""A world model with nothing behind it, so that everything above the protocol can be tested in milliseconds.

A `FakeWorld` paints gradients that depend on the request alone: red follows the source frame, green the camera's
position, blue its heading; depth is a slanted plane and everything is covered. It counts its steps, so that sessions,
snapshots and forks have a state that can be wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inspatio_gym.types import Size
from inspatio_gym.world import Block, BlockRequest


class FakeSession:
    """The key it was started with and the number of frames since."""

    def __init__(self, num_source: int, key: int):
        self.num_source = num_source
        self.key = key
        self.frames = 0

    nbytes = 24

    def snapshot(self, light: bool = False) -> dict[str, Any]:
        return {"key": self.key, "frames": self.frames}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.key, self.frames = snapshot["key"], snapshot["frames"]

    def fork(self) -> "FakeSession":
        twin = FakeSession(self.num_source, self.key)
        twin.frames = self.frames
        return twin


class FakeWorld:
    """Gradient frames from pose and time; see the module's docstring."""

    name = "fake"
    nondeterministic = False

    def __init__(
        self, *, render_size: Size = (32, 32), device: str = "cpu", first_frames: int = 1, block_frames: int = 1
    ):
        self.render_size = render_size
        self.digest = f"fake {first_frames}+{block_frames}"
        self.first_frames = first_frames
        self.block_frames = block_frames

    def session(self, scene: Any, key: int) -> FakeSession:
        return FakeSession(scene.num_frames, key)

    def start(
        self, scenes: Sequence[Any], keys: Sequence[int], requests: Sequence[BlockRequest]
    ) -> tuple[list[FakeSession], list[Block]]:
        sessions = [self.session(scene, key) for scene, key in zip(scenes, keys, strict=True)]
        return sessions, self.step(sessions, requests)

    def step(self, sessions: Sequence[FakeSession], requests: Sequence[BlockRequest]) -> list[Block]:
        return [self._paint(session, request) for session, request in zip(sessions, requests, strict=True)]

    def _paint(self, session: FakeSession, request: BlockRequest) -> Block:
        height, width = self.render_size
        session.frames += len(request.source)
        rgb = np.zeros((len(request.observe), height, width, 3), np.uint8)
        ramp = np.linspace(0, 40, width)
        for row, k in enumerate(request.observe):
            position, forward = request.c2w[k, :3, 3], request.c2w[k, :3, 2]
            rgb[row, ..., 0] = int(200 * request.source[k] / max(session.num_source - 1, 1)) + ramp
            rgb[row, ..., 1] = (100 + 80 * np.tanh(position.sum())) + ramp
            rgb[row, ..., 2] = (100 + 80 * forward[0]) + (session.frames + session.key) % 16
        depth = np.broadcast_to(np.linspace(2, 1, height, dtype=np.float32)[None, :, None], rgb.shape[:3]).copy()
        return Block(rgb, depth, np.ones(rgb.shape[:3], bool))
