"""Where a training of the depth network stands: in one safetensors file, which a resumed training goes on from.

network.*, averaged.*     both sets of weights
first.*, second.*         what AdamW remembers of each parameter's gradient
metadata                  {"step": ..., "seconds": ...}
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from inspatio_gym.checkpoints.weights import load_strictly, read_weights
from inspatio_gym.files import written_whole

AVERAGE = 0.999  # of the averaged weights that stays at a step; less at first
_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}


class State:
    """Weights, their average, and the optimizer; `step` taken and `seconds` spent so far."""

    def __init__(self, network: nn.Module, averaged: nn.Module, optimizer: torch.optim.AdamW):
        self.network, self.averaged, self.optimizer = network, averaged, optimizer
        self.step, self.seconds = 0, 0.0

    @torch.no_grad()
    def average(self) -> None:
        """Bring the averaged weights a little closer to the network's."""
        share = 1 - min(AVERAGE, (1 + self.step) / (10 + self.step))
        for mine, new in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(new, share)
            else:
                mine.copy_(new)

    @torch.no_grad()
    def forget_statistics(self) -> None:
        """Take the averaged network's running means and variances: those of a batch that is not finite would stay."""
        for mine, kept in zip(self.network.buffers(), self.averaged.buffers(), strict=True):
            mine.copy_(kept)

    def save(self, folder: Path) -> None:
        """Write state.safetensors, and depth.safetensors: the averaged weights at 16 bits."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            remembered = self.optimizer.state[parameter]
            tensors |= {f"{mine}.{name}": remembered[theirs] for mine, theirs in _MOMENTS.items()}
        about = {"step": json.dumps(self.step), "seconds": json.dumps(self.seconds)}
        with written_whole(folder / "state.safetensors") as partial:
            save_file({name: value.contiguous() for name, value in tensors.items()}, partial, about)
        with written_whole(folder / "depth.safetensors") as partial:
            save_file({name: _half(value) for name, value in self.averaged.state_dict().items()}, partial)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote there, if it did. Raises WeightsError for a file that is cut off."""
        file = folder / "state.safetensors"
        if not file.is_file():
            return
        tensors = read_weights(file)
        with safe_open(file, "pt") as opened:
            about = opened.metadata()
        self.step, self.seconds = json.loads(about["step"]), json.loads(about["seconds"])
        for name, module in (("network", self.network), ("averaged", self.averaged)):
            found = _below(tensors, name)
            load_strictly(
                module, {key: found[key].to(value.device) for key, value in module.state_dict().items()}, file
            )
        # Loading takes the file's tensors for the parameters, so the optimizer has to be told of them.
        self.optimizer.param_groups[0]["params"] = list(self.network.parameters())
        for name, parameter in self.network.named_parameters():
            moments = {theirs: tensors[f"{mine}.{name}"].to(parameter.device) for mine, theirs in _MOMENTS.items()}
            self.optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous().cpu()
