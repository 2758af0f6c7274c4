"""Where a training stands, in one safetensors file that a resumed training goes on from.

    network.NAME.PARAMETER        weights and buffers of every network
    optimizer.NAME.NUMBER.KEY     what an optimizer remembers of its parameter of that number: "exp_avg", "exp_avg_sq", ...
    metadata                      numbers by name, each as JSON

Everything is kept at full width. Random numbers are not there: trainings draw them from the number of the step.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from inspatio_gym.checkpoints.weights import WeightsError, read_weights
from inspatio_gym.files import written_whole

KEPT = 0.999  # of averaged weights at a step; less at first


def packed(networks: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """The tensors of networks and of what their optimizers remember, by the names above."""
    tensors = {
        f"network.{name}.{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    for name, optimizer in optimizers.items():
        for number, remembered in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{number}.{key}": value for key, value in remembered.items()}
    return tensors


def unpack(
    tensors: Mapping[str, Tensor], networks: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> None:
    """Take networks and optimizers, in place, to where they were `packed`. Raises WeightsError for other networks."""
    for name, network in networks.items():
        try:
            network.load_state_dict(_below(tensors, f"network.{name}"))
        except RuntimeError as problem:
            raise WeightsError(f"expected the state of the same networks, got another {name}: {problem}") from None
    for name, optimizer in optimizers.items():
        remembered: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimizer.{name}").items():
            number, _, kind = key.partition(".")
            remembered.setdefault(int(number), {})[kind] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": remembered})


def write_state(file: Path, tensors: Mapping[str, Tensor], **numbers: Any) -> None:
    """Write tensors and numbers, whole or not at all."""
    with written_whole(file) as partial:
        save_file(
            {name: value.detach().contiguous() for name, value in tensors.items()},
            partial,
            {name: json.dumps(value) for name, value in numbers.items()},
        )


def read_state(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the numbers that `write_state` wrote.

    Raises FileNotFoundError where there is no file, WeightsError for one that is cut off.
    """
    tensors = read_weights(file)
    with safe_open(file, "pt") as opened:
        return tensors, {name: json.loads(value) for name, value in (opened.metadata() or {}).items()}


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, step: int) -> None:
    """Bring averaged weights a little closer to those of the network after step number `step`, from 0."""
    kept = min(KEPT, (1 + step) / (10 + step))
    floats: tuple[list[Tensor], list[Tensor]] = [], []
    for mine, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.is_floating_point():
            floats[0].append(mine)
            floats[1].append(new)
        else:
            mine.copy_(new)
    get_ema_multi_avg_fn(kept)(*floats, 0)


def halves(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights on the CPU, those of any float type at 16 bits."""
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in weights.items()
    }


def _below(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
