"""Make a synthetic scene again: `python -m inspatio_gym.scenes.synthetic room --seed 7 --out scenes/samples/room`.

A contact sheet of many worlds: `python -m inspatio_gym.scenes.synthetic.sheet --out sheet.jpg`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from inspatio_gym.scenes.synthetic import make_world, write_scene
from inspatio_gym.scenes.synthetic.export import SAMPLE_SIZE


@dataclass(frozen=True, slots=True)
class Options:
    """Render a synthetic world into a scene folder, with its true depth and cameras."""

    world: Annotated[Literal["room", "street", "table"], tyro.conf.Positional]
    """Which world."""
    out: Path
    """Folder to make; it must not exist."""
    seed: int = 0
    """Another seed is another room, street or table."""
    style: Literal["plain", "camera"] = "plain"
    """As drawn, or with other surfaces and through a sensor's faults."""
    size: tuple[int, int] = SAMPLE_SIZE
    """Height and width of the frames, even numbers."""
    samples: int = 3
    """Rays along each side of a pixel."""


def main() -> None:
    options = tyro.cli(Options, prog="python -m inspatio_gym.scenes.synthetic")
    world = make_world(options.world, options.seed, options.style)
    with tqdm(total=world.num_frames, unit="frame", disable=None) as bar:
        scene = write_scene(world, options.out, size=options.size, samples=options.samples, on_frame=bar.update)
    size = sum(file.stat().st_size for file in scene.path.iterdir())
    sys.stdout.write(f"{scene!r} in {scene.path}, {size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
