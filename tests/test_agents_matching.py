"""Comparing what is seen with the picture of a goal: what an agent learns to see by moving, and that it is kept."""

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from inspatio_gym.agents.config import TrainConfig
from inspatio_gym.agents.matching import MatchingFeatures
from inspatio_gym.agents.odometry import UNITS, learn_odometry, roam
from inspatio_gym.agents.policy import load_policy
from inspatio_gym.agents.recipes import Network, PPORecipe
from inspatio_gym.agents.train import train
from inspatio_gym.envs.sb3 import to_sb3
from inspatio_gym.envs.vector_env import InSpatioVectorEnv

SIZE = (24, 40)
NETWORK = Network(patch=4, matching=8, image_features=32, state_features=8, hidden=(8,), pairs=50_000)


def worlds(**arguments):
    envs = InSpatioVectorEnv(8, scene="room", model="warp", size=SIZE, task="goal", max_episode_steps=12, **arguments)
    venv = to_sb3(envs)
    venv.seed(0)
    return venv, envs.action_names


def eye_of(venv) -> MatchingFeatures:
    torch.manual_seed(0)
    seen = dict(venv.observation_space.spaces)
    seen |= {key: gym.spaces.Box(0, 255, (3, *SIZE), np.uint8) for key in ("rgb", "goal_rgb")}
    return MatchingFeatures(gym.spaces.Dict(seen), NETWORK)


@pytest.mark.parametrize("control", ["free", "discrete"])
def test_roaming_brings_pictures_with_poses_by_episode(control):
    venv, names = worlds(control=control)
    pictures, poses, episodes = roam(venv, names, 100, np.random.default_rng(0))
    assert pictures.shape == (104, *SIZE, 3)
    assert poses.shape == (104, 7)
    assert len(np.unique(episodes)) >= 8 + 8  # an episode lasts 12 steps
    for episode in np.unique(episodes):
        assert 1 <= (episodes == episode).sum() <= 12
    moved = np.linalg.norm(np.diff(poses[:, :3].reshape(13, 8, 3), axis=0), axis=-1)
    assert (moved > 0).mean() > (0.9 if control == "free" else 0.4)


def test_seeing_is_learned_from_ones_own_motion():
    """On goals that it never moved to, it sees which way they lie; not looking is an error of what there is to see."""
    venv, names = worlds()
    eye = eye_of(venv)
    learn_odometry(eye, venv, names, pairs=NETWORK.pairs, seed=0)
    errors, blind = [], []
    for _ in range(12):
        observations = venv.reset()
        left = np.array([info["to_go"][:6] for info in venv.reset_infos]) / UNITS
        pictures = [torch.from_numpy(observations[key]).permute(0, 3, 1, 2) / 255 for key in ("rgb", "goal_rgb")]
        with torch.no_grad():
            errors.append(np.abs(eye.way(*map(eye.cells, pictures)).numpy() - left)[:, 3:5])
        blind.append(np.abs(left)[:, 3:5])
    assert np.mean(errors) < 0.75 * np.mean(blind)


def test_what_sees_is_kept_while_an_agent_learns(tmp_path: Path):
    tiny = TrainConfig(
        env="InSpatioGoal-v0",
        model="fake",
        size=SIZE,
        max_episode_steps=6,
        num_envs=4,
        steps=64,
        validate_every=0,
        device="cpu",
        ppo=PPORecipe(n_steps=16, network=replace(NETWORK, pairs=512)),
        run=tmp_path / "short",
    )
    short, long = (
        load_policy(train(replace(tiny, steps=steps, run=tmp_path / str(steps))))[0].state_dict() for steps in (64, 192)
    )
    for name in short:
        seen = ".convolutions." in name or ".way_head." in name
        assert torch.equal(short[name], long[name]) == seen, name


def test_it_takes_two_pictures_to_compare():
    with pytest.raises(ValueError, match="rgb and goal_rgb"):
        MatchingFeatures(gym.spaces.Dict({"rgb": gym.spaces.Box(0, 255, (3, *SIZE), np.uint8)}), NETWORK)
