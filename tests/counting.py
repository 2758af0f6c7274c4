"""Worlds that count: what every vector environment and every view of one must tell, to the digit.

A `Counting` task observes (episode, step) and rewards a step with 100 episode + step. A world ends when it is told to: a
full turn terminates (`END`), `LIMIT` steps truncate, and whoever turns in the last step does both. A seed begins the count
anew. So whoever watches can say from the actions alone what must be seen, which is what `expected` does.
"""

from typing import NamedTuple

import gymnasium as gym
import numpy as np

LIMIT = 3
END = np.array([1, 0], np.float32)  # yaw and pitch of rotation control: 15 degrees a step
GO = np.array([0.1, 0], np.float32)


class Counting:
    """See the module's docstring."""

    observation_spaces = {"count": gym.spaces.Box(0, 10_000, (2,), np.float32)}  # noqa: RUF012

    def __init__(self):
        self.episode, self.t, self.rng = 0, 0, None

    def reset(self, moment, rng):
        seeded = self.rng not in (None, rng)  # another generator than the last episode's
        self.episode, self.t, self.rng = (1 if seeded else self.episode + 1), 0, rng

    def step(self, moment):
        self.t += 1
        return 100.0 * self.episode + self.t, moment.turned_deg > 10

    def observation(self):
        return {"count": np.array([self.episode, self.t], np.float32)}

    def metrics(self):
        return {"steps": self.t}

    def snapshot(self):
        return {"episode": self.episode, "t": self.t}

    def restore(self, snapshot, scene):
        self.episode, self.t, self.rng = snapshot["episode"], snapshot["t"], None


class Transition(NamedTuple):
    """What a learner learns from: counts (episode, step) before and after a step, and what the step said."""

    before: tuple[float, ...]
    reward: float
    terminated: bool
    truncated: bool
    after: tuple[float, ...]


def counts(observations, world: int) -> tuple[float, ...]:
    """What a world has counted: (episode, step)."""
    return tuple(float(number) for number in observations["count"][world])


def policy(observations) -> np.ndarray:
    """Actions (N, 2) that depend on what each world has counted alone: some episodes are ended, others run out."""
    episode, t = np.moveaxis(np.asarray(observations["count"]), -1, 0)
    return np.where(((episode + 2 * t) % 5 == 4)[:, None], END, GO)


def expected(actions) -> list[Transition]:
    """What must be seen of a world that takes these actions from a seed on."""
    story, episode, t = [], 1, 0
    for action in actions:
        before, t = (episode, t), t + 1
        terminated, truncated = bool(abs(action[0]) > 0.7), t == LIMIT
        story.append(Transition(before, 100 * episode + t, terminated, truncated, (episode, t)))
        if terminated or truncated:
            episode, t = episode + 1, 0
    return story
