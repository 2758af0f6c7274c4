"""What a network is told about a clip beside its noise: of a task with a source video, and of one without.

    control    reference: latents of the source; condition: mask and render, the source seen from the target cameras
    visual     no reference, all 20 condition channels zero: a video out of nothing but its style

style is a row of the text table, which stands for a prompt.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from inspatio_gym.star.dit import CONDITION_CHANNELS, LATENT_CHANNELS, Dit
from inspatio_gym.training.world.flow import Predict


class Conditions(NamedTuple):
    """reference: (B, n, 16, h, w) or None. condition: (B, n, 20, h, w). style: int64 (B,)."""

    reference: Tensor | None
    condition: Tensor
    style: Tensor

    @classmethod
    def visual(cls, style: Tensor, frames: int, height: int, width: int) -> Self:
        """Clips of `frames` latents of a size, in the styles (B,), without a source."""
        return cls(None, torch.zeros(len(style), frames, CONDITION_CHANNELS, height, width, device=style.device), style)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the latents that they are conditions of: (B, n, 16, h, w)."""
        return *self.condition.shape[:2], LATENT_CHANNELS, *self.condition.shape[3:]

    def part(self, frames: slice) -> Self:
        """Of these latent frames alone."""
        reference = None if self.reference is None else self.reference[:, frames]
        return self._replace(reference=reference, condition=self.condition[:, frames])


def joint(dit: Dit, prompt_embeds: Tensor, conditions: Conditions) -> Predict:
    """`dit` as a bidirectional network over whole clips, under prompts (B, L, text_dim) and conditions."""
    text = dit.read(prompt_embeds)
    return lambda noisy, timestep: dit.joint(noisy, conditions.condition, timestep, text, conditions.reference)
