"""Worlds that no stream shows, looked at while a network trains: how near to the truth, and what it looks like.

psnr          of every pixel, against the true target
psnr holes    of the pixels that are holes in the render
picture       a row each: source, render, what was made, truth; at a few moments of every clip
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from inspatio_gym.evaluation.images import psnr
from inspatio_gym.star.taehv import TaehvCodec
from inspatio_gym.training.world.clips import ClipPlan, Pairs, pairs
from inspatio_gym.training.world.latents import coded

WORLDS = (900, 1000)  # seeds, from the first to before the second
COUNT = 6
MOMENTS = 3  # frames of a clip in the picture, from its first to its last


def held_out(plan: ClipPlan, device: str) -> Pairs:
    """`COUNT` pairs of clips like those of a plan, each of another world that no training shows."""
    drawn = next(pairs(replace(plan, worlds=WORLDS), COUNT * plan.clips, device))
    return Pairs(*(part[:: plan.clips].contiguous() for part in drawn))


class HeldOut:
    """Clips with their truth, as frames (`clips`) and as latents (`coded`); codec: for both directions."""

    def __init__(self, clips: Pairs, codec: TaehvCodec):
        self.clips, self.codec, self.coded = clips, codec, coded(clips, codec)

    def decoded(self, latents: Tensor) -> Tensor:
        """Latents (B, n, 16, h, w) as frames uint8 (B, F, 3, H, W)."""
        with torch.no_grad():
            video, _ = self.codec.decode(latents, None)
        return ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def judge(self, latents: Tensor) -> tuple[dict[str, float], Tensor]:
        """Figures and the picture, uint8 (3, H, W), of latents (B, n, 16, h, w) that stand for the targets."""
        made = self.decoded(latents)
        shown, true = (video.movedim(2, -1).cpu().numpy() for video in (made, self.clips.target))
        holes = ~self.clips.mask[:, :, 0].cpu().numpy()
        figures = {"psnr": psnr(shown, true)}
        if holes.any():
            figures["psnr holes"] = psnr(shown, true, holes)
        return figures, sheet([self.clips.source, self.clips.render, made, self.clips.target])


def sheet(rows: list[Tensor]) -> Tensor:
    """Videos uint8 (B, F, 3, H, W), one a row, as one picture (3, H', W')."""
    at = np.linspace(0, rows[0].shape[1] - 1, MOMENTS).round().astype(int).tolist()
    return torch.cat([torch.cat([*video[:, at].flatten(0, 1)], 2) for video in rows], 1).cpu()
