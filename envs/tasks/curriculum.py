"""The goal task, from easy to as hard as asked for: its difficulty grows as the world's agent succeeds.

    level 0 ... 1       goals in the range `easy`  ...  in that of `difficulty`, in steps of 1/10
    rate                running mean of success over about the last 10 episodes

A rate above `RISE` lifts the level a step, one below `FALL` lowers it, and either sets the rate to the middle again. An episode
that is cut off by a reset has failed.

Level and rate belong to a world, so that its episodes do not depend on its neighbours, and lie in its snapshots. A reset with
a seed begins them anew, as it does everything random. Train with task="goal-curriculum", evaluate with task="goal".

Ref: Bengio et al. 2009, "Curriculum learning".
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from inspatio_gym.envs.tasks import Moment
from inspatio_gym.envs.tasks.goal import DIFFICULTIES, Goal

if TYPE_CHECKING:
    from inspatio_gym.scenes import Scene

LEVELS = 10
RISE, FALL = 0.8, 0.3
MIDDLE = 0.5
WEIGHT = 0.1  # of an episode in the running mean


class GoalCurriculum(Goal):
    """`Goal` with goals that come nearer or go farther away; see the module's docstring. Adds the metric `level`."""

    def __init__(self, difficulty: str | Mapping[str, Any] = "medium", **options: Any):
        super().__init__(difficulty, **options)
        self._hardest = self.wanted
        self._rng: np.random.Generator | None = None
        self._going = False

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        if not self._going or self._rng not in (None, rng):  # another generator: a reset with a seed
            self._step, self._rate = 0, MIDDLE
        else:
            self._count(self.success)
        self._going, self._rng = True, rng
        self.wanted = DIFFICULTIES["easy"].towards(self._hardest, self._step / LEVELS)
        super().reset(moment, rng)

    def metrics(self) -> dict[str, float]:
        return {**super().metrics(), "level": self._step / LEVELS}

    def snapshot(self) -> dict[str, Any]:
        return {**super().snapshot(), "level": self._step, "rate": self._rate}

    def restore(self, snapshot: Mapping[str, Any], scene: "Scene") -> None:
        super().restore(snapshot, scene)
        self._step, self._rate = snapshot["level"], snapshot["rate"]
        self._going, self._rng = True, None  # whichever comes

    def _count(self, success: bool) -> None:
        self._rate += WEIGHT * (success - self._rate)
        if self._rate > RISE or self._rate < FALL:
            up = 1 if self._rate > RISE else -1
            self._step, self._rate = min(max(self._step + up, 0), LEVELS), MIDDLE
