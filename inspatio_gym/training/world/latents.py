"""Clips as latents, coded once and drawn from many times: what all stages but the codec's learn from.

    source   (B, F, 3, H, W)  -->  reference  (B, n, 16, H/8, W/8)
    target                    -->  clean
    render                    -->  render     } condition = [mask latents, render latents], 20 channels
    mask     (B, F, 1, H, W)  -->  mask       (B, n, 4, H/8, W/8)
    film                      -->  film       real-like, shown to the visual teacher

coded block by block, as a stream is while a world is stepped (`StarModel`), because that is what the student will be shown.
F = 1 + 4 (n - 1) frames in blocks of 9, 12, 12, ...; n a multiple of 3. Kept in bfloat16.
"""

from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from inspatio_gym.star.codec import TEMPORAL, Encoder, Stream
from inspatio_gym.star.mask import mask_latents
from inspatio_gym.training.world.clips import ClipPlan, Pairs, films, pairs
from inspatio_gym.training.world.conditions import Conditions
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.rollout import BLOCK

FIRST = 1 + TEMPORAL * (BLOCK - 1)  # frames of the first block


class Footage(NamedTuple):
    """The fields of `Pairs`, and a real-like film beside each: uint8 (B, F, 3, H, W)."""

    source: Tensor
    target: Tensor
    render: Tensor
    mask: Tensor
    style: Tensor
    film: Tensor


class Coded(NamedTuple):
    """Latents (B, n, 16, h, w), of the mask (B, n, 4, h, w), all bfloat16; style: int64 (B,)."""

    reference: Tensor
    clean: Tensor
    render: Tensor
    mask: Tensor
    style: Tensor
    film: Tensor

    @property
    def conditions(self) -> Conditions:
        """What the control task knows."""
        return Conditions(self.reference.float(), torch.cat((self.mask, self.render), 2).float(), self.style)


class LatentPool(Pool[Coded]):
    """Pairs and films as latents."""

    def pairs(self, count: int, generator: torch.Generator) -> tuple[Conditions, Tensor]:
        """Of `count` clips what is known, and the clean latents (B, n, 16, h, w) of the target, float32."""
        drawn = self.draw(count, generator)
        return drawn.conditions, drawn.clean.float()

    def films(self, count: int, generator: torch.Generator) -> Tensor:
        """Clean latents (B, n, 16, h, w) of `count` films, float32."""
        return self.draw(count, generator).film.float()


def footage(plan: ClipPlan, batch: int, device: str, workers: int, start: int) -> Generator[Footage, None, None]:
    """Endless batches of clips from the batch `start` on. workers: processes that make worlds ahead, shared by both."""
    with (
        closing(pairs(plan, batch, device, workers - workers // 3, start * batch)) as shown,
        closing(films(plan, batch, device, workers // 3, start * batch)) as filmed,
    ):
        for pair, film in zip(shown, filmed, strict=True):
            yield Footage(*pair, film)


def code(frames: Tensor, encoder: Encoder) -> Tensor:
    """Frames uint8 (B, F, 3, H, W) -> latents (B, n, 16, H/8, W/8), as a stream of blocks."""
    stream: Stream | None = None
    latents = []
    with torch.no_grad():
        for part in _blocks(frames):
            block, stream = encoder.encode(part.float() / 127.5 - 1, stream)
            latents.append(block)
    return torch.cat(latents, 1)


def code_mask(mask: Tensor) -> Tensor:
    """Masks bool (B, F, 1, H, W), true where covered -> (B, n, 4, H/8, W/8)."""
    return torch.cat([mask_latents(part[:, :, 0].float() * 2 - 1, k == 0) for k, part in enumerate(_blocks(mask))], 1)


def coded(clips: Footage | Pairs, encoder: Encoder) -> Coded:
    """Clips as latents. Pairs have no film; their targets take its place."""
    filmed = clips.film if isinstance(clips, Footage) else clips.target
    videos = clips.source, clips.target, clips.render, filmed
    reference, clean, render, film = (code(video, encoder).bfloat16() for video in videos)
    return Coded(reference, clean, render, code_mask(clips.mask).bfloat16(), clips.style, film)


def _blocks(frames: Tensor) -> tuple[Tensor, ...]:
    """Clips (B, F, ...) in the blocks in which a world would be stepped through them."""
    later = TEMPORAL * BLOCK
    return frames.split([FIRST, *[later] * ((frames.shape[1] - FIRST) // later)], 1)
