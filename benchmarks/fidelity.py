"""How true the warp world is: its views against the renderer, from cameras that were never recorded.

    python -m benchmarks.fidelity                      # every camera of both bundled scenes
    python -m benchmarks.fidelity --size 96 160 --frames 0 40

A bundled scene is rendered from its seed, so the truth is known for any camera at any moment. From recorded cameras
turned and shifted sideways, two views are compared with it: the warp of that one frame, and the same with a background
fused from other frames. Both invent what they do not know. Pixels are judged in two groups, which depend on the truth
alone: those whose surface the source frame truly sees at that moment, and the rest.

PSNR pools the squared errors of a group's pixels; SSIM is averaged over them (`inspatio_gym.evaluation.images`).
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tyro
from tqdm import tqdm

from inspatio_gym.evaluation.images import Score, finer, seen_by, squared_error, ssim
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes import Scene, load_scene
from inspatio_gym.scenes.synthetic import SyntheticWorld, from_scene
from inspatio_gym.types import Pose, Size
from inspatio_gym.warp import WarpModel, at_size
from inspatio_gym.world import Block, BlockRequest


@dataclass(frozen=True, slots=True)
class Config:
    """Compare warped views with the truth, from cameras that were never recorded."""

    scenes: tuple[str, ...] = ("room", "street")
    """Bundled scenes."""
    size: Size = (240, 416)
    """Height and width of the views."""
    frames: tuple[int, ...] = (0, 16, 32, 48, 64)
    """Source frames to look from."""
    yaws: tuple[float, ...] = (-20, -10, 10, 20)
    """Degrees to turn by."""
    shifts: tuple[float, ...] = (-0.1, -0.05, 0.05, 0.1)
    """Steps to the right, as fractions of the scene's median depth."""
    samples: int = 3
    """Rays along each side of a pixel of the truth."""


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of the single-frame and the fused warp on pixels that the source frame sees, and on the others."""

    single_seen: Score
    fused_seen: Score
    single_hidden: Score
    fused_hidden: Score


def offsets(config: Config) -> Iterator[Pose]:
    """The cameras, in the axes of the recorded one."""
    for yaw in config.yaws:
        yield compose(rotation_ypr(yaw), (0, 0, 0))
    for shift in config.shifts:
        yield compose(np.eye(3), (shift, 0, 0))


def warp(model: WarpModel, scene: Scene, frame: int, cameras: Sequence[Pose]) -> Block:
    """Views of a frame."""
    count = len(cameras)
    request = BlockRequest(np.full(count, frame), np.stack(cameras), np.arange(count))
    return model.start([scene], [0], [request])[1][0]


def measure(
    scene: Scene, world: SyntheticWorld, config: Config, models: tuple[WarpModel, WarpModel], bar: tqdm | None = None
) -> Report:
    """Score the single-frame and the fused model against the truth."""
    view = at_size(scene, config.size)
    report = Report(Score(), Score(), Score(), Score())
    for frame in config.frames:
        source, matrix = view.c2w[frame], np.asarray(view.intrinsics[frame])
        cameras = [source @ offset for offset in offsets(config)]
        fine_matrix, fine_size = finer(matrix, config.size)
        fine_depth = world.depth(world.to_world(source), frame / world.fps, fine_size, fine_matrix)[0] * world.scale
        single, fused = (warp(model, scene, frame, cameras) for model in models)
        for k, camera in enumerate(cameras):
            truth = world.render_scene(camera, frame, config.size, matrix, config.samples)
            seen = seen_by(fine_depth, source, matrix, truth.depth, camera)
            for block, on_seen, on_hidden in (
                (single, report.single_seen, report.single_hidden),
                (fused, report.fused_seen, report.fused_hidden),
            ):
                squares = squared_error(block.rgb[k], truth.rgb)
                similarity = ssim(block.rgb[k], truth.rgb)
                on_seen.add(seen, squares, similarity)
                on_hidden.add(~seen, squares, similarity)
            if bar is not None:
                bar.update()
    return report


def table(reports: dict[str, Report]) -> str:
    """The reports in Markdown."""
    lines = [
        "| scene | pixels | share | PSNR one frame | PSNR fused | SSIM one frame | SSIM fused |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, report in reports.items():
        total = report.single_seen.pixels + report.single_hidden.pixels
        for group, single, fused in (
            ("seen by the source frame", report.single_seen, report.fused_seen),
            ("hidden from it", report.single_hidden, report.fused_hidden),
        ):
            lines.append(
                f"| {name} | {group} | {single.pixels / total:.1%} | {single.psnr:.2f} dB | {fused.psnr:.2f} dB "
                f"| {single.ssim:.3f} | {fused.ssim:.3f} |"
            )
    return "\n".join(lines)


def main() -> None:
    config = tyro.cli(Config, prog="python -m benchmarks.fidelity", description=__doc__)
    models = WarpModel(config.size, background=False), WarpModel(config.size)
    reports = {}
    views = len(config.scenes) * len(config.frames) * (len(config.yaws) + len(config.shifts))
    with tqdm(total=views, unit="view", disable=None) as bar:
        for name in config.scenes:
            scene = load_scene(name)
            reports[name] = measure(scene, from_scene(scene), config, models, bar)
    sys.stdout.write(table(reports) + "\n")


if __name__ == "__main__":
    main()
