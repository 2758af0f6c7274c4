"""A Gymnasium vector environment, seen through Stable-Baselines3's `VecEnv`.

The two agree on batching and differ at the end of an episode. Gymnasium's vector environment says `terminations` and
`truncations` and resets by one of three modes; SB3 wants the observation of the *new* episode at once, and of the old

    infos[k]["terminal_observation"]   its last observation, without a batch axis
    infos[k]["TimeLimit.truncated"]    whether its end was a limit's, not the task's: the value is bootstrapped there

with the info of the last step in `infos[k]` and that of the reset in `reset_infos[k]`. In modes NEXT_STEP and DISABLED
the worlds that have ended are therefore reset at once by `options["reset_mask"]`; SAME_STEP brings both observations.

    venv = to_sb3(gym.make_vec("InSpatio-v0", num_envs=16, scene="room", vectorization_mode="vector_entry_point"))

Ref: https://farama.org/Vector-Autoreset-Mode, https://stable-baselines3.readthedocs.io/en/master/guide/vec_envs.html
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from inspatio_gym.extras import extra

with extra("agents"):
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

Infos = list[dict[str, Any]]


def to_sb3(envs: VectorEnv) -> "Sb3VecEnv":
    """`envs` as an SB3 `VecEnv`.

    Raises ValueError unless its observations are a Box or a flat Dict of boxes and its autoreset mode is stated.
    """
    return Sb3VecEnv(envs)


class Sb3VecEnv(VecEnv):
    """See the module's docstring. `envs` is the vector environment within."""

    def __init__(self, envs: VectorEnv):
        self.envs = envs
        mode = envs.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"expected a vector environment that states its autoreset mode, got metadata {envs.metadata!r}: "
                "set metadata['autoreset_mode'] to a gymnasium.vector.AutoresetMode"
            )
        self._mode = mode
        space = envs.single_observation_space
        self._keys = list(space.spaces) if isinstance(space, gym.spaces.Dict) else None
        parts = list(space.spaces.values()) if isinstance(space, gym.spaces.Dict) else [space]
        if not all(isinstance(part, gym.spaces.Box) for part in parts):
            raise ValueError(f"expected observations of boxes, got {space}: flatten them with a wrapper")
        super().__init__(envs.num_envs, space, envs.single_action_space)

    def reset(self) -> Any:
        """Begin an episode in every world, with the seeds and options given since the last reset."""
        if any(options != self._options[0] for options in self._options):
            raise ValueError("expected the same reset options for every world: pass one dictionary to set_options")
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, infos = self.envs.reset(seed=seeds, options=self._options[0] or None)  # type: ignore[arg-type]
        self.reset_infos = by_world(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, terminations, truncations, batched = self.envs.step(self._actions)
        infos = by_world(batched, self.num_envs)
        ended = np.asarray(terminations) | np.asarray(truncations)
        for info, terminated, truncated in zip(infos, terminations, truncations, strict=True):
            info["TimeLimit.truncated"] = bool(truncated and not terminated)
        if ended.any():
            same_step = self._mode is AutoresetMode.SAME_STEP
            observations = (self._after_reset if same_step else self._reset)(observations, infos, ended)
        return observations, np.asarray(rewards, np.float32), ended, infos

    def _reset(self, last: Any, infos: Infos, ended: np.ndarray) -> Any:
        """Reset the worlds that have ended; their last observations go into `infos`. Returns all observations."""
        for k in np.flatnonzero(ended):
            infos[k]["terminal_observation"] = self._row(last, int(k))
        first, batched = self.envs.reset(options={"reset_mask": ended})
        reset_infos = by_world(batched, self.num_envs)
        for k in np.flatnonzero(ended):
            self.reset_infos[k] = reset_infos[k]
        if self._keys is None:
            return _choose(ended, first, last)
        return {key: _choose(ended, first[key], last[key]) for key in self._keys}

    def _after_reset(self, first: Any, infos: Infos, ended: np.ndarray) -> Any:
        """The worlds that have ended were reset already: sort what came into the last step's and the reset's."""
        for k in np.flatnonzero(ended):
            fresh = infos[k]
            infos[k] = {
                **fresh.pop("final_info", {}),
                "terminal_observation": fresh.pop("final_obs"),
                "TimeLimit.truncated": fresh.pop("TimeLimit.truncated"),
            }
            self.reset_infos[k] = fresh
        return first

    def _row(self, observations: Any, k: int) -> Any:
        """A copy of world k's observation."""
        if self._keys is None:
            return observations[k].copy()
        return {key: observations[key][k].copy() for key in self._keys}

    def close(self) -> None:
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self.envs.render() or [None] * self.num_envs)  # type: ignore[arg-type]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The vector environment's attribute, once for each world asked for."""
        value = getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set the vector environment's attribute, which all worlds share."""
        if indices is not None:
            raise ValueError(f"expected to set {attr_name!r} for all worlds at once, got indices: leave them out")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """There is one vector environment and no environment per world to call: use `venv.envs`."""
        raise NotImplementedError(f"expected a call of the vector environment itself: venv.envs.{method_name}(...)")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]


def _choose(mask: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """Rows of `yes` (N, ...) where `mask` (N,), of `no` elsewhere."""
    return np.where(mask.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)


def by_world(batched: dict[str, Any], num_envs: int) -> Infos:
    """Gymnasium's dictionary of batched infos as one dictionary a world, which holds the keys that the world has.

    A key "x" is a batch (or a nested dictionary of batches) and "_x", where there, says which worlds have it.
    """
    infos: Infos = [{} for _ in range(num_envs)]
    for key, value in batched.items():
        if key.startswith("_"):
            continue
        rows = by_world(value, num_envs) if isinstance(value, dict) else value
        has = batched.get("_" + key)
        for k in range(num_envs) if has is None else np.flatnonzero(has):
            infos[k][key] = rows[k]
    return infos
