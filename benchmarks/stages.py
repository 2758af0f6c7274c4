"""How fast each stage of `train-world` steps, compiled or not, and how far that is from the floor.

    python -m benchmarks.stages --device cuda

    first      seconds until the first `WARM` steps are done: what compiling takes, above all
    steps/s    after that; clips are random and there already, so this is learning alone
    TFLOP      of matrix products, convolutions and attention in a step, on average, forward and backward
    floor      steps/s at the rate of a matrix product of 8192 x 8192, in bfloat16 on a GPU

A distillation updates its student in every fifth step, so steps are timed five at a time. Stages that `train-world` may compile
are timed both ways on a GPU.
"""

import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
import tyro
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from inspatio_gym.doctor import machine
from inspatio_gym.star.dit import DitConfig
from inspatio_gym.star.taehv import Taehv
from inspatio_gym.star.tiny import TINY, new_codec
from inspatio_gym.training.world.causal import CausalStage
from inspatio_gym.training.world.clips import ClipPlan
from inspatio_gym.training.world.codec import CodecStage
from inspatio_gym.training.world.command import StageName, TrainWorldConfig, fuse, prepare_torch
from inspatio_gym.training.world.distillation import DistillationStage
from inspatio_gym.training.world.jdmd import JdmdConfig
from inspatio_gym.training.world.latents import Coded, Footage, LatentPool
from inspatio_gym.training.world.networks import Prompted
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.stage import Stage
from inspatio_gym.training.world.teachers import ControlStage, VisualStage
from inspatio_gym.types import Size

CLIPS = 32  # in the pool
CYCLE = JdmdConfig().critic_updates  # steps, of which a distillation updates its student once
WARM = 2 * CYCLE
COMPILED = TrainWorldConfig().compile  # stages that may be


@dataclass(frozen=True, slots=True)
class Config:
    """Time the stages of a training of a tiny world model."""

    device: str = "cpu"
    """"cpu" or "cuda"."""
    stages: tuple[StageName, ...] = ("codec", "decoder", "control", "causal", "visual", "v2v", "jdmd")
    """Which."""
    batch: int | None = None
    """Clips a step; those of each stage's own training if left out."""
    frames: int = 33
    """Of a clip: 9, and 12 for each further block."""
    size: Size = (128, 224)
    """Height and width, multiples of 16."""
    transformer: DitConfig = TINY
    """Sizes of the transformer."""
    seconds: float = 5.0
    """To spend on each figure."""


def footage(config: TrainWorldConfig) -> Generator[Footage, None, None]:
    """Noise in the shape of clips."""
    plan, device = config.clips, config.device
    shape = (CLIPS, plan.frames, 3, *plan.size)
    while True:
        source, target, film = (torch.randint(256, shape, dtype=torch.uint8, device=device) for _ in range(3))
        yield Footage(source, target, source, source[:, :, :1] > 9, torch.ones(CLIPS, dtype=torch.int64), film)


def coded(config: TrainWorldConfig) -> Generator[Coded, None, None]:
    """Noise in the shape of their latents."""
    height, width = (side // 8 for side in config.clips.size)
    frames, device = 1 + config.clips.frames // 4, config.device
    while True:
        four = (torch.randn(CLIPS, frames, 16, height, width, device=device).bfloat16() for _ in range(4))
        reference, clean, render, film = four
        styles = torch.ones(CLIPS, dtype=torch.int64, device=device)
        yield Coded(reference, clean, render, render[:, :, :4], styles, film)


def make(name: StageName, config: TrainWorldConfig) -> Stage:
    """A stage with new weights and clips of noise; nothing is held out."""
    effort, nothing, device = getattr(config, name), SimpleNamespace(), config.device
    if name in ("codec", "decoder"):
        codec: Taehv = new_codec(config.autoencoder).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return CodecStage(name, codec, Pool(lambda _: footage(config), 1, 1), nothing, effort, 0)  # type: ignore[arg-type]
    pool = LatentPool(lambda _: coded(config), 1, 1)

    def network() -> Prompted:
        return Prompted.new(config.transformer).to(device)

    if name in ("v2v", "jdmd"):
        teachers = {task: network() for task in ("control", "visual")[: 1 if name == "v2v" else 2]}
        return DistillationStage(name, network(), teachers, pool, nothing, effort, config.distillation)  # type: ignore[arg-type]
    kinds: dict[str, Any] = {"control": ControlStage, "causal": CausalStage, "visual": VisualStage}
    return kinds[name](network(), pool, nothing, effort, 0)


def rate(stage: Stage, device: str, seconds: float) -> tuple[float, float]:
    """Seconds of the first `WARM` steps, and steps a second after them."""

    def steps(first: int, count: int) -> float:
        began = time.perf_counter()
        for number in range(first, first + count):
            stage.step(number, number % 2)  # both halves of the causal stage
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    warm, done, spent = steps(0, WARM), 0, 0.0
    while spent < seconds:
        spent += steps(WARM + done, CYCLE)
        done += CYCLE
    return warm, done / spent


class Counted(TorchDispatchMode):
    """Adds up floating-point operations. torch's own counter wants every module's output to have a gradient, which a
    rollout's have not."""

    total = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if counted := flop_registry.get(function._overloadpacket):
            self.total += counted(*args, **(kwargs or {}), out_val=result)
        return result


def flops(stage: Stage) -> float:
    """Of a step, on average over a cycle."""
    with Counted() as counted:
        for number in range(CYCLE):
            stage.step(number, 0.0)
    return counted.total / CYCLE


def peak(device: str) -> float:
    """Floating-point operations a second of a matrix product, the fastest of some."""
    side, kind = (8192, torch.bfloat16) if device != "cpu" else (2048, torch.float32)
    a = torch.randn(side, side, dtype=kind, device=device)
    best = 0.0
    for _ in range(8):
        began = time.perf_counter()
        float((a @ a)[0, 0])
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def main(config: Config) -> None:
    """Print the table."""
    clips = ClipPlan(size=config.size, frames=config.frames)
    training = replace(TrainWorldConfig(), device=config.device, transformer=config.transformer, clips=clips)
    if config.batch is not None:
        efforts = {name: replace(getattr(training, name), batch=config.batch) for name in config.stages}
        training = replace(training, **efforts)  # type: ignore[arg-type]
    prepare_torch()
    gpu = torch.cuda.get_device_name() + "; " if config.device != "cpu" else ""
    fastest = peak(config.device)
    print(f"{gpu}{machine()}\nmatrix product: {fastest / 1e12:.2f} TFLOP/s\n")
    print("| stage | clips a step | compiled | first, s | steps/s | TFLOP | floor, steps/s |")
    print("|---|---|---|---|---|---|---|")
    for name in config.stages:
        cost = flops(make(name, training))
        for compiled in (False, True) if config.device != "cpu" and name in COMPILED else (False,):
            torch._dynamo.reset()
            stage = make(name, training)
            if compiled:
                fuse(stage.networks.values())
            first, found = rate(stage, config.device, config.seconds)
            row = name, getattr(training, name).batch, "yes" if compiled else "no", f"{first:.1f}", f"{found:.2f}"
            print(f"| {' | '.join(map(str, row))} | {cost / 1e12:.2f} | {fastest / cost:.1f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.stages", description=__doc__)))
