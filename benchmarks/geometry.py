"""How true measured geometry is, how long it takes, and how much memory.

    python -m benchmarks.geometry                        # the bundled scenes, against their truth
    python -m benchmarks.geometry --videos clip.mp4      # and how videos are anchored: time, memory, way of the camera

Of a bundled scene the estimator gets the frames alone. Errors: the mean angle between estimated and true rotations (from
the first frame); between the directions that estimated and true cameras go within five frames; the median relative error
of depth on static pixels, after one scale for the whole clip; how much of what moves is found, and how much of what is
called moving does move. Of a video, "again" is how long the same process takes to find it in the cache.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from inspatio_gym.doctor import machine
from inspatio_gym.geometry.poses import angle_deg
from inspatio_gym.scenes import Scene, anchor, load_scene
from inspatio_gym.scenes.estimate import estimate_geometry
from inspatio_gym.types import Poses

GAP = 5  # frames


@dataclass(frozen=True)
class Config:
    """Measure geometry against the truth, and the anchoring of videos."""

    scenes: tuple[str, ...] = ("room", "street")
    """Bundled scenes."""
    videos: tuple[Path, ...] = ()
    """Video files."""


def main(config: Config) -> None:
    """Print Markdown tables."""
    print(machine())
    if config.scenes:
        print("\n| scene | time | rotation | direction | focal length | depth | moving found | of it right |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in config.scenes:
        print(against_truth(load_scene(name)), flush=True)
    if config.videos:
        print("\n| video | frames | anchoring | again | memory | method | confidence | way in the camera's axes |")
        print("|---|---:|---:|---:|---:|---|---:|---|")
    for video in config.videos:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # whose memory is its own
            print(pool.apply(anchored, (video,)), flush=True)
            pool.close()  # it ends by itself, since a signal would make pycolmap print where it was hit
            pool.join()


def against_truth(scene: Scene) -> str:
    """A row about a bundled scene."""
    begun = time.perf_counter()
    estimate = estimate_geometry(scene, progress=lambda *_: None)
    depth, moving = (np.stack(maps) for maps in zip(*estimate.depth_maps, strict=True))
    seconds = time.perf_counter() - begun
    frames = range(scene.num_frames)
    true = np.stack([resized(scene.depth(i), depth.shape[1:]) for i in frames])
    moves = np.stack([resized(scene.moving(i).astype(np.uint8), depth.shape[1:]) for i in frames]) > 0
    scale = np.median((true / depth)[~moves])
    cells = [
        scene.name,
        f"{seconds:.1f} s",
        f"{angle_deg(estimate.c2w[:, :3, :3], scene.c2w[:, :3, :3]).mean():.3f} deg",
        f"{direction_error_deg(estimate.c2w, scene.c2w):.2f} deg",
        f"{estimate.intrinsics[0, 0, 0] / scene.intrinsics[0, 0, 0] - 1:+.1%}",
        f"{np.median(np.abs(scale * depth / true - 1)[~moves]):.1%}",
        f"{(moving & moves).sum() / moves.sum():.0%}",
        f"{(moving & moves).sum() / max(moving.sum(), 1):.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def anchored(video: Path) -> str:
    """A row about a video, anchored into a folder of its own, twice."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            begun = time.perf_counter()
            scene = anchor(video, cache=Path(cache), progress=True)
            seconds.append(time.perf_counter() - begun)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)
        steps = np.einsum("fji,fj->fi", scene.c2w[:-1, :3, :3], np.diff(scene.c2w[:, :3, 3], axis=0))
        length = np.linalg.norm(steps.mean(0))
        way = "keeps its place" if length == 0 else ", ".join(f"{part:+.3f}" for part in steps.mean(0) / length)
        cells = [
            video.name,
            str(scene.num_frames),
            f"{seconds[0]:.1f} s",
            f"{seconds[1]:.2f} s",
            f"{peak:.2f} GiB",
            scene.geometry.method,
            f"{scene.geometry.confidence:.2f}",
            way,
        ]
        return f"| {' | '.join(cells)} |"


def direction_error_deg(estimated: Poses, true: Poses, gap: int = GAP) -> float:
    """Mean angle between the ways that two cameras go within `gap` frames."""
    a, b = (c2w[gap:, :3, 3] - c2w[:-gap, :3, 3] for c2w in (estimated, true))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def resized(image: NDArray[np.generic], size: tuple[int, ...]) -> NDArray[np.generic]:
    """The nearest pixel of an image (H, W) for each of a map of `size`."""
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)  # type: ignore[call-overload,no-any-return]


if __name__ == "__main__":
    main(tyro.cli(Config))
