"""Worlds that count: what every vector environment and every view of one must tell, to the digit.

A `Counting` task observes (its world's name, episode, step) and rewards a step with 100 episode + step. A world ends when
it is told to: a full turn terminates (`END`), `LIMIT` steps truncate, and whoever turns in the last step does both. A seed
gives a name and begins the count anew. So whoever watches can say from the actions alone what must be seen, which is what
`expected` does.
"""

from typing import NamedTuple

import gymnasium as gym
import numpy as np

LIMIT = 3
END = np.array([1, 0], np.float32)  # yaw and pitch of rotation control: 15 degrees a step
GO = np.array([0.1, 0], np.float32)


class Counting:
    """See the module's docstring."""

    observation_spaces = {"count": gym.spaces.Box(0, 10_000, (3,), np.float32)}  # noqa: RUF012

    def __init__(self):
        self.name, self.episode, self.t, self.rng = 0, 0, 0, None

    def reset(self, moment, rng):
        if self.rng not in (None, rng) or self.episode == 0:  # another generator than the last episode's
            self.name, self.episode = int(rng.integers(1, 10_000)), 0
        self.episode, self.t, self.rng = self.episode + 1, 0, rng

    def step(self, moment):
        self.t += 1
        return 100.0 * self.episode + self.t, moment.turned_deg > 10

    def observation(self):
        return {"count": np.array([self.name, self.episode, self.t], np.float32)}

    def metrics(self):
        return {"steps": self.t}

    def snapshot(self):
        return {"name": self.name, "episode": self.episode, "t": self.t}

    def restore(self, snapshot, scene):
        self.name, self.episode, self.t = snapshot["name"], snapshot["episode"], snapshot["t"]
        self.rng = None  # whichever comes


class Transition(NamedTuple):
    """What a learner learns from: counts (name, episode, step) before and after a step, and what the step said."""

    before: tuple[float, ...]
    reward: float
    terminated: bool
    truncated: bool
    after: tuple[float, ...]


def policy(observations) -> np.ndarray:
    """Actions (N, 2) that depend on what each world has counted alone: some episodes are ended, others run out."""
    name, episode, t = np.moveaxis(np.asarray(observations["count"]), -1, 0)
    return np.where(((name + episode + 2 * t) % 5 == 4)[..., None], END, GO)


def expected(actions, name: float) -> list[Transition]:
    """What must be seen of the world of that name, which takes these actions from a seed on."""
    story, episode, t = [], 1, 0
    for action in actions:
        before, t = (name, episode, t), t + 1
        terminated, truncated = bool(action[0] > 0.7), t == LIMIT
        story.append(Transition(before, 100 * episode + t, terminated, truncated, (name, episode, t)))
        if terminated or truncated:
            episode, t = episode + 1, 0
    return story
