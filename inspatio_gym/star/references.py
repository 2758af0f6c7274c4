"""Reference latents that more than one session needs: worlds that showed the same frames in the same order share them.

A causal codec's latents depend on every frame since the stream began, so the key is the hash of scene, size, codec and the
exact sequence of source frames. What was used last goes last.
"""

from collections import OrderedDict

from inspatio_gym.extras import extra
from inspatio_gym.star.codec import Stream, nbytes

with extra("star"):
    from torch import Tensor

Entry = tuple[Tensor, Stream]
"""Latents (1, t, 16, h, w) of the newest block, and the stream after it."""


class ReferenceStore:
    """Up to `max_bytes` of entries by key; one entry is kept whatever its size."""

    def __init__(self, max_bytes: int = 2**30):
        self.max_bytes = max_bytes
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> Entry | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: bytes, latents: Tensor, stream: Stream) -> None:
        """Keep an entry under a key that is not there yet, and let go of the oldest ones beyond the limit."""
        self._entries[key] = latents, stream
        self._bytes += _size(self._entries[key])
        while self._bytes > self.max_bytes and len(self._entries) > 1:
            self._bytes -= _size(self._entries.popitem(last=False)[1])


def _size(entry: Entry) -> int:
    return entry[0].nbytes + nbytes(entry[1])
