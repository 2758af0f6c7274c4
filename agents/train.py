"""Train an agent with Stable-Baselines3 in worlds made of videos.

    WorldConfig -> InSpatioVectorEnv | RayVectorEnv -> Sb3VecEnv -> VecMonitor -> PPO | SAC | RecurrentPPO
                                                                             |  a Watch: log, checkpoints, validation
    the run's folder: config.json, checkpoints/, policy.safetensors, progress.jsonl, tensorboard/

What a run leaves is whole at every moment: kill it, and `--resume` goes on from the last checkpoint.
"""

import logging
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from inspatio_gym.agents.algorithms import make_algorithm
from inspatio_gym.agents.checkpoint import last_checkpoint, load_checkpoint
from inspatio_gym.agents.config import STEPS, TRAINING_SEEDS, TrainConfig, judged
from inspatio_gym.agents.episodes import make_worlds
from inspatio_gym.agents.log import RunLog
from inspatio_gym.agents.matching import MatchingFeatures
from inspatio_gym.agents.odometry import learn_odometry
from inspatio_gym.agents.policy import Card
from inspatio_gym.agents.watch import Budget, Watch
from inspatio_gym.envs.sb3 import to_sb3
from inspatio_gym.envs.wrappers import Dropped, Latency, Light, Noise, RandomizedVector
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.scenes import sample_names

with extra("agents"):
    import torch
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"


def train(config: TrainConfig) -> Path:
    """Train as `config` says; returns the run's folder. Progress goes to standard error.

    Raises ValueError for a folder that is taken (or, with `resume`, holds no run) and for worlds or numbers that do not
    fit; KeyboardInterrupt after Ctrl-C, when a checkpoint is written.
    """
    config = open_run(config)
    assert config.steps is not None
    world = judged(config.world())
    with ExitStack() as stack:
        envs = make_training_worlds(config)
        worlds = stack.enter_context(closing(VecMonitor(to_sb3(envs))))
        validation = None
        if config.validate_every:
            validation = stack.enter_context(closing(make_worlds(world, config.validation_episodes)))
        budget = Budget(config.steps, config.minutes)
        algorithm = make_algorithm(
            config.recipe, worlds, remaining=budget.remaining, seed=config.seed, device=config.device
        )
        checkpoint = last_checkpoint(config.run / "checkpoints")
        if checkpoint:
            load_checkpoint(checkpoint, algorithm)
        # The folder is taken now that all there was to refuse has been refused.
        with written_whole(config.run / CONFIG_FILE) as partial:
            partial.write_text(config.to_json() + "\n", encoding="utf-8")
        draw = np.random.default_rng([config.seed, algorithm.num_timesteps])
        # Seeds the worlds too, world k with the number + k.
        algorithm.set_random_seed(int(draw.integers(TRAINING_SEEDS.start, TRAINING_SEEDS.stop - config.num_envs)))

        log = stack.enter_context(closing(RunLog(config.run, steps=algorithm.num_timesteps)))
        algorithm.set_logger(Logger(str(config.run), [log]))
        card = Card(
            config.algo,
            config.recipe,
            world,
            envs.single_observation_space,
            envs.single_action_space,
            algorithm.num_timesteps,
            config.seed,
        )
        watch = stack.enter_context(closing(Watch(config, card, log, validation, budget)))
        if algorithm.num_timesteps == 0:
            with one_thread():
                open_eyes(algorithm, worlds, envs.unwrapped.action_names, config, budget)  # type: ignore[attr-defined]
        with _stops_gently(watch), one_thread():
            if algorithm.num_timesteps < budget.steps:
                algorithm.learn(budget.steps - algorithm.num_timesteps, watch, reset_num_timesteps=False)
    if watch.interrupted:
        raise KeyboardInterrupt(
            f"stopped after {algorithm.num_timesteps:,} steps; go on with: "
            f"inspatio-gym train --run {shlex.quote(str(config.run))} --resume"
        )
    return config.run


def open_eyes(
    algorithm: BaseAlgorithm, worlds: VecEnv, names: Sequence[str], config: TrainConfig, budget: Budget
) -> None:
    """Teach whatever compares pictures in the algorithm's networks to see, if its recipe has such a thing; for half of the
    budget's time at most."""
    eyes = [part for part in algorithm.policy.modules() if isinstance(part, MatchingFeatures)]
    if eyes:
        error = learn_odometry(
            eyes[0],
            worlds,
            names,
            pairs=config.recipe.network.pairs,
            seed=config.seed,
            spent=lambda: (1 - budget.remaining(1.0)) / 0.5,
        )
        logger.info("learned to see its own motion: mean error %.3f of half a median depth, of 30 degrees", error)
        for other in eyes[1:]:
            other.load_state_dict(eyes[0].state_dict())


def make_training_worlds(config: TrainConfig) -> VectorEnv:
    """The worlds to train in, by the engine that `config` names. Raises MissingExtra for one that is not installed."""
    envs = _worlds_of(config)
    return RandomizedVector(envs, [Light(), Noise(), Latency(), Dropped()]) if config.randomize else envs


def _worlds_of(config: TrainConfig) -> VectorEnv:
    world = config.world()
    if config.engine == "inprocess":
        return make_worlds(world, config.num_envs)
    from inspatio_gym.envs.ray_env import RayVectorEnv

    return RayVectorEnv(
        world.pop("id"),
        config.num_envs,
        num_actors=config.num_actors,
        num_gpus_per_actor=config.num_gpus_per_actor,
        autoreset_mode=AutoresetMode.SAME_STEP,  # one order for the end of an episode and the start of the next
        **{name: value for name, value in world.items() if value is not None},
    )


def open_run(config: TrainConfig) -> TrainConfig:
    """Look at the run's folder, or take up the run that is there; returns the configuration to train by.

    A resumed run keeps what it was begun with, but for the device, the minutes, and `steps` if they are more; what a kill
    left half-written goes. The paths of a new run's videos and scenes become absolute, so that it may be taken up from
    any folder. Raises ValueError for a folder that is not as expected, and for numbers that no training can go by.
    """
    config.check()
    file = config.run / CONFIG_FILE
    if config.resume:
        if not file.is_file():
            raise ValueError(
                f"expected a run to resume in {str(config.run)!r}, got no {CONFIG_FILE}: leave --resume out"
            )
        try:
            begun = TrainConfig.from_json(file.read_text(encoding="utf-8"))
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(
                f"expected the configuration of a run of this version in {file}, got {problem}: begin a new run"
            ) from problem
        for leftover in config.run.rglob(".*.partial.*"):
            leftover.unlink()
        steps = max(asked for asked in (begun.steps, config.steps, 0) if asked is not None)
        return replace(begun, run=config.run, steps=steps, minutes=config.minutes, device=config.device)
    if config.run.exists() and not (config.run.is_dir() and all(_hidden(entry) for entry in config.run.iterdir())):
        raise ValueError(
            f"expected a new folder for the run, got {str(config.run)!r}, which is there: pass --resume to go on with it, "
            "or another --run"
        )
    return replace(
        config,
        video=tuple(path.absolute() for path in config.video),
        scene=tuple(map(_from_anywhere, config.scene)),
        steps=STEPS if config.steps is None else config.steps,
    )


def _from_anywhere(scene: str) -> str:
    """The name of a bundled scene, or a folder's path that holds in whatever folder the run is taken up."""
    return scene if scene in sample_names() or not Path(scene).exists() else str(Path(scene).absolute())


def _hidden(entry: Path) -> bool:
    return entry.name.startswith(".")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread.

    The networks are so small that a second one gains 15% on an idle machine; on a busy one, the threads that wait for
    each other make an update ten times slower. And the sums are then the same on every machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _stops_gently(watch: Watch) -> Iterator[None]:
    """Let Ctrl-C end the training at the next step, with a checkpoint; a second one ends it at once."""

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        watch.stopped = True
        print("\nstopping: writing a checkpoint (Ctrl-C again to stop without) ...", file=sys.stderr)

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
