"""SB3's algorithms, made from recipes."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from inspatio_gym.agents.devices import find_device
from inspatio_gym.agents.policy import policy_arguments
from inspatio_gym.agents.recipes import PPORecipe, Recipe, RecurrentPPORecipe, SACRecipe
from inspatio_gym.extras import extra

with extra("agents"):
    from sb3_contrib import RecurrentPPO
    from stable_baselines3 import PPO, SAC
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv


def make_algorithm(
    recipe: Recipe, worlds: VecEnv, *, remaining: Callable[[float], float], seed: int, device: str
) -> BaseAlgorithm:
    """The algorithm whose recipe it is, with an untrained policy.

    remaining: what is left of the training, 1 to 0, given what is left of its steps. Raises ValueError for worlds that
    the algorithm cannot act in, numbers that leave it nothing to learn from, and a device that is not there.
    """
    common: dict[str, Any] = {
        "policy_kwargs": policy_arguments(recipe),
        "seed": seed,
        "device": find_device(device),
        "gamma": recipe.gamma,
    }
    falling = lambda left: recipe.learning_rate * remaining(left)  # noqa: E731
    if isinstance(recipe, SACRecipe):
        if not isinstance(worlds.action_space, gym.spaces.Box):
            raise ValueError(
                f"expected continuous actions for sac, got {worlds.action_space}: pass --algo ppo, or --control free"
            )
        return SAC(
            "MultiInputPolicy",
            worlds,
            learning_rate=recipe.learning_rate,
            buffer_size=recipe.buffer_size,
            learning_starts=recipe.learning_starts,
            batch_size=recipe.batch_size,
            gradient_steps=recipe.gradient_steps,
            tau=recipe.tau,
            **common,
        )
    collected = recipe.n_steps * worlds.num_envs
    if collected < 2:
        raise ValueError(f"expected 2 or more steps between two updates, got {collected}: pass a larger --num-envs")
    if recipe.batch_size < 2:
        raise ValueError(f"expected a batch_size of 2 or more, got {recipe.batch_size}: 256 is the default")
    on_policy: dict[str, Any] = {
        "learning_rate": falling,
        "n_steps": recipe.n_steps,
        "batch_size": min(recipe.batch_size, collected),
        "n_epochs": recipe.n_epochs,
        "gae_lambda": recipe.gae_lambda,
        "clip_range": recipe.clip_range,
        "ent_coef": recipe.ent_coef,
        "vf_coef": recipe.vf_coef,
        "max_grad_norm": recipe.max_grad_norm,
    }
    if isinstance(recipe, RecurrentPPORecipe):
        return RecurrentPPO("MultiInputLstmPolicy", worlds, **on_policy, **common)
    assert isinstance(recipe, PPORecipe)
    return PPO("MultiInputPolicy", worlds, **on_policy, **common)
