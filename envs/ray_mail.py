"""Answers from an actor to a driver on the same machine, through memory that both have mapped.

Ray's way is a copy into its object store, where an answer lies in pages that are new to both ends, and their first touch
takes longer than the copy: 4 MB cost 4 ms and more. Here the pages are the same every time:

    actor    Outbox.pack(answer)  ->  Parcel      arrays into the memory, the rest into a few bytes
    Ray carries the parcel, under a kilobyte
    driver   Inbox.open(parcel)   ->  answer      its arrays are views of the memory, until the next order is sent

An actor elsewhere does not find the memory, and one that lacks room in it takes Ray's way: `pack` then returns the answer
as it is.

Ref: PEP 574, pickle protocol 5 with out-of-band data
"""

import mmap
import os
import pickle
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

SHARED = Path("/dev/shm")  # files without a disk; where there are none, all goes Ray's way
LARGE = 64 * 1024  # bytes of arrays that are worth a parcel
ALIGNED = 64  # bytes: a line of a processor's cache


class Parcel(NamedTuple):
    """A pickled answer, and where in the memory each of its buffers begins and how many bytes it has."""

    data: bytes
    spans: Sequence[tuple[int, int]]


class Inbox:
    """The driver's end, which makes the memory. `path` names it to one actor; `hide` when that has answered."""

    def __init__(self) -> None:
        self.path = ""
        self._memory: mmap.mmap | None = None
        if SHARED.is_dir():
            self._fd, self.path = tempfile.mkstemp(prefix="inspatio-gym-mail-", dir=SHARED)
            weakref.finalize(self, _discard, self._fd, self.path)

    def open(self, parcel: Any) -> Any:
        """What was packed; anything but a parcel is returned as it is."""
        if not isinstance(parcel, Parcel):
            return parcel
        end = max(start + size for start, size in parcel.spans)
        if self._memory is None or len(self._memory) < end:
            self._memory = mmap.mmap(self._fd, 0)
        memory = memoryview(self._memory)
        return pickle.loads(parcel.data, buffers=[memory[start : start + size] for start, size in parcel.spans])

    def hide(self) -> None:
        """Take the name away: then the memory is freed with the last of its two users, however they end."""
        if self.path:
            Path(self.path).unlink(missing_ok=True)


def _discard(fd: int, path: str) -> None:
    os.close(fd)
    Path(path).unlink(missing_ok=True)


class Outbox:
    """The actor's end. path: as the driver's `Inbox` names it."""

    def __init__(self, path: str):
        self._memory: mmap.mmap | None = None
        self._fd = os.open(path, os.O_RDWR) if path and Path(path).exists() else None

    def pack(self, answer: Any) -> Any:
        """The answer as a parcel, or as it is if it is small or cannot go that way. The last parcel is lost."""
        if self._fd is None:
            return answer
        buffers: list[pickle.PickleBuffer] = []
        data = cloudpickle.dumps(answer, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        spans, end = [], 0
        for view in views:
            spans.append((end, view.nbytes))
            end += -(-view.nbytes // ALIGNED) * ALIGNED
        if end < LARGE or not self._reserve(end):
            return answer
        assert self._memory is not None
        for (start, size), view in zip(spans, views, strict=True):
            self._memory[start : start + size] = view
        return Parcel(data, spans)

    def _reserve(self, size: int) -> bool:
        """See to it that there is memory of that size, in fact and not only in name; False if there is not."""
        assert self._fd is not None
        if self._memory is None or len(self._memory) < size:
            try:
                os.posix_fallocate(self._fd, 0, 2 * size)
            except OSError:
                return False
            self._memory = mmap.mmap(self._fd, 0)
        return True
