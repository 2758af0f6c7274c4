"""`inspatio-gym collect`: a policy in many worlds becomes datasets.

    find_policy ──► worlds (one process, or Ray) ──► roll ──► Writer ──► a format or several, the ledger

Run again with the same arguments, it goes on after the last episode that is whole in all formats.
"""

import importlib
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv

from inspatio_gym.agents.progress import Progress
from inspatio_gym.collect.config import FORMATS, CollectConfig
from inspatio_gym.collect.episode import Episode, Format, Source
from inspatio_gym.collect.policies import Policy, find_policy
from inspatio_gym.collect.rollout import roll
from inspatio_gym.collect.writing import Ledger, Writer


def collect(config: CollectConfig) -> Path:
    """Write the datasets that `config` asks for; returns their folder. Progress goes to standard error.

    Raises ValueError for arguments that do not fit each other or the folder, MissingExtra without the extra `datasets`
    (or `ray`, or `agents`), KeyboardInterrupt after Ctrl-C, when what was played is written.
    """
    config.check()
    makers = {name: _found(FORMATS[name]) for name in config.formats}
    policy = find_policy(config.policy, config)
    ledger = Ledger(config.output, what_determines(config, policy))
    if ledger.written > config.episodes:
        raise ValueError(
            f"expected --episodes of {ledger.written} or more, as {str(config.output)!r} has so many, got {config.episodes}"
        )
    if ledger.finished and ledger.written == config.episodes:
        print(f"{config.output}: all {ledger.written} episodes are there")
        return config.output
    ledger.commit(ledger.written)  # the folder is taken, now that there is nothing left to refuse but worlds
    with closing(make_worlds(policy.world, config, config.episodes - ledger.written)) as envs:
        source = source_of(envs, policy)
        formats = {name: make(config.output / name, source) for name, make in makers.items()}
        interrupted = _write(envs, policy, formats, ledger, config)
    if ledger.written:
        for form in formats.values():
            form.finish(ledger.written)
    if interrupted or ledger.written < config.episodes:
        raise KeyboardInterrupt(
            f"stopped after {ledger.written} of {config.episodes} episodes; the same command goes on"
        )
    ledger.commit(ledger.written, finished=True)
    print(f"{config.output}: {ledger.written} episodes, as {', '.join(formats)}")
    return config.output


def what_determines(config: CollectConfig, policy: Policy) -> dict[str, Any]:
    """What must be the same for an episode to be the same, and for files to be where they were."""
    return {
        "world": policy.world,
        "policy": policy.name,
        "weights": policy.digest,
        "seed": config.seed,
        "format": sorted(config.formats),
        "device": config.device,
    }


def make_worlds(world: dict[str, Any], config: CollectConfig, episodes: int) -> VectorEnv:
    """As many worlds as are asked for and can be used; an ended one waits for its next seed."""
    num_envs = max(1, min(config.num_envs, episodes))
    arguments = {**world, "autoreset_mode": AutoresetMode.DISABLED, "device": config.device}
    if config.engine == "inprocess":
        return gym.make_vec(num_envs=num_envs, vectorization_mode="vector_entry_point", **arguments)
    from inspatio_gym.envs import RayVectorEnv

    return RayVectorEnv(
        arguments.pop("id"),
        num_envs,
        num_actors=min(config.num_actors, num_envs),
        num_gpus_per_actor=1 if config.device.startswith("cuda") else 0,
        **arguments,
    )


def source_of(envs: VectorEnv, policy: Policy) -> Source:
    """What all episodes have in common."""
    assert isinstance(envs.single_observation_space, gym.spaces.Dict)
    return Source(
        world=policy.world,
        observation_space=envs.single_observation_space,
        action_space=envs.single_action_space,
        action_names=tuple(envs.action_names),  # type: ignore[attr-defined]
        fps=int(envs.metadata["render_fps"]),
        policy=policy.name,
    )


def _write(envs: VectorEnv, policy: Policy, formats: dict[str, Format], ledger: Ledger, config: CollectConfig) -> bool:
    """Play and write what is not written yet; True if Ctrl-C came in between."""

    def write(episode: Episode) -> None:
        for form in formats.values():
            form.write(episode)
        ledger.commit(episode.index + 1)

    space, names = envs.single_action_space, envs.action_names  # type: ignore[attr-defined]
    agents = [policy.make(space, names) for _ in range(envs.num_envs)]
    with closing(Progress("collect", config.episodes, ledger.written, "episodes")) as bar, Writer(write) as writer:
        try:
            for episode in roll(envs, agents, config.seeds, ledger.written):
                writer.put(episode)
                bar.update(ledger.written)
        except KeyboardInterrupt:
            return True
    return False


def _found(home: str) -> Any:
    module, name = home.split(":")
    return getattr(importlib.import_module(module), name)
