"""The warp world over held-out synthetic worlds: how true its views are, and what it costs to estimate geometry.

    python -m benchmarks.world_table                              # 20 worlds, true and estimated geometry
    python -m benchmarks.world_table --geometry true --jobs 8

From recorded cameras, turned by 5 to 30 degrees to both sides or moved aside by 5 to 20% of the median depth, views are
compared with true renders. With true geometry a scene has the world's own depth and cameras; with estimated geometry
the same video, and nothing else, was anchored: cameras, focal length and depth by structure from motion. What a video
cannot tell, its scale, is fitted once a clip (the median ratio of true to estimated depth where nothing moves), so that
a step aside is as long in both. Pixels count as seen if the true source frame shows their surface at that moment.

Measured worlds stay in --out, a file for each world, version of the generator and geometry, and are not measured again.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.held_out import addresses, file_name, scene_of
from benchmarks.resumable import results
from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.clips import ModelSource, Take, TrueRenders
from inspatio_gym.evaluation.images import Fidelity, Score, finer, seen_by
from inspatio_gym.evaluation.report import number, table
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.evaluation.takes import offsets
from inspatio_gym.scenes import Scene, anchor
from inspatio_gym.scenes.synthetic import STYLES
from inspatio_gym.scenes.synthetic.address import parse
from inspatio_gym.types import Size
from inspatio_gym.warp import WarpModel

Geometry = Literal["true", "estimated"]
MOVES = {"yaw": (5.0, 10.0, 20.0, 30.0), "aside": (0.05, 0.1, 0.2)}
"""Degrees, and shares of the median depth, each to both sides."""
GROUPS = ("everywhere", "covered", "disoccluded")


@dataclass(frozen=True, slots=True)
class Config:
    """Measure the warp world over held-out worlds."""

    count: int = 20
    """How many worlds."""
    size: Size = (128, 224)
    """Height and width of the videos and of the views."""
    moments: tuple[float, ...] = (0.3, 0.7)
    """Where in the clip views are taken, as shares of its length."""
    geometry: tuple[Geometry, ...] = ("true", "estimated")
    """Where depth and cameras come from."""
    jobs: int = 1
    """Processes."""
    out: Path = Path("world_table")
    """Folder of what was measured."""
    scenes: Path = Path("held_out")
    """Folder of rendered worlds."""


def measure(address: str, geometry: Geometry, size: Size, moments: tuple[float, ...], scenes: Path) -> dict[str, Any]:
    """Sums by move and group of one world, its coverage and how it was anchored."""
    true = Subject(scene_of(address, size, scenes), size)
    subject, scale = (true, 1.0) if geometry == "true" else estimated(true)
    model, truth = ModelSource(WarpModel(size), subject), TrueRenders(true)
    sums: dict[str, Any] = {}
    for moment in moments:
        frame = round(moment * (true.view.num_frames - 1))
        source, matrix = true.view.c2w[frame], true.intrinsics(frame)
        fine_matrix, fine_size = finer(matrix, size)
        fine_depth, _ = true.true_depth(source, frame, fine_size, fine_matrix)
        for kind, amounts in MOVES.items():
            for amount in amounts:
                both = np.array([-amount, amount])
                unit = true.scene.median_depth
                cameras = source @ offsets(kind, both, unit)
                at = np.full(2, frame)
                shown = model.film(Take(at, subject.view.c2w[frame] @ offsets(kind, both, unit / scale)))
                wanted = truth.film(Take(at, cameras)).rgb
                fidelity = Fidelity()
                for k, camera in enumerate(cameras):
                    seen = seen_by(fine_depth, source, matrix, true.true_depth(camera, frame)[0], camera)
                    fidelity.add(shown.rgb[k], wanted[k], seen)
                entry = sums.setdefault(
                    f"{kind} {amount:g}", {"called": 0, **{group: [0, 0.0, 0.0] for group in GROUPS}}
                )
                entry["called"] += int(shown.covered.sum())
                for group in GROUPS:
                    score: Score = getattr(fidelity, group)
                    entry[group] = np.add(entry[group], [score.pixels, score.squares, score.similarity]).tolist()
    return {
        "address": address,
        "geometry": geometry,
        "method": subject.scene.geometry.method,
        "scale": scale,
        "moves": sums,
    }


def estimated(true: Subject) -> tuple[Subject, float]:
    """The same video, anchored; and true units a unit of it."""
    scene = anchor(true.scene.path / "source.mp4")
    return Subject(scene, true.size), depth_scale(true.scene, scene)


def depth_scale(true: Scene, found: Scene) -> float:
    """Median ratio of true to estimated depth over what stands still."""
    ratios: list[NDArray[np.float64]] = []
    for frame in range(0, true.num_frames, 7):
        still = ~true.moving(frame)
        ratios.append((true.depth(frame).astype(float) / found.depth(frame))[still])
    return float(np.median(np.concatenate(ratios)))


def page(measured: list[dict[str, Any]], name: str) -> str:
    """The table over some worlds: errors are pooled over their pixels, SSIM is averaged over them."""
    rows = []
    for move in measured[0]["moves"]:
        pooled = {group: Score(*np.sum([one["moves"][move][group] for one in measured], 0)) for group in GROUPS}
        total = pooled["everywhere"].pixels
        called = sum(one["moves"][move]["called"] for one in measured)
        kind, amount = move.split()
        rows.append(
            [
                name,
                f"{amount} degrees" if kind == "yaw" else f"{float(amount):.0%} aside",
                f"{pooled['covered'].pixels / total:.1%}",
                f"{called / total:.1%}",
                *(number(pooled[group].psnr, 2) for group in GROUPS),
                *(number(pooled[group].ssim, 3) for group in GROUPS),
            ]
        )
    head = ["geometry, style", "move", "seen by the source", "called covered"]
    return table(
        [*head, *(f"{figure} {group}" for figure in ("PSNR", "SSIM") for group in ("all", "seen", "not seen"))], rows
    )


def main(config: Config) -> None:
    """Measure what is not measured yet, print the tables."""
    print(f"{config.count} worlds at {config.size[1]}x{config.size[0]}. {machine()}")
    for geometry in config.geometry:  # by the second one every scene has been rendered
        work = [
            (
                config.out / f"{file_name(address, config.size)}-{geometry}.json",
                measure,
                (address, geometry, config.size, config.moments, config.scenes),
            )
            for address in addresses(config.count)
        ]
        measured = results(work, config.jobs)
        for style in STYLES:
            if some := [one for one in measured if parse(one["address"]).style == style]:
                print(f"\n{page(some, f'{geometry}, {style}')}")
        methods = [one["method"] for one in measured]
        print("\n" + ", ".join(f"{methods.count(method)} {method}" for method in dict.fromkeys(methods)))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.world_table", description=__doc__)))
