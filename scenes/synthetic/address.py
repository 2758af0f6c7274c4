"""Synthetic worlds by name, wherever a scene is named: `load_scene("synthetic:street?seed=3&style=camera")`.

    synthetic:WORLD?seed=N&style=STYLE&size=HxW     seed 0, style plain and size 240x416 if they are left out

The first call renders the world into the cache of scenes, later ones find it there. Whatever changes the pictures is in
the name of its folder: the options, and the version of the generator.
"""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from tqdm import tqdm

from inspatio_gym.scenes.cache import cache_root, scene_key
from inspatio_gym.scenes.errors import SceneError
from inspatio_gym.scenes.scene import Scene
from inspatio_gym.scenes.store import stored
from inspatio_gym.scenes.synthetic.export import SAMPLE_SIZE, STYLES, VERSION, WORLDS, make_world, write_scene
from inspatio_gym.types import Size

logger = logging.getLogger(__name__)
SCHEME = "synthetic:"


@dataclass(frozen=True, slots=True)
class Address:
    """What the name of a synthetic scene says."""

    world: str
    seed: int = 0
    style: str = "plain"
    size: Size = SAMPLE_SIZE


def parse(address: str) -> Address:
    """The parts of a name. Raises SceneError, with what is possible, for one that names no world."""
    world, _, query = address.removeprefix(SCHEME).partition("?")
    form = f"expected {SCHEME}WORLD?seed=N&style=STYLE&size=HxW, got {address!r}: "
    if world not in WORLDS:
        raise SceneError(form + f"worlds are {', '.join(WORLDS)}")
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs) or "&".join(f"{key}={value}" for key, value in pairs) != query:
        raise SceneError(form + "each of seed, style and size may come once, as key=value")
    if unknown := sorted(set(given) - {"seed", "style", "size"}):
        raise SceneError(form + f"there is no {', '.join(unknown)}")
    seed, style, size = given.get("seed", "0"), given.get("style", "plain"), given.get("size")
    if not (seed.isascii() and seed.isdigit()):
        raise SceneError(form + "a seed is a whole number, 0 or more")
    if style not in STYLES:
        raise SceneError(form + f"styles are {', '.join(STYLES)}")
    if size is None:
        return Address(world, int(seed), style)
    height, _, width = size.partition("x")
    if not all(side.isascii() and side.isdigit() and int(side) >= 2 and int(side) % 2 == 0 for side in (height, width)):
        raise SceneError(form + "a size is an even height and width, 240x416 say")
    return Address(world, int(seed), style, (int(height), int(width)))


def synthetic_scene(address: str, *, cache: Path | None = None, progress: bool = False) -> Scene:
    """The scene of a synthetic world, rendered into the cache if it is not there.

    cache: folder of scenes, by default `$INSPATIO_GYM_CACHE` or the user's cache. progress: show a bar, if stderr is a
    terminal. Raises SceneError for a name that names no world, CacheError where nothing can be stored.
    """
    what = parse(address)
    options = {"world": what.world, "seed": what.seed, "style": what.style, "size": what.size, "version": VERSION}
    target = (cache_root() if cache is None else Path(cache)) / scene_key("synthetic", options)
    if scene := stored(target):
        return scene
    world = make_world(what.world, what.seed, what.style)
    logger.info("rendering %s into %s", address, target)
    hidden = not (progress and sys.stderr.isatty())
    with tqdm(total=world.num_frames, desc=world.address, unit="frame", disable=hidden) as bar:
        try:
            return write_scene(world, target, size=what.size, on_frame=bar.update)
        except FileExistsError:  # another process has been faster
            return Scene.load(target)
