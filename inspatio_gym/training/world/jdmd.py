"""Joint Distribution Matching Distillation: one student, taught by two teachers at once.

    task       what the student is given                  what its rollouts should be distributed like
    control    a source, a render, a mask                 the control teacher's: rendered pairs, the camera obeyed
    visual     a style alone                              the visual teacher's: films as a camera records them

    L = L_vis + lambda L_ctrl,   L_task = KL(student's rollouts || teacher's videos), both at all noise levels

The gradient of that divergence at a rollout x is a difference of scores, which two networks tell: the frozen teacher
(real) and a copy of it that is trained on the student's rollouts of this task (fake). A score is what denoising makes of
a noisy latent, s = ((1 - sigma) clean - noisy) / sigma^2, so that the difference is one of clean latents:

    noisy     = (1 - sigma) x + sigma noise,  sigma of a random training step, within [0.02, 0.98]
    gradient  = (fake - real) / mean |x - real|         ~  s_fake - s_real,  of one size at every noise level
    real      = clean latents by the teacher's flow with guidance: conditional + 3 (conditional - null)
    fake      = clean latents by the critic's flow, conditional

`Jdmd.step` is one iteration. For each task in turn: a rollout, one update of the task's critic by flow matching on it,
and in every fifth iteration the gradient above, sent back through the student block by block (`rollout`). Three traps:

    one optimizer a task       Adam divides a gradient by its size, and lambda with it. Here: one optimizer, stepped once
                               both tasks' gradients are added up.
    tasks in turn by parity    with an even number of critic updates the student would meet one task only. Here: both, always.
    a critic at rest           goes stale as the student moves. Here: every critic is updated in every iteration, so
                               five times for each update of the student.

All gradients of an iteration are made, averaged over processes and found finite before any weight changes. Random
numbers follow from (seed, task, process, number of the step), so networks and optimizers are all there is to keep.

Which of the numbers are the paper's and which are ours is in docs/training_world.md.

Ref: Yin et al., "One-step Diffusion with Distribution Matching Distillation" (the gradient, its normalisation) and
"Improved Distribution Matching Distillation for Fast Image Synthesis" (several critic updates for one of the student).
"""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from inspatio_gym.star.dit import Dit
from inspatio_gym.star.schedule import TRAINING_STEPS, Schedule, to_noisy
from inspatio_gym.training.world.conditions import Conditions, joint
from inspatio_gym.training.world.flow import (
    GUIDANCE,
    Predict,
    draw_noise,
    draw_timesteps,
    flow_loss,
    guided,
    predict_clean,
    score_timesteps,
)
from inspatio_gym.training.world.ranks import average_gradients, rank
from inspatio_gym.training.world.rollout import backward_in_chunks, rollout
from inspatio_gym.training.world.seeds import generator, lots

TASKS = ("control", "visual")
NULL = "null"  # the row of the text table that stands for no prompt
BETAS = (0.0, 0.999)
NORM = 10.0  # of a gradient, at most


@dataclass(frozen=True)
class JdmdConfig:
    """Numbers of the distillation; docs/training_world.md says whose they are."""

    control_weight: float = 1.0
    """Lambda: what the control task counts, where the visual task counts 1."""
    guidance: float = GUIDANCE
    """Of the teachers: conditional + this (conditional - null)."""
    critic_updates: int = 5
    """Of each task's critic for one update of the student."""
    student_rate: float = 1e-4
    """Learning rate of the student."""
    critic_rate: float = 1e-4
    """Learning rate of the critics."""
    average: float = 0.95
    """Of the averaged weights that stays at an update of the student."""
    seed: int = 0
    """Of noise, noise levels and exit steps."""


class Jdmd:
    """A student, its critics, and their optimizers.

    student: causal; trained in place. teachers: by task, "control" or "visual" or both; with one alone, this is plain
    distribution matching distillation. table: style rows int64 (B,), or names, -> prompt embeddings (B, L, text_dim); held fixed.

    networks: "student", "averaged" (what is played), and of each task "fake_<task>", begun as a copy of its teacher.
    optimizers: of all but the averaged. Both make up the whole state. Raises ValueError for an unknown task.
    """

    def __init__(
        self,
        student: Dit,
        teachers: Mapping[str, Dit],
        table: Callable[[Any], Tensor],
        config: JdmdConfig | None = None,
        schedule: Schedule | None = None,
    ):
        if not teachers or not set(teachers) <= set(TASKS):
            raise ValueError(f"expected teachers for tasks out of {TASKS}, got {tuple(teachers)}")
        self.config, self.schedule, self.table = config or JdmdConfig(), schedule or Schedule(), table
        self.teachers = {task: teachers[task].requires_grad_(False) for task in TASKS if task in teachers}
        self.networks: dict[str, Dit] = {"student": student.requires_grad_(True)}
        self.networks |= {f"fake_{task}": deepcopy(one).requires_grad_(True) for task, one in self.teachers.items()}
        self.optimizers = {
            name: torch.optim.AdamW(
                network.parameters(),
                self.config.student_rate if name == "student" else self.config.critic_rate,
                BETAS,
            )
            for name, network in self.networks.items()
        }
        self.networks["averaged"] = deepcopy(student).requires_grad_(False)

    def step(self, number: int, batches: Mapping[str, Conditions]) -> dict[str, float]:
        """Iteration `number`, from 0, on a batch of conditions for each task; losses and norms by name.

        Raises ValueError for a batch too many or too few, FloatingPointError where anything is not finite; no weight has
        changed then.
        """
        if set(batches) != set(self.teachers):
            raise ValueError(f"expected a batch for each of {tuple(self.teachers)}, got {tuple(batches)}")
        due = (number + 1) % self.config.critic_updates == 0
        moved = [f"fake_{task}" for task in self.teachers] + ["student"] * due
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        found: dict[str, Tensor] = {}
        for task in self.teachers:
            found |= self._gradients(task, number, batches[task], due)
        for name in moved:
            average_gradients(self.networks[name].parameters())
            found[f"gradient_norm/{name}"] = clip_grad_norm_(self.networks[name].parameters(), NORM)
        values = dict(zip(found, torch.stack([*found.values()]).tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise FloatingPointError(
                f"expected finite losses and gradients in step {number}, got {values}: no weight was changed; go on from "
                "the last checkpoint with a lower learning rate"
            )
        for name in moved:
            self.optimizers[name].step()
        if due:
            self._average()
        return values

    def _gradients(self, task: str, number: int, conditions: Conditions, due: bool) -> dict[str, Tensor]:
        """Add to the gradients of the task's critic and, if it is due, of the student."""
        student, fake, schedule = self.networks["student"], self.networks[f"fake_{task}"], self.schedule
        draw = generator(student.device, self.config.seed, TASKS.index(task), rank(), number)
        steps, shape = len(schedule.steps), conditions.shape
        exit_step = int(torch.randint(steps, (), generator=lots(self.config.seed, TASKS.index(task), rank(), number)))
        noise, renoise = draw_noise(shape, draw), draw_noise((shape[0], steps - 1, *shape[1:]), draw)
        prompts = self._prompts(conditions.style)
        with self._autocast():
            given = student, student.read(prompts), conditions, noise, renoise, exit_step
            rolled = rollout(*given, schedule)
        levels = score_timesteps(schedule, draw.device)
        with self._autocast():
            lost = flow_loss(joint(fake, prompts, conditions), rolled, schedule, draw, levels)
        lost.backward()
        found = {f"critic/{task}": lost.detach()}
        if due:
            timestep, noise = draw_timesteps(levels, shape[0], draw), draw_noise(shape, draw)
            with self._autocast():
                gradient = self._matching(task, conditions, rolled, timestep, noise)
            weight = self.config.control_weight if task == "control" else 1.0
            with self._autocast(cached=False):
                backward_in_chunks(*given, weight / rolled.numel() * gradient, rolled, schedule)
            found[f"matching/{task}"] = gradient.abs().mean()
        return found

    @torch.no_grad()
    def _matching(self, task: str, conditions: Conditions, rolled: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        prompts, null = self._prompts(conditions.style), self._prompts([NULL] * len(rolled))
        teacher = self.teachers[task]
        real = guided(joint(teacher, prompts, conditions), joint(teacher, null, conditions), self.config.guidance)
        fake = joint(self.networks[f"fake_{task}"], prompts, conditions)
        return matching_gradient(rolled, real, fake, timestep, noise)

    @torch.no_grad()
    def _prompts(self, style: Any) -> Tensor:
        return self.table(style)

    def _autocast(self, cached: bool = True) -> torch.autocast:
        """bfloat16 in the networks on a GPU. cached: casts of weights are kept until the end of the context, which older
        torch must not do where some of it is without gradient: a cast made there has none afterwards."""
        kind = self.networks["student"].device.type
        return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu", cache_enabled=cached)

    def _average(self) -> None:
        mine, new = ([*self.networks[name].parameters()] for name in ("averaged", "student"))
        get_ema_multi_avg_fn(self.config.average)(mine, new, 0)


def matching_gradient(x: Tensor, real: Predict, fake: Predict, timestep: Tensor, noise: Tensor) -> Tensor:
    """How the latents x (B, ...) should be moved against to be likelier for `real` than for `fake`, in the same shape.

    timestep: (B,), at whose noise level both are asked about x with `noise` (B, ...). Each sample's gradient is divided by
    its mean distance from what `real` would have there.
    """
    noisy = to_noisy(x, noise, timestep / TRAINING_STEPS)
    true, false = (predict_clean(predict, noisy, timestep) for predict in (real, fake))
    scale = (x - true).abs().mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    return (false - true) / scale
