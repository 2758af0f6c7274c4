"""Stage 4, the student becomes what is shipped: `Jdmd.step` over and over, on conditions drawn from the pool.

jdmd    both tasks: geometry from the control teacher, looks from the visual one
v2v     the control task alone, to compare with
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from inspatio_gym.training.world.causal import rolled_out
from inspatio_gym.training.world.conditions import Conditions
from inspatio_gym.training.world.jdmd import Jdmd, JdmdConfig
from inspatio_gym.training.world.latents import LatentPool
from inspatio_gym.training.world.looks import HeldOut, sheet
from inspatio_gym.training.world.networks import FILMED, Prompted
from inspatio_gym.training.world.ranks import rank
from inspatio_gym.training.world.seeds import generator, lots
from inspatio_gym.training.world.stage import Effort
from inspatio_gym.training.world.teachers import filmed

PLACE = 5  # of its random numbers


class DistillationStage:
    """Distils `student` from teachers by task; they share the student's text table."""

    def __init__(
        self,
        name: str,
        student: Prompted,
        teachers: Mapping[str, Prompted],
        pool: LatentPool,
        held_out: HeldOut,
        effort: Effort,
        config: JdmdConfig,
    ):
        self.name, self.pool, self._held_out, self._batch = name, pool, held_out, effort.batch
        self._seed, self._device = config.seed, student.dit.device
        self._jdmd = Jdmd(student.dit, {task: one.dit for task, one in teachers.items()}, student.table, config)
        self.networks, self.optimizers = self._jdmd.networks, self._jdmd.optimizers
        self._averaged = Prompted(self._jdmd.networks["averaged"], student.table)

    def step(self, number: int, done: float) -> Mapping[str, float]:
        known, clean = self.pool.pairs(self._batch, lots(self._seed, PLACE, rank(), number))
        batches = {"control": known, "visual": self._visual(clean)}
        return self._jdmd.step(number, {task: batches[task] for task in self._jdmd.teachers})

    def look(self) -> tuple[dict[str, float], Tensor]:
        draw = generator(self._device, self._seed, PLACE, 0, 0)
        figures, picture = self._held_out.judge(rolled_out(self._averaged, self._held_out.coded.conditions, draw))
        if "visual" in self._jdmd.teachers:
            made = rolled_out(self._averaged, self._visual(self._held_out.coded.clean), draw)
            picture = torch.cat((picture, sheet([self._held_out.decoded(made)])), 1)
        return figures, picture

    def weights(self) -> dict[str, Tensor]:
        return self._averaged.state_dict()

    @staticmethod
    def _visual(like: Tensor) -> Conditions:
        return filmed(torch.full((len(like),), FILMED, device=like.device), like)
