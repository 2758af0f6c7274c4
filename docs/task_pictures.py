"""Make the pictures of docs/tasks: what an episode of each task looks like to one who knows the way.

python docs/task_pictures.py            writes docs/images/task-explore.jpg, ...

Each picture is an episode in the bundled room from left to right: the picture of the goal, if the task shows one, and four
views along the oracle's way (in explore: the look-around's), with the time of the video and the steps so far.
"""

from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray

import inspatio_gym  # noqa: F401  registers the ids
from inspatio_gym.agents.evaluate import scripted

SIZE = (144, 240)
VIEWS = 4
TASKS = {
    "explore": "InSpatio-v0",
    "goal": "InSpatioGoal-v0",
    "driving": "InSpatioDriving-v0",
    "moment": "InSpatioMoment-v0",
}


def main(
    out: Path = Path("docs/images"), tasks: tuple[str, ...] = tuple(TASKS), seed: int = 3, steps: int = 24
) -> None:
    """Write a picture of each task into the folder `out`: the episode from start state `seed`, of at most `steps` steps."""
    out.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        if TASKS[task] in gym.registry:
            path = out / f"task-{task}.jpg"
            cv2.imwrite(str(path), episode(TASKS[task], seed, steps)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
            print(f"wrote {path}")


def episode(env: str, seed: int, steps: int) -> NDArray[np.uint8]:
    """An episode as a row of pictures, uint8 (H, W, 3)."""
    envs = gym.make_vec(env, num_envs=1, vectorization_mode="vector_entry_point", scene="room", model="warp", size=SIZE)
    agent = scripted(envs)[0]
    observations, infos = envs.reset(seed=[seed])
    agent.begin([seed])
    shown, ended = [], False
    while True:
        shown.append((observations["rgb"][0], f"{infos['source_time'][0]:.2f} s, step {len(shown)}"))
        if ended or len(shown) > steps:
            break
        observations, _, terminations, truncations, infos = envs.step(agent.act(observations, infos))
        ended = bool(terminations[0] or truncations[0])
    envs.close()
    chosen = [shown[k] for k in np.linspace(0, len(shown) - 1, VIEWS).round().astype(int)]
    goal = [(observations["goal_rgb"][0], "the goal")] if "goal_rgb" in observations else []
    return np.hstack([titled(picture, words) for picture, words in [*goal, *chosen]])


def titled(picture: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """A picture with words in its corner."""
    picture = picture.copy()
    cv2.rectangle(picture, (0, 0), (10 + 7 * len(words), 20), (0, 0, 0), -1)
    cv2.putText(picture, words, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    tyro.cli(main)
