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
from dataclasses import dataclass
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
from inspatio_gym.training.world import parallel
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.ranks import average_gradients, rank

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


@dataclass(frozen=True, slots=True)
class Rated(Effort):
    """The same, and how fast it learns."""

    learning_rate: float
    """The highest."""


class Stage(Protocol):
    """One part of the training. Its networks and optimizers are its state: random numbers follow from a step's number."""

    name: str
    pool: Pool[Any]

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

    save_seconds: between checkpoints. fresh: steps after which the pool takes in another batch of clips. Raises FloatingPointError where losses are not finite.
    """
    file = run / "state" / f"{stage.name}.safetensors"
    step, spent, begin = 0, 0.0, stage.pool.position
    if file.is_file():
        tensors, numbers = read_state(file)
        unpack(tensors, stage.networks, stage.optimizers)
        step, spent, begin = numbers["step"], numbers["seconds"], numbers["begin"]
    stage.pool.seek(begin + step // fresh)

    def over() -> float:
        return parallel.agreed(max(step / effort.steps, spent / (60 * effort.minutes)), device)

    done = over()
    if done >= 1:
        return
    full = {id(group): group["lr"] for group in _groups(stage)}
    main = rank() == 0
    writer = SummaryWriter(str(run / "tensorboard" / stage.name), purge_step=step + 1) if main else None
    losses: list[dict[str, float | Tensor]] = []
    noted = saved = time.monotonic()
    with tqdm(total=effort.steps, initial=step, desc=stage.name, unit=" steps", mininterval=5, disable=None if main else True) as bar:  # fmt: skip
        while done < 1:
            rate = min(1.0, (step + 1) / WARM_UP, (1 - done) / COOL_DOWN)
            for group in _groups(stage):
                group["lr"] = full[id(group)] * rate
            stage.pool.seek(begin + step // fresh)
            losses.append(dict(stage.step(step, done)))
            step += 1
            now = time.monotonic()
            spent, noted = spent + now - noted, now
            done = over()
            bar.update()
            save = parallel.agreed(float(now - saved > save_seconds), device) > 0 or done >= 1
            if save or len(losses) == LOGGED:
                means = _means(losses, run, step)
                losses.clear()
                bar.set_postfix(minutes=f"{spent / 60:.1f}", **{k: f"{v:.3g}" for k, v in means.items()}, refresh=False)
                if writer is not None:
                    for name, value in means.items():
                        writer.add_scalar(f"loss/{name}", value, step)
                    writer.add_scalar("speed/steps a second", step / spent, step)
                    writer.add_scalar("speed/share of time spent waiting for clips", stage.pool.waited / spent, step)
            if save and writer is not None:
                figures, picture = stage.look()
                tensors = packed(stage.networks, stage.optimizers)
                write_state(file, tensors, step=step, seconds=spent, begin=begin, figures=figures)
                with written_whole(run / f"{stage.name}.safetensors") as partial:
                    save_file(halves(stage.weights()), partial)
                tqdm.write(f"{stage.name}, step {step:,}, {spent:.0f} s: " + _told(figures))
                for name, value in figures.items():
                    writer.add_scalar(f"held_out/{name}", value, step)
                writer.add_image("held-out worlds", picture, step)
            if save:
                saved = noted = time.monotonic()
    if writer is not None:
        writer.close()


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


def _groups(stage: Stage) -> list[dict[str, Any]]:
    return [group for optimizer in stage.optimizers.values() for group in optimizer.param_groups]


def _means(losses: list[dict[str, float | Tensor]], run: Path, step: int) -> dict[str, float]:
    """Of every loss over the steps that know it. Raises FloatingPointError if one of them is not finite."""
    means = {}
    for name in dict.fromkeys(name for one in losses for name in one):
        values = [torch.as_tensor(one[name], dtype=torch.float32).detach() for one in losses if name in one]
        means[name] = float(torch.stack(values).mean())
        if not math.isfinite(means[name]):
            raise FloatingPointError(
                f"expected finite losses, got {name} {means[name]} by step {step:,}: the last checkpoint is kept; go on from "
                f"{run} with a lower learning rate"
            )
    return means


def _told(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
