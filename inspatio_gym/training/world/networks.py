"""A transformer and the text table that its prompts are rows of: what every stage but the codec's trains.

    styles (B,)  --table-->  prompt embeddings (B, L, text_dim)  --dit.read-->  text

The table is learned with the control teacher, and the same for all networks ever after.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from inspatio_gym.checkpoints.weights import load_strictly, read_weights
from inspatio_gym.star.dit import Dit, DitConfig, Text
from inspatio_gym.star.tiny import TextTable, new_dit
from inspatio_gym.training.state import average
from inspatio_gym.training.world.latents import LatentPool
from inspatio_gym.training.world.looks import HeldOut
from inspatio_gym.training.world.ranks import rank
from inspatio_gym.training.world.seeds import generator, lots
from inspatio_gym.training.world.stage import Rated, descend

NULL = 0  # the row of no prompt at all
FILMED = 2  # that of the real-like family, "camera"
DROPPED = 0.1  # share of clips that are shown without a prompt, for guidance
WEIGHT_DECAY = 0.01


class Prompted(nn.Module):
    """`dit` and its `table`."""

    def __init__(self, dit: Dit, table: TextTable):
        super().__init__()
        self.dit, self.table = dit, table

    @classmethod
    def new(cls, sizes: DitConfig) -> Self:
        """Of random weights."""
        return cls(new_dit(sizes), TextTable(text_len=sizes.text_len, text_dim=sizes.text_dim))

    @classmethod
    def load(cls, file: Path, sizes: DitConfig) -> Self:
        """What a stage left in `file`, float32. Raises FileNotFoundError, WeightsError."""
        network = cls.new(sizes)
        load_strictly(network, {name: value.float() for name, value in read_weights(file).items()}, file)
        return network

    def read(self, styles: Tensor) -> Text:
        """Rows (B,) of the table as the transformer reads them."""
        return self.dit.read(self.table(styles))


class PromptedStage:
    """What the stages that train one such network have in common; those of its parameters that take gradients learn."""

    name: str
    place: int  # of its random numbers

    def __init__(self, network: Prompted, pool: LatentPool, held_out: HeldOut, effort: Rated, seed: int):
        self.network, self.averaged = network, deepcopy(network).requires_grad_(False)
        self.networks = {"network": self.network, "averaged": self.averaged}
        # Of all parameters, so that a state fits whichever of them learn: those without a gradient stay as they are.
        adam = torch.optim.AdamW(network.parameters(), effort.learning_rate, weight_decay=WEIGHT_DECAY)
        self.optimizers = {"adam": adam}
        self.pool, self.held_out, self.batch, self.seed = pool, held_out, effort.batch, seed

    def draw(self, number: int) -> torch.Generator:
        """Random numbers of the step `number`."""
        return generator(self.network.dit.device, self.seed, self.place, rank(), number)

    def lots(self, number: int) -> torch.Generator:
        """Those that say which clips the step `number` is shown."""
        return lots(self.seed, self.place, rank(), number)

    def learn(self, loss: Tensor, number: int) -> Mapping[str, Tensor]:
        """Take a step down the loss."""
        norm = descend(loss, self.optimizers["adam"])
        average(self.averaged, self.network, number)
        return {"flow": loss, "norm": norm}

    def weights(self) -> dict[str, Tensor]:
        return self.averaged.state_dict()


def dropped(styles: Tensor, draw: torch.Generator) -> Tensor:
    """Styles (B,), a tenth of them, any, replaced by the null prompt."""
    return styles.masked_fill(torch.rand(len(styles), generator=draw, device=styles.device) < DROPPED, NULL)
