"""Batches of observations in memory that a driver and the actors on its machine have mapped: nobody copies them.

    driver   Slabs.take(count)           ->  Slab     fresh arrays for a batch, and each actor's Part of it
    actor    Bench.arrays(space, part)   ->  views    of its rows, which the worlds write their observations into
    driver   returns the slab's arrays to its caller

A slab is taken again when nobody holds an array of it, or a view, any more. `retire` abandons all slabs: after any mishap,
because an actor that seemed dead or late may still write into its rows.

An actor elsewhere does not find the memory; it then answers by mail (`ray_mail`), and so does one where there is no room.
"""

import math
import mmap
import os
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.envs import ray_mail
from inspatio_gym.types import Arrays

KEPT = 8  # slabs at most
UNSEEN = 2  # references to a buffer that only its slab has: the slab's, and that of the question


class Part(NamedTuple):
    """Rows start to stop of a batch of `whole`, in the file `path`."""

    path: str
    whole: int
    start: int
    stop: int


class Slab:
    """Memory for a batch of `count` observations in `space`. Raises OSError if there is no room."""

    def __init__(self, space: gym.spaces.Dict, count: int):
        self.count = count
        self._space, size = space, _layout(space, count)[1]
        fd, self.path = tempfile.mkstemp(prefix="inspatio-gym-slab-", dir=ray_mail.SHARED)
        try:
            os.posix_fallocate(fd, 0, size)
            self._buffer = np.frombuffer(mmap.mmap(fd, size), np.uint8)
        except OSError:
            self.hide()
            raise
        finally:
            os.close(fd)

    @property
    def is_free(self) -> bool:
        """Nobody holds an array in it."""
        return sys.getrefcount(self._buffer) == UNSEEN

    def arrays(self) -> Arrays:
        return _views(self._buffer, self._space, self.count)

    def part(self, rows: slice) -> Part:
        return Part(self.path, self.count, rows.start, rows.stop)

    def hide(self) -> None:
        """Take the name away: the memory is freed with the last of its users, however they end."""
        Path(self.path).unlink(missing_ok=True)


class Slabs:
    """The driver's end. space: of one observation."""

    def __init__(self, space: gym.spaces.Dict) -> None:
        self._space = space
        self._slabs: list[Slab] = []

    def take(self, count: int) -> Slab | None:
        """A slab that nobody else has, of any content; None if all are in use, or there is no room for another."""
        for slab in self._slabs:
            if slab.count == count and slab.is_free:
                return slab
        self._slabs = [slab for slab in self._slabs if not slab.is_free]
        if len(self._slabs) == KEPT or not ray_mail.SHARED.is_dir():
            return None
        try:
            self._slabs.append(Slab(self._space, count))
        except OSError:
            return None
        return self._slabs[-1]

    def retire(self) -> None:
        """Hand out none of these slabs again. Who holds their arrays keeps them."""
        for slab in self._slabs:
            slab.hide()
        self._slabs = []


class Bench:
    """The actor's end: it has the `KEPT` slabs mapped that it wrote into last."""

    def __init__(self) -> None:
        self._buffers: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    def arrays(self, space: gym.spaces.Dict, part: Part) -> Arrays | None:
        """Views of the part's rows; None if the memory is not on this machine. space: of one observation."""
        if part.path not in self._buffers:
            try:
                fd = os.open(part.path, os.O_RDWR)
            except OSError:
                return None
            try:
                self._buffers[part.path] = np.frombuffer(mmap.mmap(fd, 0), np.uint8)
            finally:
                os.close(fd)
            if len(self._buffers) > KEPT:
                self._buffers.popitem(last=False)
        self._buffers.move_to_end(part.path)
        whole = _views(self._buffers[part.path], space, part.whole)
        return {name: array[part.start : part.stop] for name, array in whole.items()}


def _layout(space: gym.spaces.Dict, count: int) -> tuple[dict[str, int], int]:
    """Where the batch of each key begins, and bytes in all."""
    offsets, end = {}, 0
    for name, one in space.spaces.items():
        offsets[name] = end
        size = count * math.prod(one.shape or ()) * np.dtype(one.dtype).itemsize
        end += -(-size // ray_mail.ALIGNED) * ray_mail.ALIGNED
    return offsets, end


def _views(buffer: NDArray[np.uint8], space: gym.spaces.Dict, count: int) -> Arrays:
    offsets, _ = _layout(space, count)
    return {
        name: np.ndarray((count, *(one.shape or ())), one.dtype, buffer, offsets[name])
        for name, one in space.spaces.items()
    }
