"""Targets of a scene: what a gaze can follow through the recorded video, and where it is in every frame.

    landmark   a distinctive point of the static surface, placed in space by its depth   (`landmarks`)
    object     a thing that moves, followed through the pixels                           (`objects`)

    targets_of(scene)  ->  Target, ...    in order of their first frame

A target is known from its first frame to its last one without a gap. After that it has left the picture, is hidden, or the
tracker has lost it and says so: it never goes on with a guess. What is found depends on the scene alone; it is found once
and kept in the folder of anchored scenes, beside the scenes, which are immutable.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from inspatio_gym.files import written_whole
from inspatio_gym.scenes.cache import cache_root
from inspatio_gym.scenes.scene import Scene

logger = logging.getLogger(__name__)

VERSION = 1  # raise it whenever other targets would be found
KINDS = ("landmark", "object")
ENDS = ("clip", "left", "lost", "hidden")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one target is.

    kind: "landmark" or "object". first: the frame in which it is known first. xy: (n, 2) float32, its middle in pixels of
    the recorded frames first .. first + n - 1. box: (n, 2) float32, its width and height there (a landmark's are 0).
    confidence: (n,) float32, 0 to 1: for an object how well its points return to where they came from and how alike it looks.
    end: why it is not known any longer: the "clip" ends, it has "left" the picture, is "hidden", or is "lost".
    """

    kind: Literal["landmark", "object"]
    first: int
    xy: NDArray[np.float32]
    box: NDArray[np.float32]
    confidence: NDArray[np.float32]
    end: Literal["clip", "left", "lost", "hidden"]

    @property
    def last(self) -> int:
        return self.first + len(self.xy) - 1

    def knows(self, frame: int) -> bool:
        return self.first <= frame <= self.last

    def direction(self, scene: Scene, frame: int) -> NDArray[np.float64]:
        """Unit vector (3,) towards it in the axes of the recorded camera (x right, y down, z forward)."""
        k = scene.intrinsics[frame]
        x, y = self.xy[frame - self.first]
        ray = np.array([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], 1.0])
        return ray / np.linalg.norm(ray)


@lru_cache(maxsize=32)
def targets_of(scene: Scene, report: Callable[[float], None] | None = None) -> tuple[Target, ...]:
    """All targets of a scene. `report` hears the share done, 0 to 1, if they must be found first."""
    file = cache_root() / "targets" / f"{scene.digest}-{VERSION}.safetensors"
    if file.is_file():
        try:
            return _loaded(file)
        except (SafetensorError, KeyError, IndexError) as error:
            logger.warning("%s is not whole (%s): finding the targets again", file, error)
    targets = find_targets(scene, report or (lambda share: None))
    try:
        _save(targets, file)
    except OSError as error:
        logger.warning("the targets of %r are not kept: %s", scene.name, error)
    return targets


def find_targets(scene: Scene, report: Callable[[float], None]) -> tuple[Target, ...]:
    """The same, without a look at what was kept."""
    from inspatio_gym.scenes.tracking.landmarks import find_landmarks
    from inspatio_gym.scenes.tracking.objects import follow_objects

    targets = [
        *find_landmarks(scene, lambda share: report(share / 2)),
        *follow_objects(scene, lambda share: report(0.5 + share / 2)),
    ]
    return tuple(sorted(targets, key=lambda target: (target.first, target.kind, *target.xy[0].tolist())))


def _save(targets: tuple[Target, ...], file: Path) -> None:
    empty = np.zeros((0, 5), np.float32)
    rows = [np.column_stack((target.xy, target.box, target.confidence)) for target in targets]
    heads = [(KINDS.index(t.kind), t.first, len(t.xy), ENDS.index(t.end)) for t in targets]
    tensors = {"heads": np.array(heads, np.int32).reshape(-1, 4), "rows": np.concatenate([empty, *rows])}
    with written_whole(file) as partial:
        save_file(tensors, partial)


def _loaded(file: Path) -> tuple[Target, ...]:
    tensors = load_file(file)
    heads, rows = tensors["heads"], tensors["rows"]
    targets, stop = [], np.cumsum(heads[:, 2])
    for (kind, first, count, end), after in zip(heads.tolist(), stop.tolist(), strict=True):
        part = rows[after - count : after]
        targets.append(Target(KINDS[kind], first, part[:, :2], part[:, 2:4], part[:, 4], ENDS[end]))  # type: ignore[arg-type]
    return tuple(targets)
