"""An agent that goes where it was told once, and never looks: the yardstick of tasks that name a target by a cue.

`cue` says where a target was when it was named, from the recorded camera's axis; `pose` is how far the agent has turned from
that axis. The agent turns by the difference. What a policy reaches beyond it, it reaches by looking, or by a sense of how
things stream by.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.agents.baselines import Infos, Observations, heading_deg
from inspatio_gym.agents.oracle import nearest_action


class DeadReckoning:
    """Turns to observations["cue"] by observations["pose"]. reach: float (7,), how far a full action goes in a step."""

    name = "dead reckoning"

    def __init__(self, space: gym.Space, names: Sequence[str], reach: ArrayLike):
        self.space, self.names, self.reach = space, tuple(names), np.asarray(reach, np.float64)

    def begin(self, seeds: Sequence[int]) -> None:
        """There is nothing to remember."""

    def act(self, observations: Observations, infos: Infos) -> NDArray[Any]:
        """The action of every world; those without a target rest."""
        cue, headings = observations["cue"], heading_deg(observations["pose"])
        wanted = np.zeros((len(cue), 7))
        for k, heading in enumerate(headings):
            wanted[:, 3 + k] = (90 * cue[:, k] - heading) * cue[:, 3]
        return nearest_action(wanted / self.reach, self.space, self.names)
