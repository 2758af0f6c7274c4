"""From noise to a clean block in four steps, and the arithmetic between them.

A latent at noise level sigma is x = (1 - sigma) clean + sigma noise, and the network says flow = noise - clean, so

    clean    = x - sigma flow                            (float64)
    x'       = (1 - sigma') clean + sigma' fresh noise   (the next, lower level)

Of N = 1000 training steps, step s has u = s / N, and the flow shift 5 moves the levels up: sigma = 5 u / (1 + 4 u). The
timestep that the network is told is 1000 sigma: steps 1000, 750, 500, 250 are 1000, 937.5, 833.33, 625.

Ref: Lipman et al., "Flow Matching for Generative Modeling"; Esser et al., "Scaling Rectified Flow Transformers".
"""

from dataclasses import dataclass
from functools import lru_cache

from inspatio_gym.extras import extra
from inspatio_gym.star.cache import Cache, Text
from inspatio_gym.star.dit import Dit

with extra("star"):
    import torch
    from torch import Tensor

TRAINING_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which training steps are sampled, from noise down, and how far levels are shifted up."""

    steps: tuple[int, ...] = (1000, 750, 500, 250)
    shift: float = 5.0

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not falling or self.steps[0] > TRAINING_STEPS or self.steps[-1] < 1:
            raise ValueError(f"expected falling steps in 1..{TRAINING_STEPS}, got {self.steps}")

    def timesteps(self, device: torch.device | str = "cpu") -> Tensor:
        """What the network is told at each step: float32 (steps,), 1000 sigma."""
        return _timesteps(self.steps, self.shift, torch.device(device))

    def training_timesteps(self, device: torch.device | str = "cpu") -> Tensor:
        """The same of every training step from 1000 down to 1, float32 (1000,)."""
        return _timesteps(None, self.shift, torch.device(device))

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level (B,) of timesteps (B,): that of the nearest training step."""
        known = self.training_timesteps(timestep.device)
        return known[(known - timestep[:, None]).abs().argmin(1)] / TRAINING_STEPS


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept serves training, too, whoever asked first
def _timesteps(steps: tuple[int, ...] | None, shift: float, device: torch.device) -> Tensor:
    """Of some training steps, or of all; on the device they stay, since each copy to a GPU waits until that is idle."""
    u = torch.linspace(1.0, 0.0, TRAINING_STEPS + 1)[:-1]
    every = TRAINING_STEPS * (shift * u / (1 + (shift - 1) * u))
    return (every if steps is None else every[[TRAINING_STEPS - step for step in steps]]).to(device)


def to_clean(x: Tensor, flow: Tensor, sigma: Tensor) -> Tensor:
    """The clean latents (B, ...) that a flow (B, ...) at the noise levels sigma (B,) points to."""
    return (x.double() - _each(sigma, x) * flow.double()).to(x.dtype)


def to_noisy(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Clean latents and noise (B, ...) mixed at the noise levels sigma (B,)."""
    return ((1 - _each(sigma, clean)) * clean + _each(sigma, clean) * noise).to(clean.dtype)


def _each(sigma: Tensor, like: Tensor) -> Tensor:
    return sigma.double().view(-1, *[1] * (like.ndim - 1))


def sample_block(
    dit: Dit, condition: Tensor, noise: Tensor, renoise: Tensor, cache: Cache, text: Text, schedule: Schedule
) -> Tensor:
    """Denoise one block: clean latents (B, F, 16, H, W), float32.

    condition: (B, F, 20, H, W). noise: (B, F, 16, H, W), where it begins. renoise: (B, steps - 1, F, 16, H, W), the fresh
    noise between steps. cache, text: what the block attends to.
    """
    timesteps = schedule.timesteps(noise.device)
    sigmas = schedule.sigma(timesteps)
    x = noise
    for k, timestep in enumerate(timesteps):
        flow = dit.denoise(x, condition, timestep.expand(len(x)), cache, text)
        clean = to_clean(x, flow, sigmas[k : k + 1])
        if k + 1 < len(timesteps):
            x = to_noisy(clean, renoise[:, k], sigmas[k + 1 : k + 2])
    return clean
