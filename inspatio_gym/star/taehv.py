"""TAEHV: a tiny autoencoder that speaks the latents of the Wan VAE, some twenty times cheaper.

    encoder   frame (3, H, W) in [0, 1] -> 64 -> [pool time, halve space, 3 MemBlocks] x 3 -> 16 channels
              frames a step: 1 -> 2 -> 4 -> 4;  side: H -> H/2 -> H/4 -> H/8
    decoder   3 tanh(z / 3) -> 256 -> [3 MemBlocks, double space, grow time] x 3 -> 3 channels, clamped to [0, 1]
              frames a latent: 1 -> 1 -> 2 -> 4;  width: 256 -> 128 -> 64 -> 64

These are the sizes of the released network; those of others are read off the shapes of their weights (`TaehvConfig.of`).

All convolutions are of images: every step of every world goes through them at once, (B T, C, H, W), channels last. Only
a MemBlock looks back, one step, to its own input; that frame is all it remembers. So a stream's past is one image a
MemBlock, zero at the beginning.

Ref: Ollin Boer Bohan, TAEHV (tiny autoencoders for video).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil
from pathlib import Path
from typing import Self

from inspatio_gym.checkpoints.weights import WeightsError, load_strictly, read_weights
from inspatio_gym.extras import extra
from inspatio_gym.star.codec import (
    CHANNELS,
    SPATIAL,
    TEMPORAL,
    WORKSPACE,
    Stream,
    check_frames,
    check_latents,
    in_turns,
)
from inspatio_gym.star.taehv_layers import Grow, MemBlock, Pool, SoftClamp, conv3

with extra("star"):
    import torch
    from torch import Tensor, nn

POOLED = (2, 2, 1)
"""Steps that become one in each stage of the encoder."""
GROWN = (1, 2, 2)
"""Steps that one becomes in each stage of the decoder."""
START_UP = TEMPORAL - 1
"""Frames that the decoder makes before the first one that means something: latent 0 stands for one frame, not four."""

_OWN_LAYER = re.compile(r"(encoder|decoder)\.(\d+)\.conv\.(0\.)?weight")  # 0.: of a MemBlock, else of a Pool or Grow


@dataclass(frozen=True, slots=True)
class TaehvConfig:
    """Sizes of the network; the defaults are the released ones.

    encoder: widths at the full size of a frame, at 1/2, 1/4 and 1/8 of it. encoder_blocks: MemBlocks at the last three.
    decoder: widths at 1/8, 1/4, 1/2 and the full size. decoder_blocks: MemBlocks at the first three.
    """

    encoder: tuple[int, ...] = (64, 64, 64, 64)
    decoder: tuple[int, ...] = (256, 128, 64, 64)
    encoder_blocks: tuple[int, ...] = (3, 3, 3)
    decoder_blocks: tuple[int, ...] = (3, 3, 3)

    def __post_init__(self) -> None:
        parts = self.encoder, self.decoder, self.encoder_blocks, self.decoder_blocks
        if tuple(map(len, parts)) != (4, 4, 3, 3):
            raise ValueError(f"expected four widths and three numbers of MemBlocks a side, got {self}")

    @property
    def full(self) -> int:
        """Channels at most at the full size of a frame, where most of the memory goes."""
        return max(self.encoder[0], *self.decoder[2:])

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Self:
        """The sizes that weights have. Raises KeyError or ValueError for those of another network."""
        layers = sorted((match[1], int(match[2]), match[3]) for match in map(_OWN_LAYER.fullmatch, weights) if match)
        sides = []
        for side, first in (("encoder", 0), ("decoder", 1)):
            widths, blocks = [weights[f"{side}.{first}.weight"].shape[0]], [0]
            for _, position, kind in (layer for layer in layers if layer[0] == side):
                if kind:
                    blocks[-1] += 1
                else:
                    blocks.append(0)
                    widths.append(weights[f"{side}.{position + 1}.weight"].shape[0])
            sides.append((tuple(widths), tuple(blocks)))
        (encoder, (_, *encoder_blocks)), (decoder, (*decoder_blocks, _)) = sides
        return cls(encoder, decoder, tuple(encoder_blocks), tuple(decoder_blocks))


class Taehv(nn.Module):
    """The network and its coding of whole clips in [0, 1]; `TaehvCodec` makes streams of it.

    Whatever it codes has gradients where its weights or what is coded have them; those of `load` do not.
    """

    def __init__(self, config: TaehvConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TaehvConfig()
        full, *widths = config.encoder
        layers: list[nn.Module] = [conv3(3, full), nn.ReLU(inplace=True)]
        before = full
        for width, blocks, steps in zip(widths, config.encoder_blocks, POOLED, strict=True):
            layers += [Pool(before, steps), conv3(before, width, stride=2, bias=False)]
            layers += [MemBlock(width) for _ in range(blocks)]
            before = width
        self.encoder = nn.Sequential(*layers, conv3(before, CHANNELS))

        width, *widths = config.decoder
        layers = [SoftClamp(), conv3(CHANNELS, width), nn.ReLU(inplace=True)]
        for after, blocks, steps in zip(widths, config.decoder_blocks, GROWN, strict=True):
            layers += [MemBlock(width) for _ in range(blocks)]
            # Released files number the doubling of the size as a layer of its own, without weights.
            layers += [nn.Identity(), Grow(width, steps), conv3(width, after, bias=False)]
            width = after
        self.decoder = nn.Sequential(*layers, nn.ReLU(inplace=True), conv3(width, 3))

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> "Taehv":
        """The network in `path` (.safetensors or .pth), of any size and float type, as `dtype` on `device`.

        Raises FileNotFoundError for a file that is not there, WeightsError for one that cannot be read or does not fit.
        """
        weights = {name: weight.to(dtype) for name, weight in read_weights(path).items()}
        try:
            config = TaehvConfig.of(weights)
        except (KeyError, ValueError) as problem:
            raise WeightsError(f"expected the weights of a Taehv in {path}, got others: {problem}") from None
        with torch.device("meta"):
            network = cls(config)
        for layer, module in network.named_modules():
            name = f"{layer}.conv.weight"
            if isinstance(module, Grow) and name in weights:
                # A file that was trained with more steps holds the outputs of all; the last ones are wanted.
                weights[name] = weights[name][-module.conv.out_channels :]
        load_strictly(network, weights, path)
        network.requires_grad_(False).eval()
        return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def encode(self, video: Tensor) -> Tensor:
        """A clip (B, T, 3, H, W) in [0, 1] -> latents (B, ceil(T / 4), 16, H/8, W/8); its last frame is held to the end of
        the last latent. Raises ValueError for another shape."""
        check_frames(video[:, :1], None)
        pieces: list[Tensor] = []
        past: Stream = ()
        for piece in video.split(TEMPORAL * max(1, WORKSPACE // self._elements(video)), dim=1):
            latents, past = self.encode_steps(hold(piece.to(self.dtype), -piece.shape[1] % TEMPORAL), past)
            pieces.append(latents)
        return torch.cat(pieces, dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, n, 16, h, w) -> their clip (B, 1 + 4 (n - 1), 3, 8h, 8w) in [0, 1]. Raises ValueError for another
        shape."""
        return self.decode_clip(latents).clamp_(0, 1)

    def encode_clip(self, clip: Tensor, block: int = 3) -> Tensor:
        """A clip (B, 1 + 4 (n - 1), 3, H, W) in [0, 1] -> latents (B, n, 16, H/8, W/8), as a stream of blocks of `block`
        latents codes it: the last frame of every block is held. Raises ValueError for another shape."""
        codec, stream, pieces = TaehvCodec(self), None, []
        ends = range(1 + TEMPORAL * (block - 1), clip.shape[1], TEMPORAL * block)
        for part in clip.tensor_split(tuple(ends), 1):
            latents, stream = codec.encode(part * 2 - 1, stream)
            pieces.append(latents)
        return torch.cat(pieces, 1)

    def decode_clip(self, latents: Tensor) -> Tensor:
        """`decode` unclamped: a pixel out of range still has a gradient."""
        check_latents(latents)
        pieces: list[Tensor] = []
        past: Stream = ()
        for piece in latents.split(max(1, WORKSPACE // self._elements(latents, SPATIAL)), dim=1):
            frames, past = self.decode_steps(piece.to(self.dtype), past)
            pieces.append(frames)
        return torch.cat(pieces, dim=1)[:, START_UP:]

    def encode_steps(self, frames: Tensor, past: Stream = (), *, ahead: int = 0) -> tuple[Tensor, Stream]:
        """Frames (B, 4 n, 3, H, W) in [0, 1] after `past` -> n latents, and the past of what follows them.

        ahead: the last latents that the past leaves out, because their frames are not what will have happened.
        """
        count = frames.shape[1] // TEMPORAL
        kept = Fraction(count - ahead, count)
        return in_turns(partial(_run, self.encoder, kept=kept), frames, past, count * self._elements(frames))

    def decode_steps(self, latents: Tensor, past: Stream = (), last: int | None = None) -> tuple[Tensor, Stream]:
        """Latents (B, n, 16, h, w) after `past` -> 4 n frames about [0, 1], and the past of what follows them.

        last: how many frames at the end are wanted; of those before, only as many are made as come along.
        """
        size = latents.shape[1] * self._elements(latents, SPATIAL)
        needed = () if last is None else _needed(self.decoder, last)
        return in_turns(partial(_run, self.decoder, needed=needed), latents, past, size)

    def _elements(self, x: Tensor, scale: int = 1) -> int:
        """Of the largest tensor, for one latent of images (..., H, W) whose frames are `scale` times as large."""
        return TEMPORAL * self.config.full * x.shape[-2] * x.shape[-1] * scale**2

    def reach(self) -> tuple[int, int]:
        """Latents that the encoder's and the decoder's past depends on, 8 and 8.

        A MemBlock's memory of its input holds what the MemBlocks before it have reached, each one step of its own level.
        """
        encoder, decoder = (
            ceil(sum(_spans(layers, span)[:-1])) + 1
            for layers, span in ((self.encoder, Fraction(1, TEMPORAL)), (self.decoder, Fraction(1)))
        )
        return encoder, decoder


class TaehvCodec:
    """TAEHV as both ends of the codec protocol, with the VAE's timing.

    Encoder latent k reads frames 4k .. 4k + 3, and stands for the VAE's latent k, which ends with frame 4k: it looks three
    frames ahead. At the end of a block those are yet to come. So the last latent of a block is encoded with its one frame
    held four times; when the next block brings the true ones it is encoded again, for the sake of the memory alone.

        frames     0..3  4..7  8       | 9 .. 20
        encoded    0     1     2 (8 held)  2 again (8..11), 3 (12..15), 4 (16..19), 5 (20 held)
        returned   0     1     2       | 3  4  5
        kept       memory of 0..7, 8   | memory of 0..19, 20

    A stream to encode: each MemBlock's memory of real frames alone, then the one frame (B, 3, H, W) after them. A stream to
    decode: each MemBlock's memory.
    """

    name = "taehv"

    def __init__(self, network: Taehv) -> None:
        self.network = network

    @property
    def receptive_latents(self) -> int:
        encoder, decoder = self.network.reach()
        return max(encoder + 1, decoder)  # the encoder's frame that waits is a latent of its own

    def encode(self, frames: Tensor, stream: Stream | None) -> tuple[Tensor, Stream]:
        count = check_frames(frames, stream)
        frames = (frames.to(self.network.dtype) + 1) / 2
        past: Stream = ()
        if stream is not None:
            *memory, waiting = stream
            past, frames = tuple(memory), torch.cat([waiting[:, None], frames], dim=1)
        latents, past = self.network.encode_steps(hold(frames, START_UP), past, ahead=1)
        return latents[:, -count:], (*past, frames[:, -1].clone())

    def decode(self, latents: Tensor, stream: Stream | None, last: int | None = None) -> tuple[Tensor, Stream]:
        check_latents(latents)
        total = TEMPORAL * latents.shape[1] - (START_UP if stream is None else 0)
        frames, past = self.network.decode_steps(latents.to(self.network.dtype), stream or (), last)
        return frames[:, -min(last or total, total) :].clamp_(0, 1) * 2 - 1, past


def hold(frames: Tensor, count: int) -> Tensor:
    """Frames (B, T, ...) with the last one `count` times more."""
    return torch.cat([frames, frames[:, -1:].expand(-1, count, *[-1] * (frames.ndim - 2))], dim=1)


def _run(
    layers: nn.Sequential, x: Tensor, past: Stream, kept: Fraction = Fraction(1), needed: Sequence[int] = ()
) -> tuple[Tensor, Stream]:
    """x (B, T, C, H, W) through the layers -> (B, T', C', H', W'), and each MemBlock's last input of the `kept` part of
    time (from the beginning). needed: how many steps of each MemBlock, the last ones, are made; all if left out."""
    worlds, memories, counts, remembered = len(x), iter(past), iter(needed), []
    x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    for layer in layers:
        if isinstance(layer, MemBlock):
            steps = x.unflatten(0, (worlds, -1))
            memory = next(memories) if past else torch.zeros_like(steps[:, 0])
            end = int(steps.shape[1] * kept)
            remembered.append(steps[:, end - 1].clone(memory_format=torch.channels_last) if end else memory)
            x = layer(x, memory, next(counts, None))
        else:
            x = layer(x)
    return x.unflatten(0, (worlds, -1)), tuple(remembered)


def _needed(decoder: nn.Sequential, last: int) -> list[int]:
    """How many steps of each MemBlock the last frames of a block are made from: those after it look one step back, too."""
    spans = _spans(decoder, Fraction(TEMPORAL))
    return [ceil((last + sum(spans[k + 1 :])) / span) for k, span in enumerate(spans)]


def _spans(layers: nn.Sequential, span: Fraction) -> list[Fraction]:
    """How long a step of each MemBlock lasts, given how long one of the input does."""
    spans = []
    for layer in layers:
        if isinstance(layer, MemBlock):
            spans.append(span)
        elif isinstance(layer, Pool):
            span *= layer.steps
        elif isinstance(layer, Grow):
            span /= layer.steps
    return spans
