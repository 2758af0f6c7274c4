"""A task of your own: find a landmark. Whatever has the methods of `Task` can be passed as `task=`.

python examples/04_your_own_task.py [--video clip.mp4]

The landmark is a point on the scene's measured surface, and the observation gains its direction in the camera. The
reward is how many degrees nearer the view came to it; the episode terminates when it is in the middle of the view.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.envs.tasks import Moment
from inspatio_gym.geometry.poses import invert

ARRIVED_DEG = 2.0


class FindLandmark:
    """Turn towards a point of the scene."""

    observation_spaces: Mapping[str, gym.Space] = {"landmark": gym.spaces.Box(-1, 1, (3,), np.float32)}

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        height, width = moment.scene.size
        row, column = rng.integers(height // 8, height - height // 8), rng.integers(width // 8, width - width // 8)
        z = moment.scene.depth(moment.frame)[row, column]
        pixel = np.array([column, row, 1.0])
        ray = np.linalg.inv(moment.scene.intrinsics[moment.frame]) @ pixel
        self.point = moment.scene.c2w[moment.frame] @ np.append(z * ray, 1.0)  # in the world
        self._look(moment)

    def step(self, moment: Moment) -> tuple[float, bool]:
        before = self.off_deg
        self._look(moment)
        return before - self.off_deg, self.off_deg < ARRIVED_DEG

    def observation(self) -> Mapping[str, np.ndarray]:
        return {"landmark": self.direction.astype(np.float32)}

    def metrics(self) -> Mapping[str, float]:
        return {"off_deg": self.off_deg, "success": float(self.off_deg < ARRIVED_DEG)}

    def snapshot(self) -> dict[str, Any]:
        return {"point": self.point, "direction": self.direction, "off_deg": self.off_deg}

    def restore(self, snapshot: Mapping[str, Any], scene: Any) -> None:
        self.point, self.direction, self.off_deg = snapshot["point"], snapshot["direction"], snapshot["off_deg"]

    def _look(self, moment: Moment) -> None:
        """The landmark's direction (right, down, forward; length 1) and angle from the middle of the view."""
        inside = (invert(moment.c2w) @ self.point)[:3]
        self.direction = inside / np.linalg.norm(inside)
        self.off_deg = float(np.degrees(np.arccos(np.clip(self.direction[2], -1, 1))))


def servo(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Yaw and pitch towards the landmark, at full speed from 10 degrees off."""
    right, down, forward = observation["landmark"]
    off = np.degrees([np.arctan2(right, forward), -np.arcsin(down)])
    return np.clip(off / 10, -1, 1).astype(np.float32)


def main(video: Path | None = None, episodes: int = 20) -> None:
    """Compare a scripted agent with a random one. video: any video file; without one the bundled room is the world."""
    source = {"video": video} if video else {"scene": "room"}
    env = gym.make(
        "InSpatio-v0",
        **source,
        task=FindLandmark,
        control="rotation",
        frames_per_step=3,
        size=(48, 80),
        max_episode_steps=40,
    )
    for name, agent in (("scripted", servo), ("random", lambda _: env.action_space.sample())):
        env.action_space.seed(0)
        successes = []
        for seed in range(episodes):
            observation, info = env.reset(seed=seed)
            done = False
            while not done:
                observation, _, terminated, truncated, info = env.step(agent(observation))
                done = terminated or truncated
            successes.append(info["success"])
        print(f"{name:>9} agent: {np.mean(successes):.0%} of {episodes} landmarks found")
    env.close()


if __name__ == "__main__":
    tyro.cli(main)
