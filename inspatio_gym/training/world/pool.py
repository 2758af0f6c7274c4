"""The last clips of an endless stream, kept on the device to be drawn from many times.

    stream(k) -> batch k, batch k + 1, ...   --seek(p)-->   batches p - keep .. p - 1   --draw-->   clips at random

What the pool holds follows from its position alone: a resumed training seeks the position where it was, and draws the
same. Clips are read from the stream when they are first drawn, so that seeking costs nothing.
"""

import time
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

import torch
from torch import Tensor

Clips = TypeVar("Clips", bound=tuple[Tensor, ...])


class Pool(Generic[Clips]):
    """Of what `stream` yields from a batch number on: named tuples of tensors whose first axis counts clips.

    first: batches that it begins with. keep: batches that it holds at most, at least as many. `position`: batches that have
    gone in; `waited`: seconds spent on reading the stream.
    """

    def __init__(self, stream: Callable[[int], Generator[Clips, None, None]], first: int, keep: int):
        if not 1 <= first <= keep:
            raise ValueError(f"expected 1 batch or more in a pool, and no more than it keeps, got {first} of {keep}")
        self.position, self.waited = first, 0.0
        self._stream, self._keep = stream, keep
        self._kept: dict[int, Clips] = {}
        self._read = 0
        self._running: Generator[Clips, None, None] | None = None

    def seek(self, position: int) -> None:
        """Hold what the pool holds after `position` batches."""
        self.position = position

    def draw(self, count: int, generator: torch.Generator) -> Clips:
        """`count` clips, each any of those held; which, the generator decides: one of the CPU, so that nobody waits for a GPU."""
        oldest = max(0, self.position - self._keep)
        if self._read != self.position:
            self._read_on(oldest)
        size = len(self._kept[oldest][0])
        which = torch.randint(size * len(self._kept), (count,), generator=generator).tolist()
        clips = [tuple(part[k % size] for part in self._kept[oldest + k // size]) for k in which]
        return type(self._kept[oldest])(*map(torch.stack, zip(*clips, strict=True)))

    def batches(self) -> Iterator[tuple[int, Clips]]:
        """What was read and is held, with the numbers of the batches."""
        yield from self._kept.items()

    def close(self) -> None:
        """Stop reading for now; the processes behind the stream end."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def _read_on(self, oldest: int) -> None:
        began = time.monotonic()
        if not oldest <= self._read <= self.position:
            self.close()
            self._kept, self._read = {}, oldest
        if self._running is None:
            self._running = self._stream(self._read)
        while self._read < self.position:
            self._kept[self._read] = next(self._running)
            self._read += 1
        for number in [number for number in self._kept if number < oldest]:
            del self._kept[number]
        self.waited += time.monotonic() - began
