"""Data-parallel training: each process learns from clips of its own, and all take the same step.

    torchrun --nproc-per-node 4 -m inspatio_gym.cli train-world --run runs/tiny --device cuda

Every process holds all networks. Gradients are averaged over the processes (`ranks`), so that weights stay equal; the
process of rank 0 alone writes and shows. Without torchrun there is one process, and nothing here does anything.
"""

import os

import torch
from torch import distributed


def begin(device: str) -> str:
    """Join the processes that torchrun started, if it did; gives back the device of this one."""
    if "WORLD_SIZE" not in os.environ:
        return device
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return device


def end() -> None:
    """Leave the others."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def agreed(value: float, device: str) -> float:
    """The value that the process of rank 0 has: what processes do next must not depend on their clocks."""
    if not distributed.is_initialized():
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(told, 0)
    return float(told)
