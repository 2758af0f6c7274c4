"""Worlds and agents -> episodes, in order of their index.

Episode k depends on its seed alone: its world is reset with it (`options["reset_mask"]`, autoreset mode DISABLED), and its
agent begins with it, one agent for each world, which sees a batch of one, because a network may round differently in
another. So the number of worlds and the engine change nothing, and no row of a batch is anything but a step of an episode.

A world whose episode ends begins the next one that nobody has begun. One that ends before an earlier one waits for it;
what waits is never more than the longest episode's time allows: as much again as is under way.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from inspatio_gym.agents.baselines import Agent
from inspatio_gym.collect.episode import Episode
from inspatio_gym.types import Arrays

LARGEST_INFO = 16  # numbers that an info may have to be kept: a pose does, a mask does not


class _Tape:
    """An episode under way."""

    def __init__(self, index: int, seed: int, scene: str, observation: Arrays, info: dict[str, Any]):
        self.index, self.seed, self.scene = index, seed, scene
        self.names = [name for name, value in info.items() if _is_kept(value)]
        self.observations, self.infos = [observation], [info]
        self.actions: list[NDArray[Any]] = []
        self.rewards: list[float] = []

    def add(self, action: NDArray[Any], observation: Arrays, reward: float, info: dict[str, Any]) -> None:
        self.actions.append(action)
        self.observations.append(observation)
        self.rewards.append(reward)
        self.infos.append(info)

    def break_off(self, reason: str) -> None:
        """The world has raised: this step led nowhere, and the episode ends with the one before."""
        if not self.actions:
            raise RuntimeError(
                f"expected a step at least of episode {self.index} (seed {self.seed}, scene {self.scene!r}), but its world "
                f"was {reason}: leave that scene out, in another --output"
            )
        self.infos[-1]["truncated_reason"] = reason

    def end(self, terminated: bool, truncated: bool) -> Episode:
        return Episode(
            index=self.index,
            seed=self.seed,
            scene=self.scene,
            observations={name: np.stack([one[name] for one in self.observations]) for name in self.observations[0]},
            actions=np.stack(self.actions),
            rewards=np.array(self.rewards),
            terminated=terminated,
            truncated=truncated,
            reason=self.infos[-1].get("truncated_reason", ""),
            infos={name: np.stack([one[name] for one in self.infos]) for name in self.names},
        )


def roll(envs: VectorEnv, agents: Sequence[Agent], seeds: Sequence[int], first: int = 0) -> Iterator[Episode]:
    """Play the episodes `first`, `first` + 1, ... up to the last of `seeds`; episode k begins with seeds[k].

    envs: worlds that have `step_slots`, in autoreset mode DISABLED, no more of them than there are episodes. agents: one
    for each.
    """
    waiting = iter(range(first, len(seeds)))
    tapes: dict[int, _Tape] = {}  # by world
    played: dict[int, Episode] = {}  # and not their turn yet
    due = first
    while due < len(seeds):
        idle = [world for world in range(envs.num_envs) if world not in tapes]
        if begun := dict(zip(idle, waiting, strict=False)):
            tapes |= _begin(envs, agents, {world: (index, seeds[index]) for world, index in begun.items()})
        _step(envs, agents, tapes, played)
        while due in played:
            yield played.pop(due)
            due += 1


def _begin(envs: VectorEnv, agents: Sequence[Agent], chosen: dict[int, tuple[int, int]]) -> dict[int, _Tape]:
    """Begin episodes (index, seed) in the chosen worlds."""
    mask = np.zeros(envs.num_envs, np.bool_)
    mask[list(chosen)] = True
    wanted: list[int | None] = [chosen[world][1] if world in chosen else None for world in range(envs.num_envs)]
    observations, infos = envs.reset(seed=wanted, options={"reset_mask": mask})  # type: ignore[arg-type]
    tapes = {}
    for world, (index, seed) in chosen.items():
        agents[world].begin([seed])
        info = _info(infos, world)
        tapes[world] = _Tape(index, seed, info["scene"], _row(observations, world), info)
    return tapes


def _step(envs: VectorEnv, agents: Sequence[Agent], tapes: dict[int, _Tape], played: dict[int, Episode]) -> None:
    """Step the worlds that have a tape; episodes that end go from there to `played`."""
    worlds = sorted(tapes)
    actions = [
        agents[world].act(_batch_of_one(tapes[world].observations[-1]), _batch_of_one(tapes[world].infos[-1]))[0]
        for world in worlds
    ]
    observations, rewards, terminations, truncations, infos = envs.step_slots(worlds, np.stack(actions))  # type: ignore[attr-defined]
    for row, (world, action) in enumerate(zip(worlds, actions, strict=True)):
        tape, info = tapes[world], _info(infos, row)
        if info.get("truncated_reason", "").startswith("quarantined"):
            tape.break_off(info["truncated_reason"])
        else:
            tape.add(np.asarray(action), _row(observations, row), float(rewards[row]), info)
        if terminations[row] or truncations[row]:
            played[tape.index] = tapes.pop(world).end(bool(terminations[row]), bool(truncations[row]))


def _batch_of_one(values: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value)[None] for name, value in values.items()}


def _row(arrays: Arrays, row: int) -> Arrays:
    """Copies of a row, because views would keep the whole batch."""
    return {name: array[row].copy() for name, array in arrays.items()}


def _info(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """A row's own info, without what is too large to be kept.

    Numbers are float64, because a batch's kind may depend on who else is in it.
    """
    info: dict[str, Any] = {}
    for name, values in infos.items():
        if name.startswith("_") or not infos[f"_{name}"][row]:
            continue
        value = values[row]
        if isinstance(value, str):
            info[name] = value
        elif _is_kept(value):
            info[name] = np.array(value, np.bool_ if value.dtype.kind == "b" else np.float64)
    return info


def _is_kept(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf" and value.size <= LARGEST_INFO
