"""Whether memory stays flat: many worlds, many steps, many episodes, and how much the processes hold meanwhile.

    python -m benchmarks.soak [--steps 1000000] [--worlds 64] [--engine process|ray]

A tenth of the steps are the warm-up: memory is filled that is kept on purpose (views of scenes, buffers that are used
again). From then on the most that is held may be 5 % above what was held at its end. Needs, for --engine ray:
pip install "inspatio-gym[ray]"
"""

import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

import tyro
from tqdm import tqdm

from inspatio_gym.doctor import machine
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.processes import resident
from inspatio_gym.types import Size

FLAT = 0.05
WARM_UP = 0.1
SAMPLES = 100


@dataclass(frozen=True)
class Config:
    """Step worlds with random actions and watch the memory."""

    steps: int = 1_000_000
    """Steps of worlds, all together."""
    worlds: int = 64
    """How many there are."""
    engine: Literal["process", "ray"] = "process"
    """Where they are: in this process, or in Ray actors."""
    num_actors: int = 2
    """Actors, each with one CPU, if they are in actors."""
    scene: tuple[str, ...] = ("room", "street")
    """Bundled scenes or scene folders; every episode draws one."""
    size: Size = (48, 80)
    """Height and width of the observations."""


@dataclass(frozen=True, slots=True)
class Soak:
    """What came of it: steps and episodes done, seconds, and MiB that driver and actors hold, at every sample."""

    steps: int
    episodes: int
    seconds: float
    memory: list[float]

    @property
    def settled(self) -> float:
        """MiB at the end of the warm-up."""
        return self.memory[int(WARM_UP * len(self.memory))]

    @property
    def growth(self) -> float:
        """From then on, the most that was held beyond that, as a part of it."""
        return max(self.memory[int(WARM_UP * len(self.memory)) :]) / self.settled - 1


def soak(config: Config) -> Soak:
    """Step as `config` says, with a progress bar. Raises ValueError for too few steps to say anything."""
    batches = config.steps // config.worlds
    if batches < SAMPLES:
        raise ValueError(
            f"expected at least {SAMPLES * config.worlds} steps of {config.worlds} worlds, got {config.steps}"
        )
    envs = make(config)
    envs.action_space.seed(0)
    envs.reset(seed=0)
    memory, episodes, begun = [], 0, time.perf_counter()
    for t in tqdm(range(batches), unit_scale=config.worlds, unit=" steps", disable=not sys.stderr.isatty()):
        _, _, terminations, truncations, _ = envs.step(envs.action_space.sample())
        episodes += int((terminations | truncations).sum())
        if (t + 1) % (batches // SAMPLES) == 0:
            memory.append((resident() + sum(getattr(envs, "actor_memory", ()))) / 2**20)
    seconds = time.perf_counter() - begun
    envs.close()
    return Soak(batches * config.worlds, episodes, seconds, memory)


def make(config: Config) -> Any:
    """The worlds."""
    worlds = {"scene": list(config.scene), "model": "warp", "size": config.size, "max_episode_steps": 250}
    if config.engine == "process":
        return InSpatioVectorEnv(config.worlds, **worlds)
    from inspatio_gym.envs import RayVectorEnv

    return RayVectorEnv("InSpatio-v0", config.worlds, num_actors=config.num_actors, **worlds)


def main(config: Config) -> int:
    """Print what came of it; returns 1 if memory is not flat."""
    print(machine())
    result = soak(config)
    print(f"{result.steps:,} steps of {config.worlds} worlds at {config.size[0]}x{config.size[1]}, {config.engine}")
    print(f"{result.episodes:,} episodes in {result.seconds:,.0f} s: {result.steps / result.seconds:,.0f} steps/s")
    for share in (0.0, WARM_UP, 0.25, 0.5, 0.75):
        print(f"{100 * share:3.0f} %  {result.memory[int(share * len(result.memory))]:,.1f} MiB")
    print(f"100 %  {result.memory[-1]:,.1f} MiB")
    flat = result.growth <= FLAT
    print(f"most after the warm-up: {100 * result.growth:+.2f} %, {'flat' if flat else 'NOT FLAT'}")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
