"""RLlib: PPO on its new API stack, many worlds in every env runner.

python examples/07_rllib.py [--video clip.mp4] [--steps 50000] [--num-env-runners 2]

Needs: pip install "inspatio-gym[agents,rllib]"
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import tyro
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from inspatio_gym.agents.rllib import WorldModule
from inspatio_gym.envs.rllib import in_worlds

N_STEPS = 64  # of every world between two updates


def train(
    steps: int, num_envs: int, worlds: dict[str, Any], num_env_runners: int = 0, seed: int = 0
) -> Iterator[tuple[int, float]]:
    """PPO for so many steps; yields the steps so far and the mean return of the last episodes after every update."""
    config = in_worlds(PPOConfig(), **worlds).debugging(seed=seed)
    config.env_runners(
        num_env_runners=num_env_runners,  # processes that step `num_envs` worlds each; 0: this process does
        num_envs_per_env_runner=num_envs,
        rollout_fragment_length=N_STEPS,
    )
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=WorldModule))
    batch = N_STEPS * num_envs * max(1, num_env_runners)
    config.training(
        train_batch_size=batch,
        minibatch_size=min(256, batch),
        num_epochs=4,
        lr=[[0, 7e-4], [steps, 0.0]],
        gamma=0.97,
        lambda_=0.95,
        clip_param=0.2,
        vf_loss_coeff=0.5,
        vf_clip_param=float("inf"),
        use_kl_loss=False,
        grad_clip=0.5,
        grad_clip_by="global_norm",
    )
    agent = config.build_algo()
    done = 0
    while done < steps:
        result = agent.train()["env_runners"]
        done = int(result["num_env_steps_sampled_lifetime"])
        yield done, float(result["episode_return_mean"])
    agent.stop()


def main(video: Path | None = None, steps: int = 20_000, num_envs: int = 8, num_env_runners: int = 0) -> None:
    """Train for `steps` steps. video: any video file; without one the bundled room is the world."""
    source = {"video": str(video.resolve())} if video else {"scene": "room"}
    worlds = {**source, "control": "rotation", "size": (48, 80), "max_episode_steps": 50}
    ray.init(include_dashboard=False, log_to_driver=False)
    for done, returned in train(steps, num_envs, worlds, num_env_runners):
        print(f"after {done:,} steps: return of an episode {returned:.2f} views", flush=True)
    ray.shutdown()


if __name__ == "__main__":
    tyro.cli(main)
