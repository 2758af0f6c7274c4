"""A video becomes a world: look around in it at random, and film what is seen beside its depth.

python examples/01_hello_world.py [--video clip.mp4]
"""

from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np
import tyro

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.scenes import save_video


def picture(observation: dict[str, np.ndarray]) -> np.ndarray:
    """The observed colours beside the observed depth, bright where it is near: (H, 2 W, 3) uint8."""
    near = (255 / (1 + observation["depth"])).astype(np.uint8)
    return np.hstack([observation["rgb"], cv2.applyColorMap(near, cv2.COLORMAP_INFERNO)[..., ::-1]])


def main(video: Path | None = None, steps: int = 60, out: Path = Path("runs/examples/hello_world.mp4")) -> None:
    """Step a world `steps` times. video: any video file; without one the bundled room is the world."""
    source = {"video": video} if video else {"scene": "room"}
    env = gym.make("InSpatio-v0", **source, model="warp", size=(192, 320), frames_per_step=6)

    observation, info = env.reset(seed=0)
    frames, action, collected = [picture(observation)], np.zeros(7, np.float32), 0.0
    for _ in range(steps):
        # Right, up, forward, yaw, pitch, roll, time, each in [-1, 1]; half of the last action stays, so it drifts.
        action = np.clip(0.5 * action + env.np_random.normal(0, 0.3, 7), -1, 1).astype(np.float32)
        action[6] = 1  # let time play
        observation, reward, terminated, truncated, info = env.step(action)
        collected += float(reward)
        frames.append(picture(observation))
        if terminated or truncated:
            print(
                f"episode over ({info['truncated_reason']}): return {collected:.1f}, explored {info['explored_fraction']:.0%}"
            )
            observation, info = env.reset()
            collected = 0.0
    env.close()
    print(f"wrote {save_video(out, frames, fps=5)}")


if __name__ == "__main__":
    tyro.cli(main)
