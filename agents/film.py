"""A film of agents side by side: each plays the same start state, in frames larger and more than it observes.

Two environments go in lockstep for every agent: the small one that it observes, and a large one with every frame, which
gets the same seeds and actions and therefore moves the same camera.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.agents.baselines import Agent
from inspatio_gym.extras import extra
from inspatio_gym.scenes.footage import save_video
from inspatio_gym.types import Rgb

with extra("agents"):
    from PIL import Image, ImageDraw, ImageFont

WIDTH = 480  # of an agent's frames, about
STRIP = 28  # pixels above them, for the words
GAP = 8  # pixels between two agents


@dataclass(frozen=True, slots=True)
class Shown:
    """What an agent did in a step: frames uint8 (n, H, W, 3), their rate a second, and the score so far."""

    frames: NDArray[np.uint8]
    rate: float
    episode: int
    total: float
    explored: float | None


def save_film(path: Path, world: dict[str, Any], agents: Sequence[Agent], seed: int, steps: int) -> Rgb:
    """Write `steps` steps of each agent, from start state `seed`, side by side as an H.264 file; returns a frame of it.

    An agent whose episode ends early begins another one, from the next start state. The film goes at the rate of the
    world's first scene, so that a scene of another rate plays faster or slower. world: arguments of `gymnasium.make`.
    """
    together = zip(*(perform(world, agent, seed, steps) for agent in agents), strict=True)
    first = next(together)
    stills: list[Rgb] = []

    def frames() -> Iterator[Rgb]:
        for step, shown in enumerate(itertools.chain([first], together)):
            words = [_strip(agent.name, one) for agent, one in zip(agents, shown, strict=True)]
            for pictures in zip(*(one.frames for one in shown), strict=True):
                columns = [np.vstack([word, picture]) for word, picture in zip(words, pictures, strict=True)]
                frame = _beside(columns)
                yield frame
            if step == steps // 2:
                stills.append(frame)

    save_video(path, frames(), first[0].rate)
    return stills[0]


def perform(world: dict[str, Any], agent: Agent, seed: int, steps: int) -> Iterator[Shown]:
    """What the agent does in `steps` steps, episode after episode, from start states `seed`, `seed` + 1, ..."""
    height, width = world["size"]
    scale = max(1, round(WIDTH / width))
    small = gym.make(**world)
    large = gym.make(**{**world, "size": (scale * height, scale * width), "include_frames": True})
    rate = large.unwrapped.stage.scenes[0].fps  # type: ignore[attr-defined]
    episode = 0
    ended = True
    for _ in range(steps):
        if ended:
            observation, info = small.reset(seed=seed + episode)
            large.reset(seed=seed + episode)
            agent.begin([seed + episode])
            episode, total = episode + 1, 0.0
        action = agent.act(_alone(observation), _alone(info))[0]
        observation, reward, terminated, truncated, info = small.step(action)
        *_, seen = large.step(action)
        total += float(reward)
        ended = terminated or truncated
        yield Shown(seen["frames"], rate, episode, total, info.get("explored_fraction"))
    small.close()
    large.close()


def _alone(values: dict[str, Any]) -> dict[str, Any]:
    """What one world told, as a batch of one."""
    return {name: np.asarray(value)[None] for name, value in values.items()}


def _strip(name: str, shown: Shown) -> Rgb:
    """The words above an agent's frames."""
    width = shown.frames.shape[2]
    strip = Image.new("RGB", (width, STRIP), (24, 24, 24))
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(15)
    draw.text((8, STRIP / 2), name, (255, 255, 255), font, "lm")
    explored = "" if shown.explored is None else f"explored {100 * shown.explored:.0f} %   "
    score = f"episode {shown.episode}   {explored}return {shown.total:+.2f}"
    draw.text((width - 8, STRIP / 2), score, (190, 190, 190), font, "rm")
    return np.asarray(strip)


def _beside(columns: Sequence[Rgb]) -> Rgb:
    gap = np.zeros((columns[0].shape[0], GAP, 3), np.uint8)
    return np.hstack([part for column in columns for part in (column, gap)][:-1])
