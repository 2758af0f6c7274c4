"""Worlds in RLlib (its new API stack): every env runner steps a share of them as one batch.

    config = in_worlds(PPOConfig(), scene="room", control="rotation").env_runners(num_env_runners=2, num_envs_per_env_runner=16)

This is `config.environment("inspatio_gym:InSpatio-v0", env_config=...)`, in which the module's name lets every runner's
process register the id, and `gym_env_vectorize_mode="vector_entry_point"`, by which the runner makes an `InSpatioVectorEnv`
rather than that many single environments. RLlib's runners expect autoreset mode NEXT_STEP, the default.

Observations stay a dictionary; `inspatio_gym.agents.rllib` has the network for that.

Ref: https://docs.ray.io/en/latest/rllib/rllib-env.html
"""

from typing import TYPE_CHECKING, Any, TypeVar

from gymnasium.vector import AutoresetMode

from inspatio_gym.envs.worlds import as_mode

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

Config = TypeVar("Config", bound="AlgorithmConfig")


def in_worlds(config: Config, env_id: str = "InSpatio-v0", **arguments: Any) -> Config:
    """`config` with worlds of `env_id` for its environment; `arguments` are those of `InSpatioVectorEnv`.

    Raises ValueError for an autoreset mode that RLlib's runners would misread.
    """
    mode = as_mode(arguments.get("autoreset_mode", AutoresetMode.NEXT_STEP))
    if mode is not AutoresetMode.NEXT_STEP:
        raise ValueError(f"expected autoreset_mode {AutoresetMode.NEXT_STEP.value!r} for RLlib, got {mode.value!r}")
    config.environment(f"inspatio_gym:{env_id}", env_config=arguments)
    config.env_runners(gym_env_vectorize_mode="vector_entry_point")
    return config
