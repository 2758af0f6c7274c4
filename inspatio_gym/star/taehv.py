"""TAEHV: a tiny autoencoder that speaks the latents of the Wan VAE, some twenty times cheaper.

    encoder   frame (3, H, W) in [0, 1] -> 64 -> [pool time, halve space, 3 MemBlocks] x 3 -> 16 channels
              frames a step: 1 -> 2 -> 4 -> 4;  side: H -> H/2 -> H/4 -> H/8
    decoder   3 tanh(z / 3) -> 256 -> [3 MemBlocks, double space, grow time] x 3 -> 3 channels, clamped to [0, 1]
              frames a latent: 1 -> 1 -> 2 -> 4;  width: 256 -> 128 -> 64 -> 64

All convolutions are of images: every step of every world goes through them at once, (B T, C, H, W), channels last. Only
a MemBlock looks back, one step, to its own input; that frame is all it remembers. So a stream's past is one image a
MemBlock, zero at the beginning.

Ref: Ollin Boer Bohan, TAEHV (tiny autoencoders for video).
"""

from fractions import Fraction
from functools import partial
from math import ceil
from pathlib import Path

from inspatio_gym.checkpoints.weights import load_strictly, read_weights
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

with extra("star"):
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

WIDTH = 64
"""Channels at the full size of a frame, where most of the memory goes."""
START_UP = TEMPORAL - 1
"""Frames that the decoder makes before the first one that means something: latent 0 stands for one frame, not four."""


class MemBlock(nn.Module):
    """A residual block of images that sees the image before, too: relu(x_t + convolutions(x_t, x_{t-1}))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(conv3(2 * width, width), nn.ReLU(inplace=True)),
            *(conv3(width, width), nn.ReLU(inplace=True)),
            conv3(width, width),
        )

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """x (B T, C, H, W), the steps of a world in a row, and the step before them (B, C, H, W) -> like x."""
        count, width, *size = x.shape
        pairs = torch.empty(
            (count, 2 * width, *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
        )
        pairs[:, :width] = x
        before = pairs[:, width:].unflatten(0, (len(memory), -1))
        before[:, 0] = memory
        before[:, 1:] = x.unflatten(0, (len(memory), -1))[:, :-1]
        return F.relu_(self.conv(pairs).add_(x))


class Pool(nn.Module):
    """Every `steps` consecutive images become one: a 1x1 convolution of their stacked channels."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(steps * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        stacked = x.unflatten(0, (-1, self.steps)).flatten(1, 2)
        return self.conv(stacked.contiguous(memory_format=torch.channels_last))


class Grow(nn.Module):
    """Every image becomes `steps` consecutive ones of twice its size: a 1x1 convolution, nearest-neighbour.

    The network is defined the other way round, size first; the two commute, and this way costs a quarter.
    """

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(width, steps * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        images = self.conv(x).unflatten(1, (self.steps, -1)).flatten(0, 1)
        return F.interpolate(images.contiguous(memory_format=torch.channels_last), scale_factor=2, mode="nearest")


class SoftClamp(nn.Module):
    """Latents into (-3, 3)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Taehv(nn.Module):
    """The network and its coding of whole clips in [0, 1]; `TaehvCodec` makes streams of it."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv3(3, WIDTH), nn.ReLU(inplace=True)]
        for steps in (2, 2, 1):
            layers += [
                Pool(WIDTH, steps),
                conv3(WIDTH, WIDTH, stride=2, bias=False),
                *(MemBlock(WIDTH) for _ in range(3)),
            ]
        self.encoder = nn.Sequential(*layers, conv3(WIDTH, CHANNELS))

        layers = [SoftClamp(), conv3(CHANNELS, 256), nn.ReLU(inplace=True)]
        for width, after, steps in ((256, 128, 1), (128, WIDTH, 2), (WIDTH, WIDTH, 2)):
            layers += [MemBlock(width) for _ in range(3)]
            # Released files number the doubling of the size as a layer of its own, without weights.
            layers += [nn.Identity(), Grow(width, steps), conv3(width, after, bias=False)]
        self.decoder = nn.Sequential(*layers, nn.ReLU(inplace=True), conv3(WIDTH, 3))

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> "Taehv":
        """The released network in `path` (.safetensors or .pth), of any float type, as `dtype` on `device`.

        Raises FileNotFoundError for a file that is not there, WeightsError for one that cannot be read or does not fit.
        """
        with torch.device("meta"):
            network = cls()
        weights = {name: weight.to(dtype) for name, weight in read_weights(path).items()}
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
        for piece in video.split(TEMPORAL * max(1, WORKSPACE // elements(video)), dim=1):
            latents, past = self.encode_steps(hold(piece.to(self.dtype), -piece.shape[1] % TEMPORAL), past)
            pieces.append(latents)
        return torch.cat(pieces, dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, n, 16, h, w) -> their clip (B, 1 + 4 (n - 1), 3, 8h, 8w) in [0, 1]. Raises ValueError for another
        shape."""
        check_latents(latents)
        pieces: list[Tensor] = []
        past: Stream = ()
        for piece in latents.split(max(1, WORKSPACE // elements(latents, SPATIAL)), dim=1):
            frames, past = self.decode_steps(piece.to(self.dtype), past)
            pieces.append(frames)
        return torch.cat(pieces, dim=1)[:, START_UP:]

    @torch.no_grad()
    def encode_steps(self, frames: Tensor, past: Stream = (), *, ahead: int = 0) -> tuple[Tensor, Stream]:
        """Frames (B, 4 n, 3, H, W) in [0, 1] after `past` -> n latents, and the past of what follows them.

        ahead: the last latents that the past leaves out, because their frames are not what will have happened.
        """
        count = frames.shape[1] // TEMPORAL
        kept = Fraction(count - ahead, count)
        return in_turns(partial(_run, self.encoder, kept=kept), frames, past, count * elements(frames))

    @torch.no_grad()
    def decode_steps(self, latents: Tensor, past: Stream = ()) -> tuple[Tensor, Stream]:
        """Latents (B, n, 16, h, w) after `past` -> 4 n frames in [0, 1], and the past of what follows them."""
        size = latents.shape[1] * elements(latents, SPATIAL)
        frames, past = in_turns(partial(_run, self.decoder), latents, past, size)
        return frames.clamp_(0, 1), past

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

    def decode(self, latents: Tensor, stream: Stream | None) -> tuple[Tensor, Stream]:
        check_latents(latents)
        frames, past = self.network.decode_steps(latents.to(self.network.dtype), stream or ())
        return frames[:, START_UP if stream is None else 0 :] * 2 - 1, past


def conv3(inputs: int, outputs: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


def hold(frames: Tensor, count: int) -> Tensor:
    """Frames (B, T, ...) with the last one `count` times more."""
    return torch.cat([frames, frames[:, -1:].expand(-1, count, *[-1] * (frames.ndim - 2))], dim=1)


def elements(x: Tensor, scale: int = 1) -> int:
    """Of the network's largest tensor, for one latent of images (..., H, W) whose frames are `scale` times as large."""
    return TEMPORAL * WIDTH * x.shape[-2] * x.shape[-1] * scale**2


def _run(layers: nn.Sequential, x: Tensor, past: Stream, kept: Fraction = Fraction(1)) -> tuple[Tensor, Stream]:
    """x (B, T, C, H, W) through the layers -> (B, T', C', H', W'), and each MemBlock's last input of the `kept` part of
    time (from the beginning)."""
    worlds, memories, remembered = len(x), iter(past), []
    x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    for layer in layers:
        if isinstance(layer, MemBlock):
            steps = x.unflatten(0, (worlds, -1))
            memory = next(memories) if past else torch.zeros_like(steps[:, 0])
            end = int(steps.shape[1] * kept)
            remembered.append(steps[:, end - 1].clone(memory_format=torch.channels_last) if end else memory)
            x = layer(x, memory)
        else:
            x = layer(x)
    return x.unflatten(0, (worlds, -1)), tuple(remembered)


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
