"""PPO in one file that reads from top to bottom, after the manner of CleanRL: nothing between the loop and Gymnasium.

python examples/09_cleanrl_ppo.py [--video clip.mp4] [--steps 50000] [--num-actors 2]

The one thing to know about vector environments is what step() returns around the end of an episode. In mode NEXT_STEP,
Gymnasium's default, the step that ends an episode returns its last observation, and the step after it ignores its action
and returns the first observation of the next one. That step is no transition: it takes no part in the loss, and no
advantage reaches across it. A truncated episode might have gone on, so its last observation's value counts; a terminated
one's does not.

Needs: pip install "inspatio-gym[agents]", and "inspatio-gym[ray]" for --num-actors
"""

import time
from collections import deque
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Normal

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.envs import RayVectorEnv


class Agent(nn.Module):
    """What to do, and what it is worth: colour and inverse depth through convolutions, pose and time beside them."""

    def __init__(self, envs: gym.vector.VectorEnv):
        super().__init__()
        height, width, _ = envs.single_observation_space["rgb"].shape
        numbers = sum(envs.single_observation_space[key].shape[0] for key in ("pose", "time"))
        self.look = nn.Sequential(
            nn.Conv2d(4, 32, 8, 8), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(128), nn.ReLU()
        )  # fmt: skip
        self.look(torch.zeros(1, 4, height, width))
        self.actor = self._head(128 + numbers, envs.single_action_space.shape[0], gain=0.01)
        self.critic = self._head(128 + numbers, 1, gain=1.0)
        self.log_std = nn.Parameter(torch.full(envs.single_action_space.shape, -2.0))

    @staticmethod
    def _head(inputs: int, outputs: int, gain: float) -> nn.Sequential:
        last = nn.Linear(64, outputs)
        nn.init.orthogonal_(last.weight, gain)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), last)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[Normal, torch.Tensor]:
        """The distribution of actions (B, A) and the values (B,)."""
        image = torch.cat([obs["rgb"] / 255, 1 / (1 + obs["depth"])], -1).permute(0, 3, 1, 2)
        features = torch.cat([self.look(image), obs["pose"], obs["time"]], 1)
        return Normal(self.actor(features), self.log_std.exp()), self.critic(features).squeeze(1)


def main(
    video: Path | None = None,
    steps: int = 20_000,
    num_envs: int = 8,
    num_actors: int = 0,
    num_steps: int = 64,
    epochs: int = 4,
    minibatch: int = 256,
    learning_rate: float = 7e-4,
    gamma: float = 0.97,
    gae_lambda: float = 0.95,
    clip: float = 0.2,
    seed: int = 0,
) -> None:
    """Train for `steps` steps. video: any video file; without one the bundled room is the world.

    num_actors: processes that the worlds are shared out to, through Ray; 0 keeps them in this one. num_steps: of every
    world between two updates.
    """
    torch.manual_seed(seed)
    worlds = {"control": "rotation", "size": (48, 80), "max_episode_steps": 50}
    worlds |= {"video": video} if video else {"scene": "room"}
    if num_actors:
        envs = RayVectorEnv("InSpatio-v0", num_envs, num_actors=num_actors, **worlds)
    else:
        envs = gym.make_vec("InSpatio-v0", num_envs, vectorization_mode="vector_entry_point", **worlds)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), learning_rate, eps=1e-5)

    def tensors(observations: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        return {key: torch.from_numpy(value) for key, value in observations.items()}

    # Row t holds what the worlds showed before step t, and what came of it.
    shape = (num_steps, num_envs)
    obs = {
        key: torch.zeros(*shape, *space.shape, dtype=torch.from_numpy(np.zeros(0, space.dtype)).dtype)
        for key, space in envs.single_observation_space.spaces.items()
    }
    actions = torch.zeros(*shape, *envs.single_action_space.shape)
    logprobs, rewards, terminated, values = (torch.zeros(shape) for _ in range(4))
    ended, real = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)

    observations, _ = envs.reset(seed=seed)
    over = np.zeros(num_envs, bool)  # worlds whose episode ended in the step before: this one only resets them
    returns, recent = np.zeros(num_envs), deque(maxlen=100)
    done, begun = 0, time.perf_counter()
    while done < steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - done / steps)
        for t in range(num_steps):
            now = tensors(observations)
            with torch.no_grad():
                policy, values[t] = agent(now)
            actions[t] = policy.sample()
            logprobs[t] = policy.log_prob(actions[t]).sum(1)
            for key, value in now.items():
                obs[key][t] = value
            observations, reward, terminations, truncations, _ = envs.step(actions[t].clamp(-1, 1).numpy())
            real[t] = torch.from_numpy(~over)
            rewards[t] = torch.from_numpy(reward)
            terminated[t] = torch.from_numpy(terminations)
            over = terminations | truncations
            ended[t] = torch.from_numpy(over)
            returns += reward
            recent.extend(returns[over])
            returns[over] = 0
        done += int(real.sum())

        # The value of what step t led to is that of row t + 1: after an end too, for that row holds the last observation.
        with torch.no_grad():
            _, last = agent(tensors(observations))
        after = torch.cat([values[1:], last[None]])
        advantages, running = torch.zeros(shape), torch.zeros(num_envs)
        for t in reversed(range(num_steps)):
            error = rewards[t] + gamma * after[t] * (1 - terminated[t]) - values[t]
            running = error + gamma * gae_lambda * running * ~ended[t]
            advantages[t] = running
        targets = advantages + values

        kept = real.flatten()
        flat = {key: value.flatten(0, 1)[kept] for key, value in obs.items()}
        parts = (actions.flatten(0, 1), logprobs.flatten(), advantages.flatten(), targets.flatten())
        did, said, better, worth = (part[kept] for part in parts)
        for _ in range(epochs):
            for rows in torch.randperm(len(did)).split(minibatch):
                policy, value = agent({key: part[rows] for key, part in flat.items()})
                ratio = (policy.log_prob(did[rows]).sum(1) - said[rows]).exp()
                advantage = (better[rows] - better[rows].mean()) / (better[rows].std(correction=0) + 1e-8)
                gain = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
                loss = -gain.mean() + 0.5 * (value - worth[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        rate = done / (time.perf_counter() - begun)
        mean = np.mean(recent) if recent else np.nan
        print(f"after {done:,} steps: return of an episode {mean:.2f} views; {rate:,.0f} steps/s", flush=True)
    envs.close()


if __name__ == "__main__":
    tyro.cli(main)
