"""Who plays and learns where: what `benchmarks.transfer` measures, each figure kept in a file of its own."""

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from benchmarks.checks import fault
from benchmarks.resumable import Record, measured
from inspatio_gym.agents.algorithms import make_algorithm
from inspatio_gym.agents.baselines import Agent, Infos, Observations, Random, hold_still
from inspatio_gym.agents.config import TrainConfig, WorldConfig, evaluation_seeds
from inspatio_gym.agents.episodes import make_worlds, play
from inspatio_gym.agents.evaluate import world_of_policy
from inspatio_gym.agents.log import read_progress
from inspatio_gym.agents.policy import POLICY_FILE, Card, Trained, load_policy, policy_file, save_policy
from inspatio_gym.agents.progress import Progress
from inspatio_gym.agents.recipes import PPORecipe
from inspatio_gym.agents.train import train
from inspatio_gym.envs.sb3 import to_sb3
from inspatio_gym.world import load_model

Part = Literal["transfer", "learning", "speed"]
Who = Literal["policy", "blind", "random", "hold still", "learned"]
FEW_STEPS = PPORecipe(
    n_steps=16, batch_size=32, n_epochs=10, learning_rate=2e-3, gamma=0.9, gae_lambda=0.9, log_std_init=-1.0
)
"""For steps that are dear: updates are frequent, with more passes, wider noise and a nearer horizon. Chosen in the warp world."""
ENV = "InSpatio-v0"
WARM_UP, BLOCKS = 2, 20  # steps before the clock runs, and while it runs


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
    """What was measured, measured where it is asked for. machines: where, filled as records are read."""

    def __init__(self, config: Config):
        self.config = config
        self.machines: dict[str, None] = {}

    def measured(self, name: str, asked: dict[str, Any], measure: Callable[[], Any]) -> Record:
        """The record of that name, see `resumable.measured`."""
        record = measured(self.config.out / f"{name}.json", asked, measure)
        self.machines[record["machine"]] = None
        return record

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
        return run / POLICY_FILE, self.measured("policy", asked, steps)

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
        """The file of the policy that learned in the second model, and what `learn` says."""
        config, file = self.config, self.config.out / "learned" / POLICY_FILE
        world = self.world(config.models[1])
        asked = {"world": world, "steps": config.steps, "num_envs": config.num_envs, "seed": config.seed}
        asked |= {"digest": self.digests[config.models[1]], "device": config.device}
        if not file.is_file():
            (config.out / "learned.json").unlink(missing_ok=True)
        return file, self.measured("learned", asked, lambda: learn(world, config, file))

    def played(self, who: Who, model: str) -> Record:
        """Returns and lengths of an agent's episodes."""
        config, world = self.config, self.world(model)
        file = None
        if who in ("policy", "blind"):
            file = self.trained[0]
        elif who == "learned":
            file = self.learned[0]
        asked = {"world": world, "episodes": config.episodes, "seed": config.seed, "digest": self.digests[model]}
        asked |= {"policy": file and hashlib.sha256(file.read_bytes()).hexdigest(), "device": config.device}

        def episodes() -> dict[str, list[float]]:
            with closing(make_worlds(world | {"device": config.device}, config.episodes)) as envs:
                found = play(envs, agent_of(who, file, envs), evaluation_seeds(config.episodes, config.seed))
            return {"returns": found.returns.tolist(), "lengths": found.lengths.tolist()}

        return self.measured(f"{who.replace(' ', '-')}-{model}", asked, episodes)

    def returns(self, who: Who, model: str) -> np.ndarray:
        """Those of an agent's episodes, in the order of the start states."""
        return np.array(self.played(who, model)["found"]["returns"])

    @cached_property
    def speed(self) -> Record:
        """Seconds of each step of one environment, and what the checkers found."""
        config = self.config
        arguments = {"scene": config.scene[0], "model": config.models[1], "device": config.device}
        asked = arguments | {"threads": torch.get_num_threads(), "digest": self.digests[config.models[1]]}
        return self.measured("speed", asked, lambda: {"seconds": stepped(arguments), "fault": fault(ENV, arguments)})


def agent_of(who: Who, file: Path | None, envs: Any) -> Agent:
    """The agent of that name in some worlds."""
    if file is not None:
        policy = Trained(load_policy(file)[0])
        return Blind(policy) if who == "blind" else policy
    space, names = envs.single_action_space, envs.action_names
    return Random(space) if who == "random" else hold_still(space, names)


class Blind:
    """An agent whose pictures are black; depth, pose and time it sees."""

    name = "blind"

    def __init__(self, agent: Agent):
        self.agent = agent

    def begin(self, seeds: Sequence[int]) -> None:
        self.agent.begin(seeds)

    def act(self, observations: Observations, infos: Infos) -> np.ndarray:
        return self.agent.act(observations | {"rgb": np.zeros_like(observations["rgb"])}, infos)


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


def learn(world: dict[str, Any], config: Config, file: Path) -> dict[str, Any]:
    """Train PPO from nothing in a world; writes the last policy to `file`. Returns steps and episodes, see `Returns`.

    Raises ValueError if none ended.
    """
    envs = make_worlds(world | {"device": config.device}, config.num_envs)
    with closing(VecMonitor(to_sb3(envs))) as worlds:
        algorithm = make_algorithm(FEW_STEPS, worlds, remaining=lambda left: left, seed=config.seed, device="cpu")
        watch = Returns(config.steps)
        algorithm.learn(config.steps, watch)  # to the end of the last rollout
        spaces = envs.single_observation_space, envs.single_action_space
        save_policy(
            file, algorithm.policy, Card("ppo", FEW_STEPS, world, *spaces, algorithm.num_timesteps, config.seed)
        )
    if not watch.ended:
        raise ValueError(f"expected an episode or more to end within {config.steps} steps, got none: pass more --steps")
    return {"steps": algorithm.num_timesteps, "episodes": watch.ended}


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
