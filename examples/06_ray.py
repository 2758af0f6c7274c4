"""Many worlds in many processes, through Ray: step them, kill a process, and see that no world has noticed.

python examples/06_ray.py [--video clip.mp4] [--num-actors 2]

Joins the Ray at RAY_ADDRESS, or starts one for as long as it runs. Needs: pip install "inspatio-gym[ray]"
"""

import os
import signal
import time
from pathlib import Path

import tyro

from inspatio_gym.envs import RayVectorEnv


def main(video: Path | None = None, num_envs: int = 16, num_actors: int = 2, steps: int = 50) -> None:
    """Step `num_envs` worlds `steps` times. video: any video file; without one the bundled room is the world."""
    source = {"video": video} if video else {"scene": "room"}
    envs = RayVectorEnv("InSpatio-v0", num_envs, num_actors=num_actors, snapshot_every=20, **source, model="warp")
    envs.action_space.seed(0)
    envs.reset(seed=0)
    begun = time.perf_counter()
    for k in range(steps):
        if k == steps // 2:
            os.kill(envs.actor_pids[0], signal.SIGKILL)  # its worlds are made anew elsewhere, and go on
        *_, infos = envs.step(envs.action_space.sample())
    rate = num_envs * steps / (time.perf_counter() - begun)
    print(f"{num_envs} worlds, {num_actors} processes, one killed: {rate:,.0f} steps/s in total")
    print("explored by each, of its scene:", ", ".join(f"{part:.0%}" for part in infos["explored_fraction"]))
    envs.close()


if __name__ == "__main__":
    tyro.cli(main)
