"""A film's plan: which source frame each of its frames shows, and from which camera.

    time     source   int64 (n,)        adaptive, at a speed, frozen; possibly mirrored
    space    c2w      float64 (n, 4, 4) the path, relative to the recorded camera of that frame, or to the first one

A plan knows nothing of models. `inspatio_gym.world.blocks` cuts it into the requests that a model takes.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.clock import Clock
from inspatio_gym.render.config import RenderConfig
from inspatio_gym.render.reach import open_radius
from inspatio_gym.trajectory import spread_indices
from inspatio_gym.types import Poses


@dataclass(frozen=True, slots=True)
class Plan:
    """source: int64 (n,), source frame of each frame of the film. c2w: float64 (n, 4, 4), its camera. radius: of the path."""

    source: NDArray[np.int64]
    c2w: Poses
    radius: float

    def __len__(self) -> int:
        return len(self.source)

    @property
    def digest(self) -> str:
        """Equal for equal films; cameras count to a billionth of a unit."""
        content = self.source.astype("<i8").tobytes() + (np.round(self.c2w, 9) + 0.0).astype("<f8").tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()


def make_plan(config: RenderConfig, scene: Any) -> Plan:
    """What `config` asks for of `scene`.

    Raises ValueError for a path that cannot be read or a frozen frame outside the scene.
    """
    path, count = config.path, scene.num_frames
    frames = config.freeze_repeat or config.frames or path.adaptive_frames(count)
    if config.freeze_frame is not None:
        if not -count <= config.freeze_frame < count:
            raise ValueError(f"expected --freeze-frame in 0..{count - 1}, got {config.freeze_frame}")
        source = np.full(frames, config.freeze_frame % count)
    elif config.speed:
        source = at_speed(config.speed, frames, count, scene.fps)
    else:
        source = spread_indices(count, frames)
    if config.reverse:
        source = count - 1 - source

    def cameras(radius: float) -> Poses:
        offsets = path.poses(frames, radius, config.rotation_only)
        return scene.c2w[source] @ offsets if config.mount == "source" else offsets

    radius = config.radius or open_radius(scene, cameras)
    return Plan(source, cameras(radius), radius)


def at_speed(speed: tuple[float, ...], frames: int, source_frames: int, fps: float) -> NDArray[np.int64]:
    """Source frames int64 (frames,) from the first one on, at rates given by keyframes spread evenly over the film."""
    rates = np.interp(np.linspace(0, 1, frames), np.linspace(0, 1, len(speed)), speed)
    clock = Clock(source_frames, fps)
    return np.array([clock.frame, *(int(clock.advance(float(rate), 1)[0]) for rate in rates[1:])], np.int64)
