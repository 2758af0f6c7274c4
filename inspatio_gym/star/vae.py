"""The Wan VAE as a codec: the network of diffusers, with its past in the caller's stream instead of in the module.

    encode   frames (B, T, 3, H, W) in [-1, 1] -> posterior mode (B, t, 16, H/8, W/8) -> (mode - mean) / std
    decode   latents * std + mean -> frames, clamped to [-1, 1]

mean and std are per channel and stand in the network's configuration. A latent at a time goes through: its 4 frames, or
the one of a stream's first. Each convolution over time remembers the last frames of its input, kernel - stride of them: a
stream is those, (B, C, frames, h, w), in the order in which they are used. Before the beginning they are zero.

Ref: Wan Team, "Wan: Open and Advanced Large-Scale Video Generative Models", 2025.
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from inspatio_gym.checkpoints.locate import expect_diffusers_folder
from inspatio_gym.checkpoints.weights import load_strictly, read_weights
from inspatio_gym.extras import extra
from inspatio_gym.star.codec import CHANNELS, SPATIAL, TEMPORAL, Stream, check_frames, check_latents, in_turns

with extra("star"):
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"


class WanVae:
    """Both ends of the codec protocol. Sessions share it: nothing of a stream stays behind in the network, which is diffusers'
    `AutoencoderKLWan`.

    Its memory is long: 39 latents for the released size, 29 of them to encode.
    """

    name = "wan-vae"

    def __init__(self, network: Any) -> None:
        self.network = network.requires_grad_(False).eval()
        self._mean, self._std = (
            torch.tensor(values, device=network.device).view(CHANNELS, 1, 1)
            for values in (network.config.latents_mean, network.config.latents_std)
        )

    @classmethod
    def load(
        cls, folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> "WanVae":
        """The VAE in a folder as diffusers lays it out, or in the folder `vae` of a whole pipeline.

        Raises FileNotFoundError for a missing file, ValueError for a configuration that is not the Wan VAE's, and
        WeightsError (a ValueError) for weights that cannot be read or do not fit.
        """
        folder = expect_diffusers_folder(folder, "vae")
        config, path = read_config(folder / CONFIG), folder / WEIGHTS
        with extra("star"):
            from diffusers import AutoencoderKLWan
        with torch.device("meta"):
            network = AutoencoderKLWan.from_config(config)
        load_strictly(network, {name: weight.to(dtype) for name, weight in read_weights(path).items()}, path)
        return cls(network.to(device))

    @property
    def receptive_latents(self) -> int:
        encoder, decoder = self.network.encoder, self.network.decoder
        return max(_reach(encoder, Fraction(1, TEMPORAL)), _reach(decoder, Fraction(1)))

    @torch.no_grad()
    def encode(self, frames: Tensor, stream: Stream | None) -> tuple[Tensor, Stream]:
        check_frames(frames, stream)
        dtype = self.network.dtype
        x = frames.to(dtype).transpose(1, 2)
        pieces = [1] * (stream is None) + [TEMPORAL] * (x.shape[2] // TEMPORAL)
        moments, stream = in_turns(
            partial(_through, self.network.encoder, pieces), x, stream or (), self._elements(frames)
        )
        mode = self.network.quant_conv(moments)[:, :CHANNELS].transpose(1, 2)
        return ((mode - self._mean) / self._std).to(dtype), stream

    @torch.no_grad()
    def decode(self, latents: Tensor, stream: Stream | None, last: int | None = None) -> tuple[Tensor, Stream]:
        check_latents(latents)
        z = (latents * self._std + self._mean).to(self.network.dtype).transpose(1, 2)
        z = self.network.post_quant_conv(z)
        elements = self._elements(latents) * SPATIAL**2
        frames, stream = in_turns(partial(_through, self.network.decoder, [1] * z.shape[2]), z, stream or (), elements)
        return frames.transpose(1, 2)[:, -(last or 0) :].clamp_(-1, 1), stream

    def _elements(self, x: Tensor) -> int:
        """Of the network's largest tensor, a latent's frames of this size with twice the base width."""
        return TEMPORAL * 2 * self.network.config.base_dim * x.shape[-2] * x.shape[-1]


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a VAE. Raises ValueError if it is not the Wan VAE's."""
    try:
        config = json.loads(path.read_text())
        scale = (2 ** (len(config["dim_mult"]) - 1), 2 ** sum(config["temperal_downsample"]), config["z_dim"])
    except (ValueError, KeyError, TypeError) as problem:
        raise ValueError(f"expected the configuration of a Wan VAE in {path}, got {problem!r}") from None
    if scale != (SPATIAL, TEMPORAL, CHANNELS):
        raise ValueError(
            f"expected a VAE of {SPATIAL} pixels, {TEMPORAL} frames and {CHANNELS} channels a latent, got {scale} in {path}: "
            "the one of Wan 2.1 is wanted"
        )
    return config


def _through(network: nn.Module, pieces: Sequence[int], x: Tensor, past: Stream) -> tuple[Tensor, Stream]:
    """x (B, C, T, h, w) through encoder or decoder, so many steps at a time, after `past` (() at the beginning)."""
    convolutions, outputs = _over_time(network), []
    for piece in x.split(pieces, dim=2):
        caches: list[Any] = list(past) or [None] * len(convolutions)
        outputs.append(network(piece, feat_cache=caches, feat_idx=[0]))
        settled: list[Tensor] = []
        for convolution, cache in zip(convolutions.values(), caches, strict=True):
            frames = convolution.kernel_size[0] - convolution.stride[0]
            if not isinstance(cache, torch.Tensor):
                # Skipped for the first latent: it has seen zeros, in the shape of the convolution's before it.
                cache = torch.zeros_like(settled[-1])
            # After one step the network keeps one frame and takes the other for zero.
            settled.append(F.pad(cache, (0, 0, 0, 0, frames - cache.shape[2], 0)) if cache.shape[2] < frames else cache)
            assert settled[-1].shape[1:3] == (convolution.in_channels, frames), "another order of convolutions"
        past = tuple(settled)
    return torch.cat(outputs, dim=2), past


def _over_time(network: nn.Module) -> dict[str, nn.Conv3d]:
    """The convolutions that reach into the past, by name, in the order in which they are used."""
    modules = network.named_modules()
    return {name: module for name, module in modules if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1}


def _reach(network: nn.Module, span: Fraction) -> int:
    """Latents that the past of an encoder or decoder depends on; span: how many an input step lasts."""
    reach = Fraction(0)
    for name, convolution in _over_time(network).items():
        reach += (convolution.kernel_size[0] - 1) * span
        span *= convolution.stride[0]
        if convolution.out_channels == 2 * convolution.in_channels and name.endswith("time_conv"):
            span /= 2  # two steps, side by side in the channels
    return ceil(reach) + 1
