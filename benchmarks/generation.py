"""Frames a second of synthetic worlds: RGB, depth and object ids, on the CPU or a GPU, by family.

    python -m benchmarks.generation                                   # two cores
    python -m benchmarks.generation --device cuda --workers 12

For each family and size the table has, with `frames` shots of each world:

    drawn     frames/s once worlds and cameras are there, their arrays moved to the device each time; the fastest call
    worlds    worlds/s that one core makes, with their cameras, from nothing
    stream    frames/s of `batch.stream`, worlds included: what a training sees
    floor     frames/s if nothing but the tests of primary, shadow and contact rays against boxes and solids were to be
              done, at the rate of multiply-adds that the device is measured to reach (torch, doubles)
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import tyro
from numba import njit

from inspatio_gym.scenes.synthetic.batch import Diet, Renderer, draw, stream
from inspatio_gym.scenes.synthetic.export import STYLES, WORLDS
from inspatio_gym.scenes.synthetic.shots import concatenate
from inspatio_gym.scenes.synthetic.tracer import Shots
from inspatio_gym.types import Size

BOX_FLOPS, SOLID_FLOPS = 20, 70  # of a slab test; of a ray brought into a solid's frame and cut with it, roughly
RAYS = 3  # of a pixel: primary, towards the sun, and a short one for contact


@dataclass(frozen=True, slots=True)
class Config:
    """Time the generation of synthetic worlds."""

    device: str = "cpu"
    """"cpu" or "cuda"."""
    workers: int = 0
    """Processes that make worlds for the stream."""
    sizes: tuple[Size, ...] = ((128, 224), (240, 416))
    """Heights and widths."""
    batch: int = 64
    """Shots at a time."""
    frames: int = 8
    """Shots of a world."""
    seconds: float = 5.0
    """To spend on each figure."""


@njit(cache=True, nogil=True)
def tests_of(low, high, skip, leaf, walk, o, d):
    """Box tests and solid tests of a ray that nothing stops."""
    boxes, solids = 0, 0
    for stretch in range(2):
        node = walk[2 * stretch]
        while node < walk[2 * stretch + 1]:
            enter, leave = 0.0, np.inf
            for axis in range(3):
                step = 1.0 / d[axis] if d[axis] != 0 else 1e30
                a, b = (low[node, axis] - o[axis]) * step, (high[node, axis] - o[axis]) * step
                enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
            boxes += 1
            if enter > leave:
                node = skip[node]
            else:
                solids += leaf[node] >= 0
                node += 1
    return boxes, solids


def flops_of(shots: Shots, rays: int = 200) -> float:
    """Mean of a ray's floating-point operations in the tests, over rays through random pixels."""
    rng = np.random.default_rng(0)
    total = 0.0
    for n in rng.integers(0, len(shots.c2w), rays):
        k = shots.intrinsics[n]
        pixel = rng.uniform(0, 2, 2) * [k[0, 2], k[1, 2]]
        d = shots.c2w[n, :3, :3] @ [(pixel[0] - k[0, 2]) / k[0, 0], (pixel[1] - k[1, 2]) / k[1, 1], 1.0]
        tables = shots.tables
        boxes, solids = tests_of(
            tables.low, tables.high, tables.skip, tables.leaf, shots.walk[n], shots.c2w[n, :3, 3], d
        )
        total += BOX_FLOPS * boxes + SOLID_FLOPS * solids
    return total / rays


def peak_flops(device: str) -> float:
    """Floating-point operations a second of a matrix product of doubles."""
    side = 1024 if device == "cpu" else 8192
    a = torch.rand(side, side, dtype=torch.float64, device=device)
    return 2 * side**3 * fastest(lambda: a @ a, device, 1.0)


def timed(work: Callable[[], object], device: str, seconds: float) -> list[float]:
    """Seconds of each call of `work` made in so many seconds, the device's queue drained."""
    times = []
    while sum(times) < seconds:
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times


def fastest(work: Callable[[], object], device: str, seconds: float) -> float:
    """Calls a second by the fastest of them, after one that warms up: others may be at work on the machine."""
    timed(work, device, 0.0)
    return 1 / min(timed(work, device, seconds))


def main(config: Config) -> None:
    """Print the table."""
    gpu = torch.cuda.get_device_name(config.device) if config.device != "cpu" else "no GPU"
    print(f"{gpu}, {len(os.sched_getaffinity(0))} cores, {config.workers} workers, {config.frames} frames a world")
    peak, renderer = peak_flops(config.device), Renderer(config.device)
    print(f"matrix product of doubles: {peak / 1e12:.2f} TFLOP/s\n")
    print("| world | style | size | drawn, frames/s | worlds/s of a core | stream, frames/s | floor, frames/s |")
    print("|---|---|---|---|---|---|---|")
    for size in config.sizes:
        for name in WORLDS:
            for style in STYLES:
                chosen = {"names": (name,), "styles": (style,), "size": size, "frames": config.frames}
                plan, count = Diet(**chosen), config.batch // config.frames
                draw(plan, 0)  # compiles
                start = time.process_time()
                pieces = [draw(plan, k) for k in range(count)]
                made = count / (time.process_time() - start)
                shots = concatenate([piece.shots for piece in pieces])
                drawn = config.batch * fastest(partial(renderer.trace, shots, size), config.device, config.seconds)
                batches = stream(batch=config.batch, device=config.device, workers=config.workers, **chosen)
                # Workers take seconds to start; all have made several worlds once those asked for ahead are used up twice.
                for _ in range(1 + 8 * config.workers // count):
                    next(batches)
                times = timed(partial(next, batches), config.device, config.seconds)
                streamed = config.batch * len(times) / sum(times)
                batches.close()
                floor = peak / (size[0] * size[1] * RAYS * flops_of(shots))
                print(
                    f"| {name} | {style} | {size[0]}x{size[1]} | {drawn:,.0f} | {made:,.0f} | {streamed:,.0f} "
                    f"| {floor:,.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(tyro.cli(Config))
