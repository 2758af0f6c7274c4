"""Where a training of the depth network stands: both sets of weights, the optimizer, steps taken and seconds spent."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from inspatio_gym.files import written_whole
from inspatio_gym.training.state import average, halves, packed, read_state, unpack, write_state


class State:
    """Weights, their average, and the optimizer; `step` taken and `seconds` spent so far."""

    def __init__(self, network: nn.Module, averaged: nn.Module, optimizer: torch.optim.AdamW):
        self.network, self.averaged, self.optimizer = network, averaged, optimizer
        self.step, self.seconds = 0, 0.0

    def average(self) -> None:
        """Bring the averaged weights a little closer to the network's."""
        average(self.averaged, self.network, self.step)

    @torch.no_grad()
    def forget_statistics(self) -> None:
        """Take the averaged network's running means and variances: those of a batch that is not finite would stay."""
        for mine, kept in zip(self.network.buffers(), self.averaged.buffers(), strict=True):
            mine.copy_(kept)

    def save(self, folder: Path) -> None:
        """Write state.safetensors, and depth.safetensors: the averaged weights at 16 bits."""
        write_state(folder / "state.safetensors", packed(*self._parts), step=self.step, seconds=self.seconds)
        with written_whole(folder / "depth.safetensors") as partial:
            save_file(halves(self.averaged.state_dict()), partial)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote there, if it did. Raises WeightsError for a file that is cut off."""
        file = folder / "state.safetensors"
        if file.is_file():
            tensors, numbers = read_state(file)
            unpack(tensors, *self._parts)
            self.step, self.seconds = numbers["step"], numbers["seconds"]

    @property
    def _parts(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        return {"network": self.network, "averaged": self.averaged}, {"optimizer": self.optimizer}
