"""How fast worlds step in Ray actors, beside the same worlds in one process, and how long a killed actor is missed.

    python -m benchmarks.actors [--num-actors 2] [--num-envs 64]

All contenders take turns in every round, and a figure is the median of the rounds. The one process works with one thread,
and with as many as there are actors. Needs: pip install "inspatio-gym[ray]"
"""

import os
import signal
import time
from dataclasses import dataclass
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import ray
import tyro

from inspatio_gym.bench import Run, rates
from inspatio_gym.doctor import machine
from inspatio_gym.envs import RayVectorEnv
from inspatio_gym.envs.ray_shard import Shard
from inspatio_gym.envs.worlds import WorldsVectorEnv
from inspatio_gym.types import Size


@dataclass(frozen=True)
class Config:
    """Measure worlds in actors against worlds in one process."""

    num_envs: int = 64
    """Worlds in all."""
    num_actors: int = 2
    """Actors, each with one CPU."""
    scene: str = "room"
    """A bundled scene or a scene folder."""
    size: Size = (96, 160)
    """Height and width of the observations."""
    seconds: float = 1.0
    """How long each round measures."""
    kills: int = 3
    """How often an actor is killed."""


def main(config: Config) -> None:
    """Print a Markdown table."""
    print(machine())
    worlds = {"scene": config.scene, "model": "warp", "size": config.size}
    process = gym.make_vec(
        "InSpatio-v0", num_envs=config.num_envs, vectorization_mode="vector_entry_point", **worlds
    ).unwrapped
    assert isinstance(process, WorldsVectorEnv)
    actors = RayVectorEnv("InSpatio-v0", config.num_envs, num_actors=config.num_actors, **worlds)
    runs = [steps(process, 1), steps(process, config.num_actors), steps(actors, 1)]
    one, many, through = rates(runs, config.seconds)
    print(f"\n| {config.num_envs} worlds | steps/s | of one thread's | of {config.num_actors} threads' |")
    print("|---|---:|---:|---:|")
    for name, rate in (
        ("one process, one thread", one),
        (f"one process, {config.num_actors} threads", many),
        (f"{config.num_actors} actors", through),
    ):
        print(f"| {name} | {rate:,.0f} | {rate / one:.2f} | {rate / many:.2f} |")
    wall, work = step_seconds(actors)
    floor = exchange_seconds(config.num_actors, work)
    print(
        f"\nof a step of the actors ({1e3 * wall:.1f} ms) {1e3 * (wall - work):.1f} ms, {100 * (1 - work / wall):.0f}%, are "
        f"not the slowest actor's work but orders, answers, waiting;\nRay's own share, with actors that only spin for as "
        f"long and answer nothing: {1e3 * floor:.1f} ms"
    )
    for _ in range(config.kills):
        print(f"\na step during which an actor is killed takes {after_death(actors):.1f} s", end="", flush=True)
    print()
    actors.close()


def steps(envs: WorldsVectorEnv, threads: int) -> Run:
    """4 steps of all worlds with random actions, by so many threads of this process."""
    envs.action_space.seed(0)
    envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(16)]

    def run() -> int:
        with mock.patch.dict(os.environ, INSPATIO_GYM_THREADS=str(threads)):
            for action in actions[:4]:
                envs.step(action)
        actions.append(actions.pop(0))
        return 4 * envs.num_envs

    return run


def step_seconds(envs: RayVectorEnv, count: int = 200) -> tuple[float, float]:
    """How long a step of all worlds takes, and how long of that the slowest actor computes; medians."""
    book, spent = Shard.book, []

    def listen(shard: Shard, order: Any, answer: Any) -> None:
        spent.append(answer.seconds)
        book(shard, order, answer)

    walls, works = [], []
    with mock.patch.object(Shard, "book", listen):
        for _ in range(count):
            action = envs.action_space.sample()
            spent.clear()
            begun = time.perf_counter()
            envs.step(action)
            walls.append(time.perf_counter() - begun)
            works.append(max(spent))
    return float(np.median(walls)), float(np.median(works))


def exchange_seconds(num_actors: int, work: float, count: int = 200) -> float:
    """How much longer than `work` seconds a call of so many actors takes that only spin for as long; median."""
    spinner = ray.remote(num_cpus=0)(Spinner).options(enable_task_events=False)
    actors = [spinner.remote() for _ in range(num_actors)]
    rest = []
    for _ in range(count):
        begun = time.perf_counter()
        waiting = [actor.spin.remote(work) for actor in actors]
        while waiting:
            ready, waiting = ray.wait(waiting)
            ray.get(ready)
        rest.append(time.perf_counter() - begun - work)
    return float(np.median(rest))


class Spinner:
    """An actor that computes and has nothing to say."""

    def spin(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass


def after_death(envs: RayVectorEnv) -> float:
    """Seconds that the step after an actor's death takes."""
    os.kill(envs.actor_pids[0], signal.SIGKILL)
    begun = time.perf_counter()
    envs.step(envs.action_space.sample())
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(tyro.cli(Config))
