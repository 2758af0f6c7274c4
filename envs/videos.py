"""Many videos: a folder as the videos in it, and which of them to keep for the test.

    train, held_out = split(["clips/"], 0.2)
    env = gym.make("InSpatio-v0", video=train)

A video is held out if the hash of its content, read as a number from 0 to 1, is below the share to hold out. So a video's
side depends on nothing but itself: not on its name or folder, nor on the other videos, and adding one moves none. The
share is therefore met on average, not exactly; of a handful of videos it may be none or most.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inspatio_gym.scenes import Scene, load_scene, sample_names
from inspatio_gym.scenes.cache import hash_of
from inspatio_gym.scenes.folder import videos_in

HELD_OUT = 0.2

Source = str | Path | Scene


class Split(NamedTuple):
    """Sources to train on, and those to evaluate on; each in the order they came."""

    train: list[Source]
    held_out: list[Source]


def split(sources: Source | Sequence[Source], held_out: float = HELD_OUT) -> Split:
    """Share out videos and scenes; see the module's docstring.

    sources: video files, folders of them, bundled scenes, scene folders or Scenes. held_out: share to hold out, 0 to 1.
    Raises ValueError for a share outside of that and what is neither a video nor a scene, FileNotFoundError for no file.
    """
    if not 0 <= held_out <= 1:
        raise ValueError(f"expected a share from 0 to 1 to hold out, got {held_out}: pass 0.2, say")
    shares = Split([], [])
    for source in expand(sources):
        shares[place_of(source) < held_out].append(source)
    return shares


def expand(sources: Source | Sequence[Source]) -> list[Source]:
    """The sources one by one: a folder that is no scene stands for the videos in it, by name.

    Raises ValueError for a folder without videos.
    """
    found: list[Source] = []
    for source in [sources] if isinstance(sources, str | Path | Scene) else sources:
        if isinstance(source, Scene) or not _is_folder_of_videos(source):
            found.append(source)
        else:
            found += videos_in(Path(source).expanduser())
    return found


def place_of(source: Source) -> float:
    """A number from 0 to 1 that a video or scene has by its content alone; such numbers are uniformly distributed."""
    if isinstance(source, Scene) or source in sample_names() or Path(source).is_dir():
        digest = load_scene(source).digest
    else:
        file = Path(source).expanduser()
        status = file.stat()
        digest = _hash_of(file, status.st_size, status.st_mtime_ns)
    return int(digest[:13], 16) / 16**13  # as many digits as a float keeps


@functools.lru_cache(maxsize=4096)
def _hash_of(file: Path, size: int, changed: int) -> str:
    return hash_of(file)


def _is_folder_of_videos(source: str | Path) -> bool:
    folder = Path(source).expanduser()
    return source not in sample_names() and folder.is_dir() and not (folder / "scene.json").is_file()
