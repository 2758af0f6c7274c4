"""One world's causal state: all that the next block depends on, beside weights and scene.

    previous     the latents made last, (1, t, 16, h, w): half of the next block's context
    reference    codec stream of the source frames in the order in which they were shown
    render       codec stream of the renders that steered it
    decoded      codec stream of the latents that became frames
    key, blocks  which noise comes next

Keys and values of the transformer are workspace, made anew every block, so a session's size never changes: `nbytes`.
Nothing in it is written to in place; a fork shares the tensors until they are replaced.

A snapshot is whole (every stream; what follows is equal to the bit) or light (no streams: the frames and cameras that
their memory reaches back to, from which `StarModel` codes them anew; equal up to rounding).
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.extras import extra
from inspatio_gym.layers import View
from inspatio_gym.star.codec import Stream, nbytes
from inspatio_gym.types import Poses

with extra("star"):
    import torch
    from torch import Tensor

STREAMS = ("reference", "render", "decoded")


@dataclass(frozen=True, slots=True)
class Past:
    """The newest frames a session was asked for and the latents it made of them, as far back as codecs remember.

    source: int64 (n,). c2w: float64 (n, 4, 4). latents: (1, m, 16, h, w).
    """

    source: NDArray[np.int64]
    c2w: Poses
    latents: Tensor


@dataclass(slots=True)
class StarSession:
    """See the module's docstring. view: the scene at the size that is rendered. prefix: hash of the frames shown."""

    view: View
    caption: str
    key: int
    prefix: bytes
    blocks: int = 0
    previous: Tensor | None = None
    reference: Stream | None = None
    render: Stream | None = None
    decoded: Stream | None = None
    past: Past | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors; reference streams may be shared with sessions that saw the same frames."""
        streams = sum(nbytes(stream) for stream in self.streams.values() if stream is not None)
        latents = (self.previous, None if self.past is None else self.past.latents)
        return streams + sum(0 if tensor is None else tensor.nbytes for tensor in latents)

    @property
    def streams(self) -> dict[str, Stream | None]:
        return {name: getattr(self, name) for name in STREAMS}

    def fork(self) -> "StarSession":
        return replace(self)

    def to(self, device: torch.device | str) -> "StarSession":
        """The same session with its tensors on `device`; a model takes it back from wherever it is."""
        twin = self.fork()
        if self.previous is not None:
            twin.previous = self.previous.to(device)
        if self.past is not None:
            twin.past = replace(self.past, latents=self.past.latents.to(device))
        for name, stream in self.streams.items():
            setattr(twin, name, stream and tuple(part.to(device) for part in stream))
        return twin

    def snapshot(self, light: bool = False) -> dict[str, Any]:
        """Arrays and numbers; see the module's docstring for what a light one leaves out."""
        record: dict[str, Any] = {"key": self.key, "blocks": self.blocks, "prefix": self.prefix.hex()}
        if self.previous is None or self.past is None:
            raise ValueError("expected a session that has begun, got a new one: start it first")
        record["previous"] = _array(self.previous)
        record["past.source"], record["past.c2w"] = self.past.source.copy(), self.past.c2w.copy()
        record["past.latents"] = _array(self.past.latents)
        if not light:
            for name, stream in self.streams.items():
                for k, part in enumerate(stream or ()):
                    record[f"{name}.{k}"] = _array(part)
        return record

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take back what `snapshot` gave; of a light one the streams stay None, for the model to code anew."""
        self.key, self.blocks = int(snapshot["key"]), int(snapshot["blocks"])
        self.prefix = bytes.fromhex(snapshot["prefix"])
        self.previous = _tensor(snapshot["previous"])
        latents = _tensor(snapshot["past.latents"])
        self.past = Past(np.array(snapshot["past.source"]), np.array(snapshot["past.c2w"]), latents)
        for name in STREAMS:
            parts = [key for key in snapshot if key.startswith(f"{name}.")]
            stream = tuple(_tensor(snapshot[f"{name}.{k}"]) for k in range(len(parts)))
            setattr(self, name, stream or None)


def follow(prefix: bytes, source: NDArray[np.int64]) -> bytes:
    """The hash of a prefix of frames (32 bytes), and of those that follow."""
    return hashlib.blake2b(prefix + np.ascontiguousarray(source, np.int64).tobytes(), digest_size=32).digest()


def _array(tensor: Tensor) -> NDArray[Any]:
    """A copy on the host; numpy knows no bfloat16, whose bits are passed as int16."""
    host = tensor.detach().cpu()
    return (host.view(torch.int16) if host.dtype == torch.bfloat16 else host).numpy().copy()


def _tensor(array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.int16 else tensor
