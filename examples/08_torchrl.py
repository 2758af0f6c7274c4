"""TorchRL: PPO from its parts, many worlds as one batched environment.

python examples/08_torchrl.py [--video clip.mp4] [--steps 50000]

Needs: pip install "inspatio-gym[agents,torchrl]"
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
import tyro
from torchrl.collectors import Collector
from torchrl.envs import RewardSum, TransformedEnv
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.agents.torchrl import actor_value
from inspatio_gym.envs.torchrl import to_torchrl

N_STEPS = 64  # of every world between two updates
EPOCHS, MINIBATCH = 4, 256
LEARNING_RATE = 7e-4


def train(steps: int, num_envs: int, worlds: dict[str, Any], seed: int = 0) -> Iterator[tuple[int, float]]:
    """PPO for so many steps; yields the steps so far and the mean return of the last episodes after every update."""
    torch.manual_seed(seed)
    envs = gym.make_vec(
        "InSpatio-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode="Disabled",  # TorchRL resets the worlds that are done
        **worlds,
    )
    env = TransformedEnv(to_torchrl(envs), RewardSum())
    env.set_seed(seed)
    model = actor_value(env, envs.single_observation_space, envs.single_action_space)
    advantages = GAE(gamma=0.97, lmbda=0.95, value_network=model.get_value_operator(), average_gae=False)
    loss = ClipPPOLoss(
        model.get_policy_operator(),
        model.get_value_operator(),
        clip_epsilon=0.2,
        entropy_bonus=False,
        critic_coeff=0.5,
        loss_critic_type="l2",
        normalize_advantage=True,
    )
    optimizer = torch.optim.Adam(loss.parameters(), LEARNING_RATE)
    batch_size = N_STEPS * num_envs
    collector = Collector(
        env,
        model.get_policy_operator(),
        frames_per_batch=batch_size,
        total_frames=-(-steps // batch_size) * batch_size,
        auto_register_policy_transforms=False,
    )
    returns: deque[float] = deque(maxlen=100)
    done = 0
    for batch in collector:  # (num_envs, N_STEPS)
        done += batch.numel()
        returns.extend(batch["next", "episode_reward"][batch["next", "done"]].tolist())
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * max(0.0, 1 - done / steps)
        with torch.no_grad():
            advantages(batch)
        flat = batch.reshape(-1)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(flat)).split(MINIBATCH):
                losses = loss(flat[chosen])
                optimizer.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                torch.nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        yield done, sum(returns) / max(1, len(returns))
    collector.shutdown()


def main(video: Path | None = None, steps: int = 20_000, num_envs: int = 8) -> None:
    """Train for `steps` steps. video: any video file; without one the bundled room is the world."""
    source = {"video": video} if video else {"scene": "room"}
    worlds = {**source, "control": "rotation", "size": (48, 80), "max_episode_steps": 50}
    for done, returned in train(steps, num_envs, worlds):
        print(f"after {done:,} steps: return of an episode {returned:.2f} views", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
