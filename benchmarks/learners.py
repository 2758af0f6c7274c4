"""Three libraries learn one task: PPO by Stable-Baselines3, RLlib and TorchRL, each with the same network and numbers.

    python -m benchmarks.learners [--minutes 3]

The task is the demo's: the bundled room, rotation control, 48x80 pixels, episodes of 64 steps. A return is the mean of the
last 100 episodes of the training itself, exploring; random actions are played over 100 episodes of their own. Writes
docs/images/learners.png and prints a Markdown table. Needs: pip install "inspatio-gym[agents,rllib,torchrl]"
"""

import importlib.util
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import ray
import torch
import tyro
from tqdm import tqdm

from inspatio_gym.agents.baselines import Random
from inspatio_gym.agents.config import TrainConfig, evaluation_seeds
from inspatio_gym.agents.episodes import make_worlds, play
from inspatio_gym.agents.log import read_progress
from inspatio_gym.agents.train import train
from inspatio_gym.doctor import machine

TREE = Path(__file__).resolve().parent.parent
WORLDS = {"scene": "room", "model": "warp", "control": "rotation", "size": (48, 80), "max_episode_steps": 64}
Points = list[tuple[int, float]]  # steps so far, mean return


@dataclass(frozen=True)
class Config:
    """Learning curves of three libraries on one task."""

    minutes: float = 3.0
    """Most time for each."""
    steps: int = 60_000
    """Steps of each; the learning rate falls with them."""
    num_envs: int = 16
    """Worlds of each."""
    seed: int = 0
    """Of each."""
    picture: Path = TREE / "docs" / "images" / "learners.png"
    """Where the curves go."""


def main(config: Config) -> None:
    """Print a Markdown table and draw the curves."""
    print(machine())
    torch.set_num_threads(1)
    ray.init(include_dashboard=False, log_to_driver=False)
    learners: dict[str, Callable[[Config], Points]] = {
        "Stable-Baselines3": by_sb3,
        "RLlib": lambda config: by_example("07_rllib", config),
        "TorchRL": lambda config: by_example("08_torchrl", config),
    }
    envs = make_worlds({"id": "InSpatio-v0", **WORLDS}, 50)
    chance = play(envs, Random(envs.single_action_space), evaluation_seeds(100, 0)).interval
    envs.close()
    print(f"\nrandom actions: {chance.mean:.2f} [{chance.low:.2f}, {chance.high:.2f}] views an episode\n")
    print("| PPO by | steps | minutes | steps/s | untrained | last 100 episodes | above random |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    curves = {}
    for name, learn in learners.items():
        begun = time.monotonic()
        points = curves[name] = learn(config)
        seconds = time.monotonic() - begun
        steps, last = points[-1]
        first = points[0][1]  # before the first update
        print(
            f"| {name} | {steps:,} | {seconds / 60:.1f} | {steps / seconds:,.0f} | {first:.2f} | {last:.2f} "
            f"| {last - chance.mean:+.2f} |",
            flush=True,
        )
    ray.shutdown()
    draw(config.picture, curves, (chance.low, chance.high))


def by_sb3(config: Config) -> Points:
    """As `inspatio-gym train` does it."""
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            TrainConfig(
                run=Path(folder) / "run",
                model="warp",
                control="rotation",
                max_episode_steps=64,
                num_envs=config.num_envs,
                steps=config.steps,
                minutes=config.minutes,
                seed=config.seed,
                device="cpu",
                validate_every=0,
                checkpoint_every=config.steps,
            )
        )
        rows = read_progress(run)
    return [(int(row["steps"]), row["rollout/ep_rew_mean"]) for row in rows if "rollout/ep_rew_mean" in row]


def by_example(name: str, config: Config) -> Points:
    """As an example of that name does it."""
    spec = importlib.util.spec_from_file_location(name, TREE / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    curve: Iterator[tuple[int, float]] = module.train(config.steps, config.num_envs, WORLDS, seed=config.seed)
    points: Points = []
    end = time.monotonic() + 60 * config.minutes
    with tqdm(total=config.steps, desc=name, unit="steps", disable=None) as bar:
        for steps, mean in curve:
            if not math.isnan(mean):
                points.append((steps, mean))
            bar.update(steps - bar.n)
            if time.monotonic() > end:
                break
    curve.close()
    return points


def draw(path: Path, curves: dict[str, Points], chance: tuple[float, float]) -> None:
    """The returns of each by its steps, above the interval of random actions."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 3.6), dpi=120)
    axes.axhspan(*chance, color="0.8", label="random actions, 95% interval")
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), label=f"PPO by {name}")
    axes.set_xlabel("steps")
    axes.set_ylabel("return of an episode, in views")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main(tyro.cli(Config))
