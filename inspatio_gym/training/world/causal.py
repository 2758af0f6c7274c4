"""Stage 3, the student learns to see the past alone: a block at a time, begun from the control teacher's weights.

    shown        block b, noised; its condition; context = true reference of b, true block b - 1, at timestep 0
    asked        its flow
    origins      context at rotary frames 0 .. 5, the block at 6 .. 8, always

    first part   teacher forcing: any of the 1000 training steps
    second       the four steps that are sampled, which is all that the student will ever be asked

All conditions are on; every block of a clip has a noise level of its own. The past is the truth here; what the student
makes of its own past is what distillation teaches.

Ref: Yin et al., "From Slow Bidirectional to Fast Autoregressive Video Diffusion Models" (causal initialisation before
distillation); Huang et al., "Self Forcing".
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from inspatio_gym.star.schedule import Schedule
from inspatio_gym.training.world.conditions import Conditions
from inspatio_gym.training.world.flow import draw_noise, flow_loss
from inspatio_gym.training.world.networks import Prompted, PromptedStage
from inspatio_gym.training.world.rollout import BLOCK, rollout
from inspatio_gym.training.world.stage import autocast

FORCED = 0.6  # of the stage: at all training steps


class CausalStage(PromptedStage):
    """Makes a student of the control teacher; the text table has to be at rest."""

    name, place = "causal", 4

    def step(self, number: int, done: float) -> Mapping[str, Tensor]:
        draw = self.draw(number)
        known, clean = self.pool.pairs(self.batch, self.lots(number))
        schedule = Schedule()
        with autocast(clean.device):
            among = None if done < FORCED else schedule.timesteps(clean.device)
            loss = forcing_loss(self.network, known, clean, schedule, draw, among)
        return self.learn(loss, number)

    def look(self) -> tuple[dict[str, float], Tensor]:
        known = self.held_out.coded.conditions
        return self.held_out.judge(rolled_out(self.averaged, known, self.draw(0)))


def forcing_loss(
    network: Prompted,
    known: Conditions,
    clean: Tensor,
    schedule: Schedule,
    draw: torch.Generator,
    among: Tensor | None = None,
) -> Tensor:
    """The flow-matching loss of every block of clean latents (B, n, 16, h, w), given the truth before it; a scalar.

    among: timesteps that levels are drawn from, as of `flow_loss`. Blocks are a batch: the first ones, which have no past,
    and all others.
    """
    assert known.reference is not None
    reference, condition, true = (x.unflatten(1, (-1, BLOCK)) for x in (known.reference, known.condition, clean))
    later = true.shape[1] - 1
    loss = _loss(network, reference[:, 0], condition[:, 0], true[:, 0], known.style, schedule, draw, among)
    if later:
        context = torch.cat((reference[:, 1:], true[:, :-1]), 2).flatten(0, 1)
        styles = known.style.repeat_interleave(later)
        blocks = condition[:, 1:].flatten(0, 1), true[:, 1:].flatten(0, 1)
        loss = loss + later * _loss(network, context, *blocks, styles, schedule, draw, among)
    return loss / (1 + later)


def _loss(
    network: Prompted,
    context: Tensor,
    condition: Tensor,
    clean: Tensor,
    styles: Tensor,
    schedule: Schedule,
    draw: torch.Generator,
    among: Tensor | None,
) -> Tensor:
    text = network.read(styles)
    cache = network.dit.attended(context, text)
    return flow_loss(lambda x, t: network.dit.denoise(x, condition, t, cache, text), clean, schedule, draw, among)


def rolled_out(network: Prompted, known: Conditions, draw: torch.Generator) -> Tensor:
    """The clips (B, n, 16, h, w) that a student samples under conditions, all four steps of every block."""
    schedule, shape = Schedule(), known.shape
    last = len(schedule.steps) - 1
    noise, renoise = draw_noise(shape, draw), draw_noise((shape[0], last, *shape[1:]), draw)
    with torch.no_grad(), autocast(noise.device):
        return rollout(network.dit, network.read(known.style), known, noise, renoise, last, schedule)
