"""Stable-Baselines3, by hand: many worlds in one process, PPO, and a look at what it learned.

python examples/05_stable_baselines.py [--video clip.mp4] [--steps 50000]

`inspatio-gym train` does this with checkpoints, logs and evaluation. Needs: pip install "inspatio-gym[agents]"
"""

from pathlib import Path

import gymnasium as gym
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.envs.sb3 import to_sb3


def main(video: Path | None = None, steps: int = 20_000, num_envs: int = 8) -> None:
    """Train for `steps` steps. video: any video file; without one the bundled room is the world."""
    source = {"video": video} if video else {"scene": "room"}
    envs = gym.make_vec(
        "InSpatio-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",  # one batched world model for all worlds
        **source,
        control="rotation",
        size=(48, 80),
        max_episode_steps=50,
    )
    worlds = VecMonitor(to_sb3(envs))
    agent = PPO("MultiInputPolicy", worlds, n_steps=64, batch_size=128, seed=0, device="cpu")
    before, _ = evaluate_policy(agent, worlds, n_eval_episodes=num_envs)
    agent.learn(steps)
    after, _ = evaluate_policy(agent, worlds, n_eval_episodes=num_envs)
    # 1 is a view's worth: as much new surface as the median recorded frame shows.
    print(f"return of an episode, in views: {before:.2f} untrained, {after:.2f} after {steps:,} steps")
    worlds.close()


if __name__ == "__main__":
    tyro.cli(main)
