"""Stage 2, the teachers: bidirectional networks over whole clips, which the student is distilled from.

    control    what the target camera sees, given reference and condition     synthetic pairs, styles "plain" and "camera"
    visual     a video out of nothing but its style                           films of the real-like family, "camera"

Both learn by flow matching, without a prompt in a tenth of the clips, so that they can be guided. The control teacher learns
the text table, too, unless that is at rest; the visual one, trained after it, takes it as it is.

A teacher by itself samples by Euler steps down the levels, x' = x + (sigma' - sigma) flow.

Ref: Lipman et al., "Flow Matching for Generative Modeling"; Ho and Salimans, "Classifier-Free Diffusion Guidance".
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from inspatio_gym.star.schedule import TRAINING_STEPS, Schedule
from inspatio_gym.training.world.conditions import Conditions, joint
from inspatio_gym.training.world.flow import Predict, draw_noise, flow_loss
from inspatio_gym.training.world.looks import sheet
from inspatio_gym.training.world.networks import FILMED, PromptedStage, dropped
from inspatio_gym.training.world.stage import autocast

SAMPLED = 24  # steps of a teacher's own sampling


class ControlStage(PromptedStage):
    """Trains the control teacher, from nothing."""

    name, place = "control", 2

    def step(self, number: int, done: float) -> Mapping[str, Tensor]:
        draw = self.draw(number)
        known, clean = self.pool.pairs(self.batch, self.lots(number))
        network = self.network
        if not network.table.rows.requires_grad:  # at rest: the one that others were given, which is the averaged one
            network.table.load_state_dict(self.averaged.table.state_dict())
        with autocast(clean.device):
            predict = joint(network.dit, network.table(dropped(known.style, draw)), known)
            loss = flow_loss(predict, clean, Schedule(), draw)
        return self.learn(loss, number)

    def look(self) -> tuple[dict[str, float], Tensor]:
        known = self.held_out.coded.conditions
        with torch.no_grad(), autocast(known.condition.device):
            predict = joint(self.averaged.dit, self.averaged.table(known.style), known)
            made = sample(predict, draw_noise(known.shape, self.draw(0)))
        return self.held_out.judge(made)


class VisualStage(PromptedStage):
    """Trains the visual teacher, from nothing but the text table, which has to be at rest."""

    name, place = "visual", 3

    def step(self, number: int, done: float) -> Mapping[str, Tensor]:
        draw = self.draw(number)
        clean = self.pool.films(self.batch, self.lots(number))
        styles = dropped(torch.full((len(clean),), FILMED, device=clean.device), draw)
        with autocast(clean.device):
            predict = joint(self.network.dit, self.network.table(styles), filmed(styles, clean))
            loss = flow_loss(predict, clean, Schedule(), draw)
        return self.learn(loss, number)

    def look(self) -> tuple[dict[str, float], Tensor]:
        like = self.held_out.coded.clean
        styles = torch.full((len(like),), FILMED, device=like.device)
        with torch.no_grad(), autocast(like.device):
            predict = joint(self.averaged.dit, self.averaged.table(styles), filmed(styles, like))
            made = sample(predict, draw_noise(like.shape, self.draw(0)))
        return {"deviation": float(made.std())}, sheet([self.held_out.decoded(made)])


def filmed(styles: Tensor, like: Tensor) -> Conditions:
    """What the visual task knows of clips of the size of the latents `like` (B, n, 16, h, w): their styles (B,)."""
    return Conditions.visual(styles, like.shape[1], *like.shape[3:])


def sample(predict: Predict, noise: Tensor, steps: int = SAMPLED) -> Tensor:
    """Clean latents like `noise`, by Euler steps through the levels of the schedule."""
    shift = Schedule().shift
    u = torch.linspace(1, 0, steps + 1, device=noise.device)
    levels = shift * u / (1 + (shift - 1) * u)
    x = noise
    for level, following in pairwise(levels):
        x = x + (following - level) * predict(x, (TRAINING_STEPS * level).expand(len(x)))
    return x
