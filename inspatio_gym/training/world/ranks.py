"""One training on several GPUs: every process takes batches of its own, and their gradients are averaged.

    torchrun --nproc-per-node 4 -m -- inspatio_gym.cli train-world --run runs/tiny --device cuda

Every process holds all networks, which stay equal; the one of rank 0 alone writes and shows. Without torchrun there is one
process, and nothing here does anything.
"""

import os
from collections.abc import Iterable

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
    if _several():
        distributed.destroy_process_group()


def rank() -> int:
    """This process's number; 0 where it is alone."""
    return distributed.get_rank() if _several() else 0


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in place; all must have gradients of the same parameters."""
    if _several():
        for parameter in parameters:
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.get_world_size()


def agreed(value: float, device: str) -> float:
    """The value that the process of rank 0 has, once it has come here: what processes do next must not depend on their
    clocks."""
    if not _several():
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(told, 0)
    return float(told)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
