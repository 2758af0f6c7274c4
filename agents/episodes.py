"""Whole episodes from chosen start states.

    play(envs, agent, seeds)        one episode from each seed, all worlds at once -> Episodes

A start state is what `reset(seed=...)` draws: scene, moment and pose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from inspatio_gym.agents.baselines import Agent
from inspatio_gym.agents.statistics import Interval, bootstrap

# Numbers in every info that are no score of a task.
NOT_METRICS = ("source_time", "coverage", "collision", "TimeLimit.truncated")


@dataclass(frozen=True, slots=True)
class Episodes:
    """What one agent did from n start states.

    agent: its name. seeds: int64 (n,). returns: float64 (n,). lengths: int64 (n,), steps. metrics: the task's at the end
    of each episode, float64 (n,) each.
    """

    agent: str
    seeds: NDArray[np.int64]
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    metrics: dict[str, NDArray[np.float64]]

    @property
    def interval(self) -> Interval:
        """Mean return and its 95% bootstrap interval."""
        return bootstrap(self.returns)


def make_worlds(world: dict[str, Any], num_envs: int) -> VectorEnv:
    """Worlds of the arguments that `WorldConfig.world` gives, in one process."""
    return gym.make_vec(num_envs=num_envs, vectorization_mode="vector_entry_point", **world)


def play(envs: VectorEnv, agent: Agent, seeds: Sequence[int], frames: list[Any] | None = None) -> Episodes:
    """One episode from each seed, in rounds of `envs.num_envs`; the agent begins anew with every round.

    frames: a list that gets the observations of every step of the first round, a batch a step. Raises ValueError for
    no seeds.
    """
    if not len(seeds):
        raise ValueError("expected one or more start states, got none")
    rounds = [
        _round(envs, agent, seeds[i : i + envs.num_envs], frames if i == 0 else None)
        for i in range(0, len(seeds), envs.num_envs)
    ]
    names = rounds[0].metrics
    return Episodes(
        agent.name,
        np.concatenate([r.seeds for r in rounds]),
        np.concatenate([r.returns for r in rounds]),
        np.concatenate([r.lengths for r in rounds]),
        {name: np.concatenate([r.metrics[name] for r in rounds]) for name in names},
    )


def _round(envs: VectorEnv, agent: Agent, seeds: Sequence[int], frames: list[Any] | None) -> Episodes:
    """`play` for at most as many seeds as there are worlds; the worlds left over play along uncounted."""
    count = len(seeds)
    padded = [*seeds, *[seeds[-1]] * (envs.num_envs - count)]
    observations, infos = envs.reset(seed=padded)  # type: ignore[arg-type]
    agent.begin(padded)
    going = np.arange(envs.num_envs) < count
    returns, lengths = np.zeros(envs.num_envs), np.zeros(envs.num_envs, np.int64)
    metrics: dict[str, NDArray[np.float64]] = {}
    if frames is not None:
        frames.append(observations)
    while going.any():
        observations, rewards, terminations, truncations, infos = envs.step(agent.act(observations, infos))
        if frames is not None:
            frames.append(observations)
        returns[going] += rewards[going]
        lengths[going] += 1
        ending = going & (terminations | truncations)
        if ending.any():
            for k in np.flatnonzero(ending):
                last = {name: values[k] for name, values in infos.items() if not name.startswith("_")}
                for name, value in metrics_of(last).items():
                    metrics.setdefault(name, np.full(envs.num_envs, np.nan))[k] = value
        going &= ~ending
    return Episodes(
        agent.name,
        np.asarray(seeds, np.int64),
        returns[:count],
        lengths[:count],
        {name: values[:count] for name, values in metrics.items()},
    )


def metrics_of(info: dict[str, Any]) -> dict[str, float]:
    """The numbers in one world's info that its task keeps."""
    numbers = (bool, int, float, np.number, np.bool_)
    return {
        name: float(value) for name, value in info.items() if isinstance(value, numbers) and name not in NOT_METRICS
    }
