"""One training on several GPUs: every process takes batches of its own, and their gradients are averaged."""

from collections.abc import Iterable

import torch
from torch import distributed


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


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
