"""Clips a second to train a world model on: pairs and films, on the CPU or a GPU, by family.

    python -m benchmarks.clips                                   # two cores
    python -m benchmarks.clips --device cuda --workers 12

    taken      clips/s that one core makes of worlds, moments and cameras, from nothing: what workers do
    drawn      clips/s once those are there: their views traced, the arrays moved to the device each time
    made       clips/s with the splat, or the sensor, besides: what the driver does
    stream     clips/s of `pairs` or `films`, all together: what a training sees
    floor      clips/s if nothing but the tests of rays were to be done, as in `benchmarks.generation`
    rays       through each pixel, of all views of a clip: recorded ones are shared by the clips of a world

Below it is how far pictures of few rays a pixel are from those of 3 x 3, in dB.

On the CPU seconds are those that its cores spent, over their number, so that others at work on the machine count little.
Workers' time is not seen that way: give the CPU none.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.generation import RAYS, fastest, flops_of, peak_flops, timed
from inspatio_gym.evaluation.images import psnr
from inspatio_gym.scenes.synthetic.batch import Renderer
from inspatio_gym.scenes.synthetic.export import STYLES, WORLDS, make_world
from inspatio_gym.scenes.synthetic.tracer import Shots
from inspatio_gym.training.world.clips import ClipPlan, films, pairs, render_films, render_pairs
from inspatio_gym.training.world.takes import FilmTake, PairTake, draw_films, draw_pairs

FINEST = 3  # rays along each side of a pixel
LOOKS = 4  # worlds that rays are compared in


@dataclass(frozen=True, slots=True)
class Config:
    """Time the generation of clips."""

    device: str = "cpu"
    """"cpu" or "cuda"."""
    workers: int = 0
    """Processes that make worlds for the stream."""
    worlds: int = 4
    """How many each figure is the mean of, at least."""
    seconds: float = 5.0
    """To spend on each figure, at least."""
    plan: ClipPlan = field(default_factory=ClipPlan)
    """Which clips; its families are measured one by one."""


def traced(plan: ClipPlan, take: PairTake | FilmTake) -> list[tuple[Shots, int]]:
    """What the tracer draws of a world: shots, with so many rays along each side of a pixel."""
    true = [(take.shots, plan.samples)] if isinstance(take, PairTake) else []
    return true + ([(take.filmed.shots, 1)] if take.filmed else [])


def measured(config: Config, plan: ClipPlan, kind: str, peak: float) -> str:
    """One row of the table."""
    draw, render, stream = {
        "pairs": (draw_pairs, render_pairs, pairs),
        "films": (draw_films, render_films, films),
    }[kind]
    renderer = Renderer(config.device)
    draw(plan, 0)  # compiles
    start = time.process_time()
    takes = [draw(plan, k) for k in range(max(config.worlds, 8))]
    taken = plan.clips * len(takes) / (time.process_time() - start)
    chosen = takes[: config.worlds]

    def rate(work: Callable[[Any], object]) -> float:
        return (
            plan.clips * len(chosen) * fastest(lambda: [work(take) for take in chosen], config.device, config.seconds)
        )

    drawn = rate(lambda take: [renderer.trace(shots, plan.size, samples) for shots, samples in traced(plan, take)])
    made = rate(partial(render, renderer, plan))
    batches = stream(plan, plan.clips, config.device, config.workers)
    # Workers take seconds to start; all have made several worlds once those asked for ahead are used up twice.
    for _ in range(1 + 8 * config.workers):
        next(batches)
    times = timed(lambda: [next(batches) for _ in range(config.worlds)], config.device, config.seconds)
    streamed = plan.clips * config.worlds * len(times) / sum(times)
    batches.close()
    parts = [part for take in chosen for part in traced(plan, take)]
    clips = plan.clips * len(chosen)
    rays = sum(len(shots.c2w) * samples**2 for shots, samples in parts) / clips
    work = sum(len(shots.c2w) * samples**2 * flops_of(shots) for shots, samples in parts) / clips
    floor = peak / (plan.size[0] * plan.size[1] * RAYS * work)
    return f"{taken:,.0f} | {drawn:,.2f} | {made:,.2f} | {streamed:,.2f} | {floor:,.0f} | {rays:.0f}"


def apart(name: str, style: str, plan: ClipPlan, samples: int) -> float:
    """Mean PSNR of pictures of samples x samples rays a pixel against those of 3 x 3."""
    found = []
    for seed in range(LOOKS):
        world = make_world(name, seed, style)
        few, many = (world.render(world.path(1.0), 1.0, plan.size, samples=n).rgb for n in (samples, FINEST))
        found.append(psnr(few, many))
    return float(np.mean(found))


def main(config: Config) -> None:
    """Print the tables."""
    gpu = torch.cuda.get_device_name(config.device) if config.device != "cpu" else "no GPU"
    peak, plan = peak_flops(config.device), config.plan
    print(
        f"{gpu}, {len(os.sched_getaffinity(0))} cores, {config.workers} workers; {plan.frames} frames of "
        f"{plan.size[0]}x{plan.size[1]}, {plan.samples}x{plan.samples} rays, {plan.clips} clips a world; "
        f"matrix product of doubles: {peak / 1e12:.2f} TFLOP/s\n"
    )
    print("| what | world | style | taken by a core | drawn | made | stream | floor | rays |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in ("pairs", "films"):
        for name in plan.names:
            for style in plan.styles if kind == "pairs" else ("camera",):
                row = measured(config, replace(plan, names=(name,), styles=(style,)), kind, peak)
                print(f"| {kind} | {name} | {style} | {row} |", flush=True)
    print("\n| world | style | 1 ray, dB | 2 x 2, dB |\n|---|---|---|---|")
    for name in WORLDS:
        for style in STYLES:
            print(f"| {name} | {style} | {apart(name, style, plan, 1):.1f} | {apart(name, style, plan, 2):.1f} |")


if __name__ == "__main__":
    main(tyro.cli(Config))
