"""What all stages of the training share: the loop around a step, and how a stage is left and gone on with.

    <run>/state/STAGE.safetensors    everything a resumed training goes on from; the clips' place in their stream included
    <run>/STAGE.safetensors          averaged weights at 16 bits: what later stages begin with
    <run>/tensorboard/STAGE          losses, figures and pictures of held-out worlds

A stage whose state is gone begins anew, from the weights that it left. The learning rate rises over `WARM_UP` steps, stays,
and falls to 0 over the last fifth. Losses are looked at every `LOGGED` steps and before anything is written, so that one
which is not finite ends the training while the last checkpoint is good.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from inspatio_gym.files import written_whole
from inspatio_gym.training.state import halves, packed, read_state, unpack, write_state
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.ranks import agreed, average_gradients, rank

WARM_UP = 200  # steps
COOL_DOWN = 0.2  # of the training
LOGGED = 20  # steps
NORM = 1.0  # of a gradient, at most


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a stage trains, and how hard."""

    minutes: float
    """At most, all sessions together."""
    steps: int
    """At most; whichever ends first."""
    batch: int
    """Clips of a step."""

    def __post_init__(self) -> None:
        if not (self.minutes > 0 and self.steps > 0 and self.batch > 0):
            raise ValueError(
                f"expected minutes, steps and batch above 0, got {self.minutes}, {self.steps} and {self.batch}: leave a stage "
                "out of --stages to skip it"
            )


@dataclass(frozen=True, slots=True)
class Rated(Effort):
    """The same, and how fast it learns."""

    learning_rate: float
    """The highest one; it begins and ends lower."""


class Stage(Protocol):
    """One part of the training. Its networks and optimizers are its state: random numbers follow from a step's number."""

    @property
    def name(self) -> str: ...
    @property
    def pool(self) -> Pool[Any]: ...
    @property
    def networks(self) -> Mapping[str, nn.Module]: ...
    @property
    def optimizers(self) -> Mapping[str, Optimizer]: ...

    def step(self, number: int, done: float) -> Mapping[str, float | Tensor]:
        """Learn once; losses by name. number: from 0. done: how much of the training is over, 0 to 1."""
        ...

    def look(self) -> tuple[dict[str, float], Tensor]:
        """Figures on held-out worlds, and a picture uint8 (3, H, W)."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """What the stage leaves."""
        ...


def train(stage: Stage, run: Path, effort: Effort, save_seconds: float, fresh: int, device: str) -> None:
    """Train until time or steps are spent; at once back where they are already.

    save_seconds: between checkpoints. fresh: steps after which the pool takes in another batch of clips. Raises
    FloatingPointError where losses are not finite.
    """
    file = run / "state" / f"{stage.name}.safetensors"
    step, spent, begin = 0, 0.0, stage.pool.position
    if file.is_file():
        tensors, numbers = read_state(file)
        unpack(tensors, stage.networks, stage.optimizers)
        step, spent, begin = numbers["step"], numbers["seconds"], numbers["begin"]
    stage.pool.seek(begin + step // fresh)
    groups = [group for optimizer in stage.optimizers.values() for group in optimizer.param_groups]
    highest = [group["lr"] for group in groups]

    def over() -> float:
        return agreed(max(step / effort.steps, spent / (60 * effort.minutes)), device)

    if (done := over()) >= 1:
        return
    report = _Report(stage, run, effort, step)
    noted = saved = time.monotonic()
    while done < 1:
        rate = min(1.0, (step + 1) / WARM_UP, (1 - done) / COOL_DOWN)
        for group, high in zip(groups, highest, strict=True):
            group["lr"] = high * rate
        stage.pool.seek(begin + step // fresh)
        losses = stage.step(step, done)
        step += 1
        now = time.monotonic()
        spent, noted = spent + now - noted, now
        done = over()
        save = done >= 1 or agreed(now - saved, device) > save_seconds
        report.note(losses, step, spent, at_once=save)
        if save:
            if rank() == 0:
                figures = report.look(step, spent)
                tensors = packed(stage.networks, stage.optimizers)
                write_state(
                    file, tensors, step=step, seconds=spent, begin=begin, figures=figures, effort=asdict(effort)
                )
                with written_whole(run / f"{stage.name}.safetensors") as partial:
                    save_file(halves(stage.weights()), partial)
            noted = saved = time.monotonic()
    report.close()
    agreed(done, device)  # the next stage reads what rank 0 has written by now


class _Report:
    """What is said of a stage while it trains: a bar, and TensorBoard; by the process of rank 0 alone."""

    def __init__(self, stage: Stage, run: Path, effort: Effort, step: int):
        self._stage, self._run, self._losses = stage, run, list[dict[str, Tensor]]()
        self._waited = stage.pool.waited
        self._writer = (
            SummaryWriter(str(run / "tensorboard" / stage.name), purge_step=step + 1) if rank() == 0 else None
        )
        self._bar = tqdm(
            total=effort.steps, initial=step, desc=stage.name, unit=" steps", mininterval=5, disable=rank() > 0 or None
        )

    def note(self, losses: Mapping[str, float | Tensor], step: int, seconds: float, at_once: bool) -> None:
        """Take losses down; look at them now and then, or at once. Raises FloatingPointError for one that is not finite."""
        self._bar.update()
        self._losses.append({name: torch.as_tensor(value).detach() for name, value in losses.items()})
        if not at_once and len(self._losses) < LOGGED:
            return
        means = _means(self._losses)
        self._losses.clear()
        if bad := {name: value for name, value in means.items() if not math.isfinite(value)}:
            raise FloatingPointError(
                f"{self._stage.name}: expected finite losses, got {bad} by step {step:,}: the last checkpoint is kept; go on "
                f"from {self._run} with a lower learning rate"
            )
        self._bar.set_postfix(
            {"minutes": f"{seconds / 60:.1f}"} | {k: f"{v:.3g}" for k, v in means.items()}, refresh=False
        )
        if self._writer is not None:
            for name, value in means.items():
                self._writer.add_scalar(f"loss/{name}", value, step)
            self._writer.add_scalar("speed/steps a second", step / seconds, step)
            self._writer.add_scalar("speed/seconds spent on clips", self._spent_on_clips, step)

    @property
    def _spent_on_clips(self) -> float:
        """Seconds since this session of the stage began."""
        return self._stage.pool.waited - self._waited

    def look(self, step: int, seconds: float) -> dict[str, float]:
        """Show the stage's held-out worlds; their figures."""
        assert self._writer is not None
        figures, picture = self._stage.look()
        told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        tqdm.write(
            f"{self._stage.name}, step {step:,}, {seconds:.0f} s, in this session {self._spent_on_clips:.1f} s on clips, "
            f"held-out worlds: {told}"
        )
        for name, value in figures.items():
            self._writer.add_scalar(f"held_out/{name}", value, step)
        self._writer.add_image("held-out worlds", picture, step)
        return figures

    def close(self) -> None:
        self._bar.close()
        if self._writer is not None:
            self._writer.close()


def _means(losses: list[dict[str, Tensor]]) -> dict[str, float]:
    """Of every loss, over the steps that know it."""
    means = {}
    for name in dict.fromkeys(name for one in losses for name in one):
        means[name] = float(torch.stack([one[name].float() for one in losses if name in one]).mean())
    return means


def autocast(device: str | torch.device) -> torch.autocast:
    """bfloat16 in the networks on a GPU."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


def descend(loss: Tensor, optimizer: Optimizer) -> Tensor:
    """Take a step down a loss; the norm of the gradient, before it was clipped to `NORM`."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.zero_grad()
    loss.backward()
    average_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, NORM)
    optimizer.step()
    return norm
