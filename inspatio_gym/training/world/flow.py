"""Flow matching: what a network is taught at a noise level, and what its answer says.

    level        sigma = timestep / 1000 of one of the 1000 training steps, drawn evenly; they are shifted up (`Schedule`)
    shown        noisy = (1 - sigma) clean + sigma noise
    asked        flow  = noise - clean
    loss         mean (answer - flow)^2, every step weighing the same
    read off     clean = noisy - sigma flow
    guidance     conditional + g (conditional - null), g = 3; of flows or of clean latents: one follows from the other

Scores are asked at levels within [0.02, 0.98] alone: a draw beyond is moved to the end. At sigma = 0 there is nothing to
tell two distributions apart by, at sigma = 1 nothing that tells them apart.

Ref: Lipman et al., "Flow Matching for Generative Modeling"; Ho and Salimans, "Classifier-Free Diffusion Guidance".
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inspatio_gym.star.schedule import TRAINING_STEPS, Schedule, to_clean, to_noisy

GUIDANCE = 3.0
LOWEST, HIGHEST = 0.02, 0.98  # noise levels at which a score is asked

Predict = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents (B, ...) and timesteps (B,) -> flow (B, ...)."""


def score_timesteps(schedule: Schedule, device: torch.device | str = "cpu") -> Tensor:
    """The training steps' timesteps (1000,), those beyond the levels at which scores are asked moved to the ends."""
    return schedule.training_timesteps(device).clamp(TRAINING_STEPS * LOWEST, TRAINING_STEPS * HIGHEST)


def draw_timesteps(among: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the timesteps (N,), evenly, on the generator's device."""
    chosen = torch.randint(len(among), (count,), generator=generator, device=generator.device)
    return among.to(generator.device)[chosen]


def draw_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal numbers, float32, on the generator's device."""
    return torch.randn(*shape, generator=generator, device=generator.device)


def flow_loss(
    predict: Predict, clean: Tensor, schedule: Schedule, generator: torch.Generator, among: Tensor | None = None
) -> Tensor:
    """The loss of `predict` on clean latents (B, ...), one level a sample; a scalar, float32.

    among: timesteps (N,) out of which levels are drawn; left out, those of all training steps.
    """
    clean = clean.float()
    levels = schedule.training_timesteps(generator.device) if among is None else among
    timestep = draw_timesteps(levels, len(clean), generator).to(clean.device)
    noise = draw_noise(clean.shape, generator).to(clean.device)
    noisy = to_noisy(clean, noise, timestep / TRAINING_STEPS)
    return functional.mse_loss(predict(noisy, timestep).float(), noise - clean)


def predict_clean(predict: Predict, noisy: Tensor, timestep: Tensor) -> Tensor:
    """The clean latents (B, ...) that the flow at timesteps (B,) points to."""
    return to_clean(noisy, predict(noisy, timestep), timestep / TRAINING_STEPS)


def guided(conditional: Predict, null: Predict, scale: float = GUIDANCE) -> Predict:
    """The flow with classifier-free guidance; a scale of 0 is the conditional one."""

    def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
        told = conditional(noisy, timestep)
        return told + scale * (told - null(noisy, timestep))

    return predict
