"""What a video codec is to the diffusion model: two causal streams, frames to latents and latents to frames.

    frames (B, T, 3, H, W) in [-1, 1]  --encode-->  latents (B, t, 16, H/8, W/8), normalised  --decode-->  frames

Time is cut into blocks. The first one of a stream is 1 + 4 (t - 1) frames for t latents, every later one 4 t frames, so
that latent k > 0 stands for frames 4k - 3 .. 4k and latent 0 for frame 0 alone. A stream is what a codec must remember
between two blocks: tensors whose first axis is the world, so that the streams of several worlds are stacked with
`stack` and taken apart with `split`, whatever blocks each has seen. Its owner is the session, never the codec: sessions
interleave freely.

Encoder and decoder are chosen apart; both of one model must speak the same latents. Memory in time is finite: what the
last `receptive_latents` latents stand for, coded from no stream, leaves the stream that the whole past would have left.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    from torch import Tensor, nn

SPATIAL = 8
"""Pixels a latent is wide and high."""
TEMPORAL = 4
"""Frames a latent lasts, but for the first of a stream, which is one frame."""
CHANNELS = 16
"""Channels of a latent."""

WORKSPACE = 2**29
"""Elements of a codec's largest tensor, one gigabyte in bfloat16. What would take more is coded in turns: a block of 12 frames
of one world at 480x832 fits, and GPU kernels that count in 32 bits end at four times as much."""

Stream: TypeAlias = tuple[Tensor, ...]
"""What a codec remembers of each world: tensors (B, ...). Never written to in place."""


class Encoder(Protocol):
    """Frames to latents; `name` tells which, for the keys of what is reused; network: its weights."""

    name: str

    @property
    def network(self) -> nn.Module: ...

    @property
    def receptive_latents(self) -> int:
        """R: encoding the last 1 + 4 (R - 1) frames from no stream leaves the stream that all of the past leaves."""
        ...

    def encode(self, frames: Tensor, stream: Stream | None) -> tuple[Tensor, Stream]:
        """Encode the next block: frames (B, T, 3, H, W) in [-1, 1] -> latents (B, t, 16, H/8, W/8), and the stream after
        it. stream: None at the beginning, T = 1 + 4 (t - 1); else T = 4 t. Raises ValueError for any other shape."""
        ...


class Decoder(Protocol):
    """Latents to frames; `name` and `network` as of an encoder."""

    name: str

    @property
    def network(self) -> nn.Module: ...

    @property
    def receptive_latents(self) -> int:
        """R: decoding the last R latents from no stream leaves the stream that all of the past leaves."""
        ...

    def decode(self, latents: Tensor, stream: Stream | None, last: int | None = None) -> tuple[Tensor, Stream]:
        """Decode the next block: latents (B, t, 16, h, w) -> frames (B, T, 3, 8h, 8w) in [-1, 1], and the stream after it.
        stream: None at the beginning, T = 1 + 4 (t - 1); else T = 4 t. last: return so many frames, the last ones, which may
        spare work; None returns all. Raises ValueError for any other shape."""
        ...


def stack(streams: Sequence[Stream]) -> Stream:
    """The streams of several worlds as one."""
    return streams[0] if len(streams) == 1 else tuple(torch.cat(parts) for parts in zip(*streams, strict=True))


def split(stream: Stream, worlds: int) -> list[Stream]:
    """One stream a world, each with memory of its own, so that none keeps the others alive."""
    return [stream] if worlds == 1 else [tuple(part[k : k + 1].clone() for part in stream) for k in range(worlds)]


def in_turns(
    code: Callable[[Tensor, Stream], tuple[Tensor, Stream]], x: Tensor, stream: Stream, elements: int
) -> tuple[Tensor, Stream]:
    """`code(x, stream)` on as many worlds at a time as fit; elements: of a world's largest tensor. stream may be ()."""
    worlds = max(1, WORKSPACE // elements)
    if len(x) <= worlds:
        return code(x, stream)
    parts = zip(*(part.split(worlds) for part in (x, *stream)), strict=True)
    results = [code(some, tuple(past)) for some, *past in parts]
    return torch.cat([out for out, _ in results]), stack([past for _, past in results])


def nbytes(stream: Stream) -> int:
    """Bytes of memory that a stream takes."""
    return sum(part.nbytes for part in stream)


def latents_of(frames: int, first: bool) -> int:
    """How many latents a block of `frames` frames makes; `first`: of a stream. Raises ValueError if it is no whole number."""
    whole = frames - 1 if first else frames
    if whole % TEMPORAL or frames < 1:
        wanted = "1 + 4 k frames in the first block" if first else "4 k frames in a later block"
        raise ValueError(f"expected {wanted} of a stream, got {frames}")
    return whole // TEMPORAL + int(first)


def check_frames(frames: Tensor, stream: Stream | None) -> int:
    """How many latents a block of frames makes after `stream`. Raises ValueError unless it is (B, T, 3, H, W) with sides
    that are multiples of 8 and a T that is right at this point of a stream."""
    if frames.ndim != 5 or frames.shape[2] != 3 or frames.shape[3] % SPATIAL or frames.shape[4] % SPATIAL:
        raise ValueError(
            f"expected frames (B, T, 3, H, W), H and W multiples of {SPATIAL}, got {tuple(frames.shape)}: "
            "resize or crop them"
        )
    return latents_of(frames.shape[1], stream is None)


def check_latents(latents: Tensor) -> None:
    """Raises ValueError unless `latents` is a block (B, t, 16, h, w) of one latent or more."""
    if latents.ndim != 5 or latents.shape[2] != CHANNELS or not latents.shape[1]:
        raise ValueError(f"expected latents (B, t, {CHANNELS}, h, w), t at least 1, got {tuple(latents.shape)}")
