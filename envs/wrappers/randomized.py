"""Wrappers that apply effects to what is observed, in one world or in a batch of them.

Every world has a random generator of its own for its effects, begun anew with the seed of the world's np_random whenever
that is given one. So a seed says all that is seen, slot k of a batch sees what a single environment with its seed would,
and the start states are those without the wrapper.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from inspatio_gym.envs.wrappers.effects import Effect
from inspatio_gym.types import Arrays

SALT = 0x0B5C  # sets the effects' numbers apart from the world's own


class _Eye:
    """What one world's effects remember."""

    def __init__(self, effects: Sequence[Effect]):
        self._effects = copy.deepcopy(list(effects))

    def seed(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, SALT])

    def begin(self) -> None:
        for effect in self._effects:
            effect.begin(self._rng)

    def see(self, observation: Arrays) -> Arrays:
        for effect in self._effects:
            observation = effect.see(observation, self._rng)
        return observation


class Randomized(gym.Wrapper[Arrays, Any, Arrays, Any], RecordConstructorArgs):
    """One world seen through effects; see the package's docstring."""

    def __init__(self, env: gym.Env[Arrays, Any], effects: Sequence[Effect]):
        RecordConstructorArgs.__init__(self, effects=effects)
        gym.Wrapper.__init__(self, env)
        self._eye = _Eye(effects)
        self._seeded = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        """As the world's own; a seed begins the effects' random numbers anew too."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or not self._seeded:
            self._eye.seed(self.unwrapped.np_random_seed)
            self._seeded = True
        self._eye.begin()
        return self._eye.see(observation), info

    def step(self, action: Any) -> tuple[Arrays, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._eye.see(observation), reward, terminated, truncated, info


class RandomizedVector(VectorWrapper):
    """A batch of worlds seen through effects, in any autoreset mode; `step_slots` is the batch's own, without them."""

    def __init__(self, envs: VectorEnv, effects: Sequence[Effect]):
        super().__init__(envs)
        self._eyes = [_Eye(effects) for _ in range(envs.num_envs)]
        self._seen: Arrays | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """As the worlds' own; a world that is not reset is seen as before."""
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        given = seed if isinstance(seed, Sequence) else [seed] * self.num_envs
        begun = _begun(infos, self.num_envs)
        for k in map(int, np.flatnonzero(begun)):
            if given[k] is not None or self._seen is None:
                self._eyes[k].seed(self.unwrapped.np_random_seed[k])  # type: ignore[index]
        return self._look(observations, infos, begun, going=np.zeros_like(begun)), infos

    def step(self, actions: Any) -> tuple[Arrays, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        begun = _begun(infos, self.num_envs)
        return self._look(observations, infos, begun, going=~begun), rewards, terminations, truncations, infos

    def _look(
        self, observations: Arrays, infos: dict[str, Any], begun: NDArray[np.bool_], going: NDArray[np.bool_]
    ) -> Arrays:
        """What is seen of a batch: worlds in `begun` begin an episode, those in `going` go on, the others show nothing new."""
        last = infos.get("final_obs")
        for k, eye in enumerate(self._eyes):
            if begun[k]:
                if last is not None and last[k] is not None:  # the episode that this step has ended
                    last[k] = eye.see(last[k])
                eye.begin()
            row = {key: values[k] for key, values in observations.items()}
            if begun[k] or going[k]:
                row = eye.see(row)
            else:
                assert self._seen is not None
                row = {key: values[k] for key, values in self._seen.items()}
            for key, values in row.items():
                observations[key][k] = values
        self._seen = {key: values.copy() for key, values in observations.items()}
        return observations


def _begun(infos: Mapping[str, Any], count: int) -> NDArray[np.bool_]:
    """Which worlds have begun an episode: those that name their scene."""
    return np.asarray(infos.get("_scene", np.zeros(count, np.bool_)))
