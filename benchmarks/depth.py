"""How good depth without parallax is: the prior and the small network, against truth and against structure from motion.

    python -m benchmarks.depth                                        # held-out synthetic worlds
    python -m benchmarks.depth --weights runs/plain/depth.safetensors runs/depth/depth.safetensors
    python -m benchmarks.depth --moving highway.mp4                   # also a clip whose camera moves
    python -m benchmarks.depth --still coffee_table.mp4 --pictures out    # also source, prior and network side by side

Scale and shift are fitted in inverse depth, for each picture; pixels beyond 10 medians are left out (`depth_score`).
Worlds have seeds that no training sees; pictures are what the recorded camera shows, with the sensor of style "camera".
Against structure from motion there are two rows: every pixel, which it fills in where it could measure nothing, the sky above
all; and its points alone, which it did measure.
Flicker is of neighbouring frames, scale and shift fitted to both together: by how much the change of inverse depth of a
static point differs from the true one, in hundredths of the mean true inverse depth.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from inspatio_gym.checkpoints import locate
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes import Scene, anchor, load_scene
from inspatio_gym.scenes.estimate.dense import DenseDepth
from inspatio_gym.scenes.estimate.depth_net import InverseDepth
from inspatio_gym.scenes.estimate.measured import find_structure
from inspatio_gym.scenes.estimate.panning import at_rest, find_pan
from inspatio_gym.scenes.estimate.prior import assumed_depth
from inspatio_gym.scenes.estimate.tracks import follow
from inspatio_gym.scenes.synthetic import WORLDS, make_world
from inspatio_gym.scenes.synthetic.export import STYLES, picture
from inspatio_gym.threads import threads
from inspatio_gym.training.depth_loss import correspondence
from inspatio_gym.training.depth_score import Score, fit, mean, score
from inspatio_gym.types import Depth, Rgb, Size
from inspatio_gym.warp import WarpModel, at_size
from inspatio_gym.world import BlockRequest

Look = Callable[[Rgb, Size], NDArray[np.float32]]
"""A frame and a size (h, w) -> inverse depth up to scale and shift."""


@dataclass(frozen=True, slots=True)
class Config:
    """Compare the prior and the network where truth or good geometry exists."""

    weights: tuple[Path, ...] = ()
    """Files of weights, each a column; none is those that come with the package."""
    worlds: tuple[str, ...] = tuple(WORLDS)
    """Kinds of synthetic worlds."""
    styles: tuple[str, ...] = STYLES
    """Their styles."""
    seeds: tuple[int, ...] = (910, 911, 912, 913)
    """Of worlds of each kind and style."""
    moments: int = 3
    """Pairs of neighbouring frames of each."""
    size: Size = (240, 416)
    """Height and width of the frames."""
    moving: tuple[Path, ...] = ()
    """Videos whose camera moves, or scenes of them: against what structure from motion measures."""
    still: tuple[Path, ...] = ()
    """Videos of a camera at rest: pictures alone."""
    max_frames: int = 120
    """Of videos."""
    pictures: Path | None = None
    """Folder for pictures."""


def prior(frame: Rgb, size: Size) -> NDArray[np.float32]:
    """The floor and the wall, whatever the frame shows."""
    return 1 / assumed_depth(at_rest(1, size), 0, size)


def synthetic(looks: dict[str, Look], name: str, style: str, config: Config) -> dict[str, tuple[Score, float]]:
    """Mean score and flicker of each estimator over the worlds of one kind and style."""
    scores: dict[str, list[Score]] = {label: [] for label in looks}
    flickers: dict[str, list[float]] = {label: [] for label in looks}
    for seed in config.seeds:
        world = make_world(name, seed, style)
        for first in np.linspace(0, world.num_frames - 2, config.moments).astype(int):
            frames = [picture(world, int(k), config.size, 1) for k in (first, first + 1)]
            times = [(first + k) / world.fps for k in (0, 1)]
            c2w = np.stack([world.path(t) for t in times])
            depths = [world.depth(world.path(t), t, config.size)[0] for t in times]
            for label, look in looks.items():
                found = [look(frame, config.size) for frame in frames]
                scores[label].append(score(found[0], depths[0]))
                flickers[label].append(flicker(found, depths, c2w, world.intrinsics(config.size)))
    return {label: (mean(scores[label]), float(np.mean(flickers[label]))) for label in looks}


def flicker(
    found: list[NDArray[np.float32]], depths: list[Depth], c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]
) -> float:
    """Of two neighbouring frames, in per cent of the mean true inverse depth."""
    true = [1 / depth for depth in depths]
    scale, shift = fit(np.stack(found).ravel(), np.stack(true).ravel())
    here, there, motion, camera = (
        torch.from_numpy(np.asarray(x, np.float32))[None] for x in (*depths, np.linalg.inv(c2w[1]) @ c2w[0], intrinsics)
    )
    grid, same = correspondence(here, there, motion, camera)
    maps = torch.from_numpy(np.stack([scale * found[1] + shift, true[1]]).astype(np.float32))[None]
    later = torch.nn.functional.grid_sample(maps, grid, align_corners=True)[0].numpy()
    change = (later[0] - scale * found[0] - shift) - (later[1] - true[0])
    return float(100 * np.abs(change[same[0].numpy()]).mean() / np.mean(true))


def measured(looks: dict[str, Look], scene: Scene) -> tuple[dict[str, Score], dict[str, Score]]:
    """Mean scores over 24 frames of a scene whose camera moves: against its depth of every pixel where nothing moves, and
    against the depth of its points alone."""
    tracks = follow(scene, lambda _: None)
    structure = find_structure(scene, tracks, find_pan(tracks), lambda *_: None)
    dense = DenseDepth(scene, tracks, structure)
    whole: dict[str, list[Score]] = {label: [] for label in looks}
    points: dict[str, list[Score]] = {label: [] for label in looks}
    for i in map(int, np.unique(np.linspace(0, scene.num_frames - 1, 24).astype(int))):
        places, nearness, _ = dense.points(i)
        x, y = places.T[..., None].astype(np.float32)
        for label, look in looks.items():
            found = look(scene.rgb(i), scene.size)
            whole[label].append(score(found, scene.depth(i), ~scene.moving(i)))
            there = cv2.remap(look(scene.rgb(i), dense.size), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            points[label].append(score(there[:, 0], (1 / nearness).astype(np.float32)))
    return tuple({label: mean(scores) for label, scores in part.items()} for part in (whole, points))  # type: ignore[return-value]


def milliseconds(look: Look, size: Size) -> float:
    """The median of 10 looks, after one."""
    frame = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    taken = []
    for _ in range(11):
        began = time.perf_counter()
        look(frame, size)
        taken.append(time.perf_counter() - began)
    return 1000 * float(np.median(taken[1:]))


def compare(video: Path, folder: Path, config: Config) -> None:
    """The same clip with the prior and with the network: depth, and the warp world's views from 5 and 10 degrees aside."""
    rows = []
    for estimator in ("prior", "depth-small"):
        scene = anchor(video, estimator=estimator, max_frames=config.max_frames, caption="none", progress=True)
        i = scene.num_frames // 2
        nearness = 1 / scene.depth(i)
        shade = np.clip(255 * nearness / np.percentile(nearness, 99), 0, 255).astype(np.uint8)
        coloured = cv2.cvtColor(cv2.applyColorMap(shade, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
        rows.append(np.hstack([scene.rgb(i), coloured, *views(scene, i)]))
    sheet = np.vstack(rows)
    shrink = 1600 / sheet.shape[1]
    sheet = cv2.resize(sheet, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"depth-{video.stem}.jpg"
    if not cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise OSError(f"expected to write {file}, which failed: choose another --pictures")
    print(f"\n{file}: source, depth, and seen from 5 and 10 degrees to the right, with the prior and with the network")


def views(scene: Scene, i: int) -> Iterator[Rgb]:
    """Frame i seen from the right, turned towards what is at the median depth."""
    view = at_size(scene, scene.size)
    model = WarpModel(scene.size)
    for degrees in (5.0, 10.0):
        angle, far = np.radians(degrees), scene.median_depth
        offset = compose(rotation_ypr(-degrees, 0.0), np.array([far * np.sin(angle), 0, far * (1 - np.cos(angle))]))
        pose = scene.c2w[i] @ offset
        request = BlockRequest(np.array([i]), pose[None], np.array([0]))
        yield model.start([view], [0], [request])[1][0].rgb[0]


def main(config: Config) -> None:
    torch.set_num_threads(threads())
    looks: dict[str, Look] = {"prior": prior}
    for file in config.weights or (locate("depth-small"),):
        looks["network" if not config.weights else file.parent.name + "/" + file.stem] = InverseDepth.load(file)
    print(
        f"{platform.machine()}, {threads()} cores; {len(config.seeds)} worlds of each row, {config.moments} moments\n"
    )
    print("| worlds | style | " + " | ".join(f"{label}: abs_rel | delta | flicker" for label in looks) + " |")
    print("|---|---|" + "---|---|---|" * len(looks))
    kinds = [(name, style) for style in config.styles for name in config.worlds]
    for name, style in tqdm(kinds, desc="worlds", disable=None, file=sys.stderr):
        found = synthetic(looks, name, style, config)
        cells = [f"{one.abs_rel:.3f} | {one.delta:.3f} | {waver:.2f}" for one, waver in found.values()]
        print(f"| {name} | {style} | {' | '.join(cells)} |", flush=True)
    for video in config.moving:
        scene = load_scene(video) if video.is_dir() else anchor(video, max_frames=config.max_frames, caption="none")
        if scene.geometry.method != "structure-from-motion":
            raise ValueError(f"expected a camera that moves in {video}, got {scene.geometry.method}: name it --still")
        for what, scores in zip(("every pixel", "points"), measured(looks, scene), strict=True):
            cells = [f"{one.abs_rel:.3f} | {one.delta:.3f} | " for one in scores.values()]
            print(f"| {scene.name} | structure from motion: {what} | {' | '.join(cells)} |", flush=True)
    print(
        "| milliseconds a frame | | "
        + " | ".join(f"{milliseconds(look, config.size):.0f} | | " for look in looks.values())
        + " |"
    )
    for video in config.still:
        compare(video, config.pictures or Path(), config)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
