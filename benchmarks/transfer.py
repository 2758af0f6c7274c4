"""Does what is learned in the warp world hold in the tiny one, and can PPO learn in the tiny world itself?

    python -m benchmarks.transfer                                  # trains a policy in the warp world first
    python -m benchmarks.transfer --policy runs/demo               # or takes that of an earlier run
    python -m benchmarks.transfer --page docs/tiny.md --picture docs/images/tiny-learning.png

    transfer   a policy of the first world model, random and hold still play the same start states in both models
    learning   PPO in the second model for `steps` steps; what it then plays from those start states, in both
    speed      steps a second of one such environment, and what the checkers of Gymnasium and SB3 say of it

The task is explore with rotation control: rewards follow from the scene's geometry and from where the camera was sent, never
from the model's pixels. So both models are judged by one ruler, agents that do not look earn the same in both, and what a
policy loses from one to the other is what it makes of the pictures. Episodes are few and short, as the tiny world makes a
step a second or so on a CPU, and all this takes about 2,400 of them; differences are between returns from one start state.

Whatever is in --out is not measured again; other numbers want another --out. Torch's threads wait for each other, so on a
machine that has other work OMP_NUM_THREADS=1 may be many times faster than all cores.
"""

import hashlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from benchmarks.checks import fault
from benchmarks.pages import fill
from benchmarks.resumable import Record, measured
from inspatio_gym.agents.algorithms import make_algorithm
from inspatio_gym.agents.baselines import Agent, Random, hold_still
from inspatio_gym.agents.config import TrainConfig, WorldConfig, evaluation_seeds
from inspatio_gym.agents.episodes import make_worlds, play
from inspatio_gym.agents.evaluate import world_of_policy
from inspatio_gym.agents.log import read_progress
from inspatio_gym.agents.policy import POLICY_FILE, Card, Trained, load_policy, policy_file, save_policy
from inspatio_gym.agents.progress import Progress
from inspatio_gym.agents.recipes import PPORecipe
from inspatio_gym.agents.statistics import Interval, bootstrap
from inspatio_gym.agents.train import train
from inspatio_gym.envs.sb3 import to_sb3
from inspatio_gym.evaluation.report import table
from inspatio_gym.world import load_model

Part = Literal["transfer", "learning", "speed"]
Who = Literal["policy", "random", "hold still", "learned"]
FEW_STEPS = PPORecipe(
    n_steps=16, batch_size=32, n_epochs=10, learning_rate=2e-3, gamma=0.9, gae_lambda=0.9, log_std_init=-1.0
)
"""For steps that are dear: updates are frequent, with more passes, wider noise and a nearer horizon. Chosen in the warp world."""
WARM_UP, BLOCKS = 2, 20  # steps before the clock runs, and while it runs
BINS = 8  # of the learning curve


@dataclass(frozen=True, slots=True)
class Config:
    """Play one policy in two world models, and let PPO learn in the second."""

    policy: Path | None = None
    """A run's folder, a policy.safetensors, or zoo:NAME: of explore with rotation control; one is trained if none is given."""
    models: tuple[str, str] = ("warp", "tiny")
    """World models: the one that the policy is trained in, and the one that is in question."""
    parts: tuple[Part, ...] = ("transfer", "learning", "speed")
    """What to measure."""
    scene: tuple[str, ...] = ("room",)
    """Bundled scenes, synthetic ones or scene folders to train and play in."""
    minutes: float = 3.5
    """Time for the training of a policy in the first model, if none is given."""
    episodes: int = 12
    """Start states, the same for everybody."""
    max_episode_steps: int = 25
    """Steps after which an episode is cut."""
    steps: int = 1024
    """Of the training in the second model, all worlds together."""
    num_envs: int = 4
    """Worlds of that training."""
    seed: int = 0
    """Of trainings and start states."""
    device: str = "cpu"
    """Where the world models compute: "cpu" or "cuda"."""
    out: Path = Path("runs/transfer")
    """Folder of what was measured."""
    page: Path | None = None
    """A page with marks for `tiny-transfer`, to write the results between."""
    picture: Path | None = None
    """Where the learning curve goes."""


class Bench:
    """What was measured, measured where it is asked for. Agents: policy, random, hold still, learned."""

    def __init__(self, config: Config):
        self.config = config

    @cached_property
    def trained(self) -> tuple[Path, Record | None]:
        """The policy's file, and the training that made it; None if the policy was given."""
        config, run = self.config, self.config.out / "policy"
        if config.policy is not None:
            return policy_file(config.policy), None
        training = TrainConfig(
            run=run,
            scene=config.scene,
            model=config.models[0],
            control="rotation",
            max_episode_steps=config.max_episode_steps,
            steps=300_000,
            minutes=config.minutes,
            seed=config.seed,
        )

        def steps() -> int:
            shutil.rmtree(run, ignore_errors=True)  # of a training that was stopped, whose time is not known
            return int(read_progress(train(training))[-1]["steps"])

        asked = {"world": training.world(), "minutes": config.minutes, "seed": config.seed}
        return run / POLICY_FILE, measured(config.out / "policy.json", asked, steps)

    def world(self, model: str) -> dict[str, Any]:
        """The policy's world in a model. Raises ValueError for a policy of another task or control."""
        config = self.config
        asked = WorldConfig(
            scene=config.scene,
            model=model,
            task="explore",
            control="rotation",
            max_episode_steps=config.max_episode_steps,
        )
        return world_of_policy(load_policy(self.trained[0])[1].world, asked, anew=["max_episode_steps"])

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of each model's weights and settings: others are another question."""
        return {model: load_model(model, device=self.config.device).digest for model in self.config.models}

    @cached_property
    def learned(self) -> tuple[Path, Record]:
        """The file of the policy that learned in the second model, and [steps, return] of each episode on its way."""
        config, file = self.config, self.config.out / "learned" / POLICY_FILE
        world = self.world(config.models[1])
        asked = {"world": world, "steps": config.steps, "num_envs": config.num_envs, "seed": config.seed}
        asked["digest"] = self.digests[config.models[1]]
        return file, measured(config.out / "learned.json", asked, lambda: learn(world, config, file))

    def played(self, who: Who, model: str) -> Record:
        """Returns and lengths of an agent's episodes."""
        config, world = self.config, self.world(model)
        file = {"policy": lambda: self.trained[0], "learned": lambda: self.learned[0]}.get(who, lambda: None)()
        asked = {"world": world, "episodes": config.episodes, "seed": config.seed, "digest": self.digests[model]}
        asked["policy"] = file and hashlib.sha256(file.read_bytes()).hexdigest()

        def episodes() -> dict[str, list[float]]:
            with closing(make_worlds(world | {"device": config.device}, config.episodes)) as envs:
                found = play(envs, agent_of(who, file, envs), evaluation_seeds(config.episodes, config.seed))
            return {"returns": found.returns.tolist(), "lengths": found.lengths.tolist()}

        return measured(config.out / f"{who.replace(' ', '-')}-{model}.json", asked, episodes)

    def returns(self, who: Who, model: str) -> np.ndarray:
        """Those of an agent's episodes, in the order of the start states."""
        return np.array(self.played(who, model)["found"]["returns"])

    @cached_property
    def speed(self) -> Record:
        """Seconds of each step of one environment, and what the checkers found."""
        config = self.config
        arguments = {"scene": config.scene[0], "model": config.models[1], "device": config.device}
        asked = arguments | {"threads": torch.get_num_threads(), "digest": self.digests[config.models[1]]}
        return measured(
            config.out / "speed.json", asked, lambda: {"seconds": stepped(arguments), "fault": fault(ENV, arguments)}
        )


ENV = "InSpatio-v0"


def agent_of(who: Who, file: Path | None, envs: Any) -> Agent:
    """The agent of that name in some worlds."""
    if file is not None:
        return Trained(load_policy(file)[0])
    space, names = envs.single_action_space, envs.action_names
    return Random(space) if who == "random" else hold_still(space, names)


class Returns(BaseCallback):
    """Keeps [steps so far, return] of every episode of a training."""

    def __init__(self, steps: int):
        super().__init__()
        self.ended: list[list[float]] = []
        self._bar = Progress("learning", steps, 0, "steps")

    def _on_step(self) -> bool:
        self.ended += [
            [self.num_timesteps, float(info["episode"]["r"])] for info in self.locals["infos"] if "episode" in info
        ]
        self._bar.update(self.num_timesteps)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()


def learn(world: dict[str, Any], config: Config, file: Path) -> list[list[float]]:
    """Train PPO from nothing in a world; writes the last policy to `file` and returns its episodes, see `Returns`."""
    envs = make_worlds(world | {"device": config.device}, config.num_envs)
    with closing(VecMonitor(to_sb3(envs))) as worlds:
        algorithm = make_algorithm(FEW_STEPS, worlds, remaining=lambda left: left, seed=config.seed, device="cpu")
        watch = Returns(config.steps)
        algorithm.learn(config.steps, watch)
        spaces = envs.single_observation_space, envs.single_action_space
        save_policy(file, algorithm.policy, Card("ppo", FEW_STEPS, world, *spaces, config.steps, config.seed))
    return watch.ended


def stepped(arguments: dict[str, Any]) -> list[float]:
    """Seconds of each of some steps of random actions, after the first few."""
    seconds = []
    with closing(gym.make(ENV, **arguments)) as env:
        env.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(WARM_UP + BLOCKS):
            began = time.perf_counter()
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            seconds.append(time.perf_counter() - began)
            if terminated or truncated:
                env.reset()
    return seconds[WARM_UP:]


def words_of_transfer(bench: Bench) -> str:
    """The table of all agents in both models, and how much of its lead the policy keeps."""
    config, (home, away) = bench.config, bench.config.models
    agents: dict[Who, str] = {
        "policy": f"PPO, trained in the {home} world",
        "random": "random",
        "hold still": "hold still",
    }
    if "learning" in config.parts:
        agents["learned"] = f"PPO, {config.steps:,} steps in the {away} world"
    rows = []
    for who, name in agents.items():
        one, other = (bench.returns(who, model) for model in config.models)
        lengths = bench.played(who, away)["found"]["lengths"]
        rows.append([name, *map(spread, map(bootstrap, (one, other, other - one))), f"{np.mean(lengths):.1f}"])
    still = bench.returns("hold still", away)
    lead = {model: bench.returns("policy", model) - bench.returns("hold still", model) for model in config.models}
    training = bench.trained[1]
    trained = (
        "The policy was given."
        if training is None
        else f"The policy had {training['found']:,} steps in the {home} world, {training['seconds'] / 60:.1f} minutes."
    )
    return "\n\n".join(
        [
            f"Explore, rotation control, {' and '.join(map(called, config.scene))}: {len(still)} start states that no training "
            f"uses, at most {config.max_episode_steps} steps, means with 95% bootstrap intervals. {trained} "
            f"{bench.played('policy', away)['machine']}",
            table(
                ["agent", f"return in {home}", f"in {away}", f"{away} less {home}", f"steps in {away}"],
                rows,
            ),
            f"By what the policy is better than holding still: {spread(bootstrap(lead[home]))} in {home}, "
            f"{spread(bootstrap(lead[away]))} in {away}; than random in {away}: "
            f"{spread(bootstrap(bench.returns('policy', away) - bench.returns('random', away)))}.",
        ]
    )


def words_of_learning(bench: Bench) -> str:
    """How the returns of the training's episodes went, and what the policy is worth at the end."""
    config, away = bench.config, bench.config.models[1]
    record = bench.learned[1]
    returns = np.array(record["found"])[:, 1]
    quarter = max(1, len(returns) // 4)
    first, last = bootstrap(returns[:quarter]), bootstrap(returns[-quarter:])
    gains = {
        other: bootstrap(bench.returns("learned", away) - bench.returns(other, away))
        for other in ("random", "hold still")
    }
    parts = [
        f"PPO learns in the {away} world itself for {config.steps:,} steps of {config.num_envs} worlds, "
        f"{record['seconds'] / 60:.0f} minutes: its episodes return {spread(first)} in the first quarter of {len(returns)}, "
        f"{spread(last)} in the last, exploring. From the start states of the table the policy is then above random by "
        f"{spread(gains['random'])} and above holding still by {spread(gains['hold still'])}. {record['machine']}"
    ]
    if config.picture:
        draw(config.picture, bench)
        beside = config.page.parent if config.page else Path()
        parts.append(f"![Returns of PPO in the {away} world, by steps]({os.path.relpath(config.picture, beside)})")
    return "\n\n".join(parts)


def words_of_speed(bench: Bench) -> str:
    """Steps a second, and what the checkers said, in a line."""
    record, config = bench.speed, bench.config
    rate = 1 / statistics.median(record["found"]["seconds"])
    found = record["found"]["fault"]
    verdict = f"complain: {found}" if found else "find no fault with it"
    threads = record["asked"]["threads"]
    return (
        f'`gym.make("{ENV}", scene="{called(config.scene[0])}", model="{config.models[1]}")` makes {rate:.2f} steps a second '
        f"(median of {BLOCKS} after {WARM_UP}, torch threads: {threads}); the environment checkers of Gymnasium and "
        f" Stable-Baselines3 {verdict}. {record['machine']}"
    )


def draw(path: Path, bench: Bench) -> None:
    """Every episode of the training, their mean over parts of it, and everybody's from the common start states."""
    matplotlib.use("Agg")
    config, away = bench.config, bench.config.models[1]
    steps, returns = np.array(bench.learned[1]["found"]).T
    figure, axes = plt.subplots(figsize=(7, 3.6), dpi=120, layout="constrained")
    axes.plot(steps, returns, ".", color="tab:blue", alpha=0.3, label="an episode of the training")
    parts = [part for part in np.array_split(np.arange(len(steps)), min(BINS, len(steps))) if len(part)]
    curve = np.array([[steps[part].mean(), *bootstrap(returns[part])] for part in parts])
    axes.plot(curve[:, 0], curve[:, 1], "o-", color="tab:blue", label="mean of a part of it, 95%")
    axes.fill_between(curve[:, 0], curve[:, 2], curve[:, 3], color="tab:blue", alpha=0.15, linewidth=0)
    mean, low, high = bootstrap(bench.returns("learned", away))
    axes.errorbar([config.steps], [mean], [[mean - low], [high - mean]], fmt="D", color="tab:blue", label="at the end")
    lines: dict[Who, tuple[str, str]] = {"random": ("0.6", "random"), "hold still": ("0.3", "hold still")}
    if "transfer" in config.parts:
        lines["policy"] = ("tab:orange", f"trained in {config.models[0]}")
    for who, (colour, name) in lines.items():
        axes.axhline(bench.returns(who, away).mean(), color=colour, linestyle="--", label=name)
    axes.set(xlabel="steps of all worlds together", ylabel="return of an episode, in views")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def spread(interval: Interval) -> str:
    """A mean and its interval."""
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def called(scene: str) -> str:
    """A scene's name, or that of its folder."""
    return scene if scene.startswith("synthetic:") else Path(scene).name


WORDS: dict[Part, Callable[[Bench], str]] = {
    "transfer": words_of_transfer,
    "learning": words_of_learning,
    "speed": words_of_speed,
}


def main(config: Config) -> None:
    """Measure what is not measured yet, print it, fill the page."""
    bench = Bench(config)
    words = "\n\n".join(WORDS[part](bench) for part in config.parts)
    print(words)
    if config.page:
        fill(config.page, "tiny-transfer", words)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.transfer", description=__doc__)))
