"""The TorchRL environment keeps TorchRL's own laws, and its PPO learns in it; what its tensordicts hold from step to step
is in `test_vector_contract`."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

pytest.importorskip("torchrl", reason="needs the extra torchrl")
import torch
from torchrl.collectors import Collector
from torchrl.envs import RewardSum, TransformedEnv
from torchrl.envs.utils import check_env_specs
from torchrl.objectives import ClipPPOLoss

from inspatio_gym.agents.torchrl import actor_value
from inspatio_gym.envs.torchrl import as_spec, to_torchrl


def worlds(control: str = "rotation", mode: AutoresetMode = AutoresetMode.DISABLED, num_envs: int = 3):
    return gym.make_vec(
        "InSpatio-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=mode,
        **{"scene": "room", "model": "fake", "size": (16, 24), "max_episode_steps": 4, "min_coverage": 0.0},
        control=control,
    )


@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("control", ["rotation", "discrete"])
def test_it_is_an_environment_by_torchrls_own_check(control, mode):
    check_env_specs(to_torchrl(worlds(control, mode)), seed=0)


def test_seeds_are_the_vector_environments():
    env, twin = to_torchrl(worlds()), worlds()
    env.set_seed(5)
    first, after = env.reset(), env.reset()
    observations, _ = twin.reset(seed=5)
    assert all((first[key].numpy() == value).all() for key, value in observations.items())
    observations, _ = twin.reset()  # the seed holds for one reset
    assert all((after[key].numpy() == value).all() for key, value in observations.items())


@pytest.mark.parametrize("control", ["rotation", "discrete"])
def test_a_policy_and_its_values_learn_from_what_a_collector_brings(control):
    torch.manual_seed(0)
    envs = worlds(control)
    env = TransformedEnv(to_torchrl(envs), RewardSum())
    env.set_seed(0)
    model = actor_value(env, envs.single_observation_space, envs.single_action_space)
    loss = ClipPPOLoss(model.get_policy_operator(), model.get_value_operator(), entropy_bonus=False)
    assert sum(p.numel() for p in loss.parameters()) == sum(p.numel() for p in model.parameters())
    loss.make_value_estimator(gamma=0.97, lmbda=0.95)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
    collector = Collector(
        env, model.get_policy_operator(), frames_per_batch=24, total_frames=48, auto_register_policy_transforms=False
    )
    for batch in collector:
        assert batch.shape == (3, 8)
        assert batch["next", "truncated"].sum(1).tolist() == [[2], [2], [2]]
        assert not batch["next", "terminated"].any()
        ends = batch["next", "done"][..., 0]
        sums = batch["next", "reward"].reshape(3, 2, 4).sum(2)
        assert torch.allclose(batch["next", "episode_reward"][ends].reshape(3, 2), sums, atol=1e-6)
        losses = loss(batch)
        optimizer.zero_grad()
        (losses["loss_objective"] + losses["loss_critic"]).backward()
        optimizer.step()
    assert all((new != old).any() for new, old in zip(model.parameters(), before, strict=True) if old.requires_grad)
    collector.shutdown()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="expected autoreset mode NEXT_STEP or DISABLED"):
        to_torchrl(worlds(mode=AutoresetMode.SAME_STEP))
    with pytest.raises(ValueError, match="expected a box or a discrete space"):
        as_spec(gym.spaces.MultiBinary(3), torch.Size([2]), torch.device("cpu"))
    envs = worlds()
    envs.single_observation_space = gym.spaces.Box(0, 1, (2,), np.float32)
    with pytest.raises(ValueError, match="expected observations of a dictionary"):
        to_torchrl(envs)
