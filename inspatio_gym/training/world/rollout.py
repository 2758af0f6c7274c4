"""The student's own rollouts, and a gradient through them that never holds more than one block's graph.

A rollout is what the sampler would make (`schedule.sample_block`), but for where it ends: all blocks are denoised from
step 0 to the exit step s, and the clean latents read off at s are the block. With s drawn at random, all four answers
are taught, and every block sees pasts as good and as bad as its own.

    context of block b    [reference latents of b, latents of block b - 1], at timestep 0, rotary frames 0 .. 5
    block b               rotary frames 6 .. 8, sees the context and itself
    without a reference   the past stays where it is, at 3 .. 5: origins never move

Back-propagation is chunk-wise, and a chunk is a block. The rollout is made twice: as a whole without gradient, which
is what the critics judge; then block by block with gradient, each block's graph being freed before the next is made:

    x_b = f(noise_b, x_{b-1} held fixed; theta)         dL/dtheta = sum over b of  (dx_b / dtheta)' dL/dx_b

Our reading of chunk-wise: gradient does not cross from a block into the latents of the one before, so the sum equals
the gradient of the full graph with contexts detached. It does flow through the building of the cache: the keys and values
that a block finds in its context depend on the weights. Of the steps, only the exit step has gradient. Whether gradient
crosses chunks in the published recipe is not known; that building the cache is included is.

Ref: Huang et al., "Self Forcing: Bridging the Train-Test Gap in Autoregressive Video Diffusion" (rollouts in training,
random exit step).
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from inspatio_gym.star.dit import Dit, Text
from inspatio_gym.star.schedule import Schedule, sample_block, to_clean, to_noisy
from inspatio_gym.training.world.conditions import Conditions

BLOCK = 3  # latent frames
TOLERANCE = 0.02
"""How far the two passes may be apart on a GPU, of their norm: five roundings of bfloat16. On the CPU they are equal."""


@torch.no_grad()
def rollout(
    dit: Dit,
    text: Text,
    conditions: Conditions,
    noise: Tensor,
    renoise: Tensor,
    exit_step: int,
    schedule: Schedule,
    block: int = BLOCK,
) -> Tensor:
    """Latents (B, n, 16, h, w), float32, of all blocks, each as it was at the exit step (0 is the first); no gradient.

    noise: (B, n, 16, h, w), where blocks begin. renoise: (B, steps - 1, n, 16, h, w), the fresh noise between steps.
    Raises ValueError if n is no whole number of blocks.
    """
    done: list[Tensor] = []
    for part in _parts(noise.shape[1], block):
        given = conditions.part(part), done[-1] if done else None, noise[:, part], renoise[:, :, part]
        done.append(_denoised(dit, text, *given, exit_step, schedule))
    return torch.cat(done, 1)


def backward_in_chunks(
    dit: Dit,
    text: Text,
    conditions: Conditions,
    noise: Tensor,
    renoise: Tensor,
    exit_step: int,
    gradient: Tensor,
    rolled: Tensor,
    schedule: Schedule,
    block: int = BLOCK,
) -> None:
    """Add to the weights' gradients what dL/dx = `gradient` (B, n, 16, h, w) at the latents `rolled` makes of them.

    text: of `dit.read`, with its graph, which is used up. rolled: of `rollout`, with the same arguments. Raises
    RuntimeError where a block of the second pass is not that of the first.
    """
    leaves = Text(*(t.detach().requires_grad_() for t in text.pair))  # blocks share it, and each frees its graph
    previous = None
    for part in _parts(noise.shape[1], block):
        given = conditions.part(part), previous, noise[:, part], renoise[:, :, part]
        clean = _denoised(dit, leaves, *given, exit_step, schedule)
        _check(clean.detach(), rolled[:, part], part)
        clean.backward(gradient[:, part])
        previous = rolled[:, part]
    torch.autograd.backward(text.pair, [leaf.grad for leaf in leaves.pair])


def _denoised(
    dit: Dit,
    text: Text,
    conditions: Conditions,
    previous: Tensor | None,
    noise: Tensor,
    renoise: Tensor,
    exit_step: int,
    schedule: Schedule,
) -> Tensor:
    """One block as it is at the exit step; all arguments are those of this block."""
    context = [latents for latents in (conditions.reference, previous) if latents is not None]
    origin = noise.shape[1] if conditions.reference is None else 0
    cache = dit.attended(torch.cat(context, 1) if context else None, text, origin)
    timestep = schedule.timesteps(noise.device)[exit_step : exit_step + 1]
    sigma = schedule.sigma(timestep)
    x = noise
    if exit_step:
        with torch.no_grad():
            before = replace(schedule, steps=schedule.steps[:exit_step])
            clean = sample_block(dit, conditions.condition, noise, renoise, cache, text, before)
            x = to_noisy(clean, renoise[:, exit_step - 1], sigma)
    return to_clean(x, dit.denoise(x, conditions.condition, timestep.expand(len(x)), cache, text), sigma)


def _parts(frames: int, block: int) -> Iterator[slice]:
    if frames % block:
        raise ValueError(f"expected a multiple of {block} latent frames, got {frames}: cut the clip to whole blocks")
    return (slice(first, first + block) for first in range(0, frames, block))


def _check(again: Tensor, before: Tensor, part: slice) -> None:
    apart = float((again - before).norm() / before.norm())
    allowed = 0.0 if again.device.type == "cpu" else TOLERANCE
    if apart > allowed:  # what is not finite passes: it shows in the gradients, which are for the caller to judge
        raise RuntimeError(
            f"expected latent frames {part.start}..{part.stop - 1} to be within {allowed:.0%} of those of the first pass, got "
            f"{apart:.2%}: pass the same weights, text, conditions and noise to rollout and backward_in_chunks"
        )
