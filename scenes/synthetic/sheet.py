"""A contact sheet of synthetic worlds: `python -m inspatio_gym.scenes.synthetic.sheet --out docs/images/synthetic.jpg`.

Worlds fill the sheet column by column, plain ones above filmed ones of the same seeds; with --truth each picture has its
depth (inferno, near is bright) and its objects to its right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from inspatio_gym.files import written_whole
from inspatio_gym.scenes.synthetic.export import STYLES, WORLDS, make_world, picture
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Depth, Rgb, Size


@dataclass(frozen=True, slots=True)
class Options:
    """Draw one frame each of many synthetic worlds."""

    out: Path
    """A .jpg or .png to write."""
    worlds: tuple[str, ...] = tuple(WORLDS)
    """Which families, in turn."""
    styles: tuple[str, ...] = STYLES
    """Which styles, row by row in turn."""
    rows: int = 8
    columns: int = 8
    size: Size = (96, 168)
    """Height and width of a picture."""
    samples: int = 3
    """Rays along each side of a pixel."""
    seed: int = 0
    """Of the first world."""
    time_s: float = 1.0
    """Seconds into the film."""
    truth: bool = False
    """Put depth and objects beside each picture."""


def main(options: Options) -> None:
    """Write the sheet."""
    shown = []
    with tqdm(total=options.rows * options.columns, unit="world", disable=None) as bar:
        for row in range(options.rows):
            tiles: list[Rgb] = []
            for column in range(options.columns):
                style = options.styles[row % len(options.styles)]
                number = row // len(options.styles) * options.columns + column
                name = options.worlds[number % len(options.worlds)]
                tiles += tile(make_world(name, options.seed + number, style), options)
                bar.update()
            shown.append(np.hstack(tiles))
    with written_whole(options.out) as file:
        cv2.imwrite(str(file), np.vstack(shown)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"wrote {options.out}")


def tile(world: SyntheticWorld, options: Options) -> Sequence[Rgb]:
    """A picture of a world, and its truth if that is wanted."""
    frame = round(options.time_s * world.fps)
    rgb = picture(world, frame, options.size, options.samples)
    if not options.truth:
        return [rgb]
    depth, object_id = world.depth(world.path(frame / world.fps), frame / world.fps, options.size)
    return [rgb, near_is_bright(depth), coloured(object_id)]


def near_is_bright(depth: Depth) -> Rgb:
    """Depth by its inverse, the nearest hundredth at full brightness."""
    inverse = 1 / depth
    codes = np.clip(255 * inverse / np.percentile(inverse, 99), 0, 255).astype(np.uint8)
    return cv2.applyColorMap(codes, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.uint8)


def coloured(object_id: NDArray[np.int32]) -> Rgb:
    """A colour for each object, black for the backdrop."""
    palette = np.random.default_rng(0).integers(48, 256, (int(object_id.max()) + 1, 3)).astype(np.uint8)
    palette[0] = 0
    return palette[object_id]


if __name__ == "__main__":
    main(tyro.cli(Options))
