"""What is done for `tiny_world` on the CPU, world by world, in processes of their own: the warps' rows, and judging clips."""

import os
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation import takes
from inspatio_gym.evaluation.camera import camera_error, recover
from inspatio_gym.evaluation.clips import Take
from inspatio_gym.evaluation.images import seen_by, squared_error
from inspatio_gym.evaluation.temporal import pause_change, reverse_difference, slow_ratio
from inspatio_gym.types import Depth, Intrinsics, Mask, Poses, Rgb, Size
from inspatio_gym.warp import WarpModel
from inspatio_gym.world import Block, BlockRequest

WARPS = {"warp, one frame": False, "warp, fused and filled": True}
"""Rows of the warp world, and whether a background is fused from the other frames."""
Clips = NDArray[np.uint8]


def one_thread() -> None:
    """As many processes as cores need no threads; what a process begins with."""
    os.environ["INSPATIO_GYM_THREADS"] = "1"
    cv2.setNumThreads(1)


@dataclass(frozen=True, eq=False)
class Film:
    """What a recorded camera shows of a world, in memory: a scene to warps and takes (`layers.View`).

    pictures: uint8 (F, H, W, 3). depths: (F, H, W), scene units. moves: bool (F, H, W). c2w, intrinsics: of every frame.
    """

    digest: str
    size: Size
    c2w: Poses
    intrinsics: NDArray[np.float64]
    pictures: NDArray[np.uint8]
    depths: NDArray[np.float32]
    moves: NDArray[np.bool_]

    @property
    def num_frames(self) -> int:
        return len(self.c2w)

    def rgb(self, index: int) -> Rgb:
        return self.pictures[index]

    def depth(self, index: int) -> Depth:
        return self.depths[index]

    def moving(self, index: int) -> Mask:
        return self.moves[index]


def warped(film: Film, take: Take, at: NDArray[np.int64]) -> dict[str, Clips]:
    """What both warps show of a take at the frames `at`: uint8 (m, H, W, 3)."""
    return {row: _warp(film, take, at, background).rgb for row, background in WARPS.items()}


def fused(film: Film, take: Take) -> Block:
    """All frames of a take as the fused warp shows them: what fills the holes of what networks are shown."""
    return _warp(film, take, np.arange(len(take)), True)


def _warp(film: Film, take: Take, at: NDArray[np.int64], background: bool) -> Block:
    model = WarpModel(film.size, background=background)
    (block,) = model.step([model.session(film, 0)], [BlockRequest(take.source, take.c2w, at)])  # type: ignore[arg-type]
    return block


def sums(shown: Clips, truth: Clips, seen: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Pixels and squared errors by group. shown, truth: (m, H, W, 3). seen: (m, H, W), see `images.seen_by`."""
    squares = squared_error(shown, truth)
    groups = {"all": np.ones_like(seen), "covered": seen, "disoccluded": ~seen}
    return {name: [int(mask.sum()), float(squares[mask].sum())] for name, mask in groups.items()}


def camera(shown: Clips, depth: Depth, matrix: Intrinsics, c2w: Poses) -> dict[str, float]:
    """How far the camera of a tour was off. depth: of its first frame, scene units. c2w: where it was sent."""
    found = recover(shown[: len(c2w)], depth, matrix)
    error = camera_error(found.c2w, c2w)
    return {"rotation": error.rotation_deg, "translation": error.translation, "found": found.found}


def times(shown: dict[str, Clips]) -> dict[str, float]:
    """How well time obeys in a row's clips: hold, play, backwards, slow."""
    played = shown["play"][: takes.PLAY_FRAMES]
    return {
        "pause": pause_change(shown["hold"]),
        "reverse": reverse_difference(played, shown["backwards"][: takes.PLAY_FRAMES]),
        "slow": slow_ratio(played, shown["slow"][: 2 * takes.PLAY_FRAMES - 1]),
    }


def seen(
    fine: NDArray[np.float32], source: Poses, matrix: Intrinsics, depth: Depth, target: Poses
) -> NDArray[np.bool_]:
    """`images.seen_by` of m frames."""
    return np.stack([seen_by(a, b, matrix, c, d) for a, b, c, d in zip(fine, source, depth, target, strict=True)])
