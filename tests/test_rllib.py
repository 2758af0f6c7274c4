"""RLlib steps worlds in batches and its PPO learns in them; what its episodes hold is in `test_vector_contract`."""

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("ray", reason="needs the extra rllib")
pytest.importorskip("tree", reason="needs the extra rllib")
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from inspatio_gym.agents.actor_critic import ActorCritic
from inspatio_gym.agents.recipes import Network
from inspatio_gym.agents.rllib import WorldModule
from inspatio_gym.envs.rllib import in_worlds
from inspatio_gym.envs.vector_env import InSpatioVectorEnv

WORLDS = {"scene": "room", "model": "fake", "size": (16, 24), "max_episode_steps": 5, "min_coverage": 0.0}
TINY = Network(patch=4, channels=(4,), image_features=8, state_features=8, hidden=(8,))


@pytest.mark.parametrize("control", ["rotation", "discrete"])
def test_a_runner_steps_one_batch_of_worlds_and_its_episodes_are_whole(control):
    config = in_worlds(PPOConfig(), **WORLDS, control=control).env_runners(num_env_runners=0, num_envs_per_env_runner=4)
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=WorldModule, model_config={"network": TINY}))
    runner = SingleAgentEnvRunner(config=config, worker_index=0)
    assert isinstance(runner.env.unwrapped, InSpatioVectorEnv)
    assert runner.env.num_envs == 4
    episodes = runner.sample(num_episodes=8)
    assert [len(episode) for episode in episodes] == [5] * len(episodes)
    assert all(episode.is_truncated and not episode.is_terminated for episode in episodes)
    for episode in episodes:
        assert episode.get_observations()["rgb"].dtype == np.uint8
        assert episode.get_actions() in gym.vector.utils.batch_space(runner.env.single_action_space, 5)
    runner.stop()


def test_the_id_alone_will_do():
    """As RLlib's own pages have it, where the process has imported the package."""
    config = PPOConfig().environment("InSpatio-v0", env_config=WORLDS)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=2, gym_env_vectorize_mode="vector_entry_point")
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=WorldModule))
    runner = SingleAgentEnvRunner(config=config, worker_index=0)
    assert isinstance(runner.env.unwrapped, InSpatioVectorEnv)
    assert sum(len(episode) for episode in runner.sample(num_timesteps=6)) == 6
    runner.stop()


def test_the_networks_values_are_those_of_the_forward_pass():
    space = gym.make_vec("InSpatio-v0", 2, vectorization_mode="vector_entry_point", **WORLDS).single_observation_space
    batch = {key: torch.from_numpy(part.sample()[None]) for key, part in space.spaces.items()}
    module = WorldModule(observation_space=space, action_space=gym.spaces.Discrete(5), model_config={"network": TINY})
    out = module.forward_train({Columns.OBS: batch})
    assert out[Columns.ACTION_DIST_INPUTS].shape == (1, 5)
    values = module.compute_values({Columns.OBS: batch})
    assert torch.equal(values, module.compute_values({Columns.OBS: batch}, out[Columns.EMBEDDINGS]))
    assert values.shape == (1,)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="expected autoreset_mode 'NextStep' for RLlib, got 'SameStep'"):
        in_worlds(PPOConfig(), **WORLDS, autoreset_mode="SameStep")
    space = gym.spaces.Dict({"rgb": gym.spaces.Box(0, 255, (16, 24, 3), np.uint8), "x": gym.spaces.Box(0, 1, (2,))})
    with pytest.raises(ValueError, match="expected actions of a discrete space or a flat box"):
        ActorCritic(space, gym.spaces.MultiBinary(3), TINY)
