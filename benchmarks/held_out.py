"""Synthetic worlds that nothing is trained on, of every kind and style in turn, as scenes: what is measured over.

A scene is rendered once, into a folder of its own beside the figures, and found there the next time.
"""

from pathlib import Path

from inspatio_gym.scenes import Scene, load_scene
from inspatio_gym.scenes.store import Overtaken
from inspatio_gym.scenes.synthetic import STYLES, WORLDS, make_world, write_scene
from inspatio_gym.scenes.synthetic.address import parse
from inspatio_gym.scenes.synthetic.export import VERSION
from inspatio_gym.types import Size

FIRST_SEED = 9000
"""Training and examples use small ones."""


def addresses(count: int, first: int = FIRST_SEED, styles: tuple[str, ...] = STYLES) -> list[str]:
    """Names of so many worlds, seeds from `first` on."""
    kinds = list(WORLDS)
    return [
        f"synthetic:{kinds[k % len(kinds)]}?seed={first + k}&style={styles[k // len(kinds) % len(styles)]}"
        for k in range(count)
    ]


def file_name(address: str, size: Size) -> str:
    """What a world at a size is called on disk, by this version of the generator."""
    words = "".join(letter if letter.isalnum() else "-" for letter in address.removeprefix("synthetic:"))
    return f"{words}-{size[0]}x{size[1]}-v{VERSION}"


def scene_of(address: str, size: Size, folder: Path) -> Scene:
    """The scene of a world, four rays a pixel; rendered into `folder` unless it is there."""
    target = folder / file_name(address, size)
    if not target.exists():
        named = parse(address)
        try:
            return write_scene(make_world(named.world, named.seed, named.style), target, size=size, samples=2)
        except (Overtaken, FileExistsError):  # another process has been faster
            pass
    return load_scene(target)
