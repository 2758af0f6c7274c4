"""Time is an action: play, slow down, pause, run backwards, all from a camera that stands still.

python examples/02_time_control.py [--video clip.mp4]
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.scenes import save_video

PROGRAMME = [("play", 1.0, 10), ("slow", 0.25, 10), ("pause", 0.0, 5), ("reverse", -1.0, 10)]  # name, rate, steps


def main(video: Path | None = None, out: Path = Path("runs/examples/time_control.mp4")) -> None:
    """Run the programme. video: any video file; without one the bundled room is the world."""
    source = {"video": video} if video else {"scene": "room"}
    env = gym.make(
        "InSpatio-v0",
        **source,
        control="time",  # the action is time alone: Box(-1, 1, (1,))
        mount="world",  # the camera does not ride the recorded one
        frames_per_step=3,
        include_frames=True,  # all frames of a step in info["frames"], not only the last
        size=(192, 320),
    )
    _, info = env.reset(seed=0, options={"time": 0.0, "pose": np.eye(4)})
    frames = [info["frames"][-1]]
    for name, rate, steps in PROGRAMME:
        began = info["source_time"]
        for _ in range(steps):
            *_, info = env.step(np.array([rate], np.float32))
            frames.extend(info["frames"])
        print(f"{name:>8}: {steps * 3} frames shown, the video went from {began:.2f} s to {info['source_time']:.2f} s")
    env.close()
    print(f"wrote {save_video(out, frames, fps=25)}")


if __name__ == "__main__":
    tyro.cli(main)
