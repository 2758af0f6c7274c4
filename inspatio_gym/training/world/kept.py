"""Coded clips kept in files, so that no stage, no other process and no resumed training renders them again.

    <folder>/000123.safetensors      batch 123 of a stream, the fields of `Coded`

A batch follows from its number, so it does not matter who made it: whoever finds it missing makes it and leaves it there.
A process that has nothing better to do makes what others will want (`make_ahead`).
"""

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import count, islice
from pathlib import Path

from safetensors.torch import load_file, save_file

from inspatio_gym.files import written_whole
from inspatio_gym.training.world.latents import Coded

Make = Callable[[int], Generator[Coded, None, None]]
"""An endless stream of batches from a number on."""


def kept(folder: Path, make: Make, first: int, device: str) -> Generator[Coded, None, None]:
    """Batches from the number `first` on, on `device`, those that are not in `folder` made and put there."""
    running: Generator[Coded, None, None] | None = None
    following = -1
    try:
        for number in count(first):
            file = _file(folder, number)
            if file.is_file():
                yield Coded(**load_file(file, device))
                continue
            if running is None or number != following:
                if running is not None:
                    running.close()
                running = make(number)
            batch, following = next(running), number + 1
            leave(folder, number, batch)
            yield batch
    finally:
        if running is not None:
            running.close()


def leave(folder: Path, number: int, batch: Coded) -> None:
    """Put a batch into the folder."""
    with written_whole(_file(folder, number)) as partial:
        save_file({name: part.contiguous() for name, part in batch._asdict().items()}, partial)


def held(folder: Path) -> int:
    """The number behind the last batch that is there; of those before it a few may be missing."""
    return max((int(file.stem) for file in folder.glob("[0-9]*.safetensors")), default=-1) + 1


def make_ahead(folder: Path, make: Make, end: int, device: str) -> None:
    """Put all batches into the folder from the one behind the last to the one before `end`."""
    first = held(folder)
    with closing(kept(folder, make, first, device)) as batches:
        for _ in islice(batches, max(0, end - first)):
            pass


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.safetensors"
