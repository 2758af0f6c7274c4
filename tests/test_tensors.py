"""Tensors in place of arrays: the same numbers, in the same memory on a CPU, and the same refusals."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from inspatio_gym.envs.tensors import TorchVectorEnv

WORLDS = {"scene": "room", "model": "fake", "size": (16, 24), "max_episode_steps": 2, "min_coverage": 0.0}


def worlds(**arguments):
    return gym.make_vec("InSpatio-v0", 3, vectorization_mode="vector_entry_point", **WORLDS, **arguments)


def same(tensors, arrays) -> None:
    assert tensors.keys() == arrays.keys()
    for key, value in arrays.items():
        assert isinstance(tensors[key], torch.Tensor)
        assert np.array_equal(tensors[key].numpy(), value)
        assert tensors[key].numpy().dtype == value.dtype


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_verb_gives_the_numbers_that_arrays_would_hold(mode):
    envs, twin = TorchVectorEnv(worlds(autoreset_mode=mode)), worlds(autoreset_mode=mode).unwrapped
    assert envs.metadata["autoreset_mode"] is mode
    assert envs.action_names == twin.action_names
    observations, infos = envs.reset(seed=0)
    same(observations, twin.reset(seed=0)[0])
    assert isinstance(infos["coverage"], np.ndarray)
    actions = torch.full((3, 7), 0.1)
    for _ in range(2):
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        expected = twin.step(actions.numpy())
        same(observations, expected[0])
        assert (rewards.dtype, terminations.dtype) == (torch.float32, torch.bool)
        assert rewards.tolist() == expected[1].astype(np.float32).tolist()
        assert truncations.tolist() == expected[3].tolist()
    assert truncations.all()
    if mode is AutoresetMode.SAME_STEP:
        for tensors, arrays in zip(infos["final_obs"], expected[4]["final_obs"], strict=True):
            same(tensors, arrays)
    mask = torch.tensor([True, False, True])
    same(envs.reset(options={"reset_mask": mask})[0], twin.reset(options={"reset_mask": mask.numpy()})[0])
    some = torch.tensor([2, 0])
    same(envs.step_slots(some, actions[:2])[0], twin.step_slots([2, 0], actions[:2].numpy())[0])
    same(envs.restore(1, envs.snapshot(0)), twin.restore(1, twin.snapshot(0)))


def test_tensors_are_on_the_device_that_was_asked_for():
    envs = TorchVectorEnv(worlds(), "meta")  # a device that computes nothing
    observations, _ = envs.reset(seed=0)
    *ends, _ = envs.step(np.zeros((3, 7), np.float32))
    assert {value.device.type for value in (*observations.values(), *ends[0].values(), *ends[1:])} == {"meta"}


def test_bad_actions_and_other_environments_are_refused():
    envs = TorchVectorEnv(worlds())
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="got yaw = nan"):
        envs.step(torch.tensor([[0, 0, 0, torch.nan, 0, 0, 0]]).expand(3, 7))
    with pytest.raises(TypeError, match="expected a vector environment of worlds"):
        TorchVectorEnv(gym.make_vec("CartPole-v1", 2))
