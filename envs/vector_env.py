"""Many worlds in one process, stepped as one batch.

Every step makes one call of the world model and one of the survey for all worlds that go on, and one more of the model
for those that begin an episode; around them each slot plans and observes for itself, with the very code of the single
environment, so that slot k and an `InSpatioEnv` with the same seed and actions agree bit for bit.

Gymnasium's verbs, what they refuse, and the three autoreset modes are in `worlds`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from inspatio_gym.envs.infos import gather
from inspatio_gym.envs.quarantine import Ward, WorldLost, described, verdict
from inspatio_gym.envs.sight import Sight
from inspatio_gym.envs.slot import Slot
from inspatio_gym.envs.stage import Stage
from inspatio_gym.envs.worlds import Command, Results, WorldsVectorEnv
from inspatio_gym.types import Arrays, Rgb
from inspatio_gym.world import Block, BlockRequest

logger = logging.getLogger(__name__)

Infos = dict[int, dict[str, Any]]  # by row


class InSpatioVectorEnv(WorldsVectorEnv):
    """`num_envs` worlds over the scenes of one `video` or `scene`; see the module's docstring.

    gym.make_vec("InSpatio-v0", num_envs=64, scene="room", vectorization_mode="vector_entry_point")

    autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, or its value ("NextStep", ...). max_episode_steps truncates an episode
    after so many steps; None never does. render_mode: None, "rgb_array" (a picture of each world), or "grid" (one of all).

    max_faults: what becomes of a world in which something raises: its task, its scene's files, the model. 0, here the
    default: the exception reaches the caller. Otherwise the world alone is quarantined: the step truncates its episode with
    info["truncated_reason"] = "quarantined: IndexError: ...", reward 0 and the last observation again, and the next episode
    begins by the autoreset mode; a reset that raises is drawn anew. More than `max_faults` of this in a row, without an
    episode that ends otherwise, raise WorldLost. Actions and reset options that are refused raise in any case.

    All other arguments are those of `InSpatioEnv`. Raises ValueError or TypeError for arguments out of range.
    """

    def __init__(
        self,
        num_envs: int = 1,
        video: Any = None,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        max_faults: int = 0,
        **arguments: Any,
    ):
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"expected max_episode_steps of at least 1 or None, got {max_episode_steps}")
        if max_faults < 0:
            raise ValueError(f"expected max_faults of at least 0, got {max_faults}: 0 lets what a world raises through")
        super().__init__(num_envs, autoreset_mode, render_mode)
        self.max_faults = max_faults
        self.quarantines = 0  # so far
        self._limit = max_episode_steps
        self.stage = Stage({"video": video, **arguments})
        self._set_spaces(self.stage.control, self.stage.observation_space, self.stage.render_fps)
        self._slots = [Slot(self.stage) for _ in range(num_envs)]
        self._rngs: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._elapsed = np.zeros(num_envs, np.int64)
        self._faults = np.zeros(num_envs, np.int64)  # in a row

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each world."""
        self.seed_worlds([None] * self.num_envs)
        return tuple(self._rngs)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each world's generator."""
        self.seed_worlds([None] * self.num_envs)
        return tuple(self._seeds)

    def seed_worlds(self, seeds: Sequence[int | None]) -> None:
        """Seed the worlds that are given a seed, and those that never had one."""
        first = not self._rngs
        if first:
            self._rngs, self._seeds = [np.random.default_rng(0)] * self.num_envs, [0] * self.num_envs
        for k, seed in enumerate(seeds):
            if first or seed is not None:
                self._rngs[k], self._seeds[k] = seeding.np_random(None if seed is None else int(seed))

    def reset_worlds(
        self, mask: NDArray[np.bool_], seeds: Sequence[int | None], options: Mapping[str, Any]
    ) -> tuple[Arrays, dict[str, Any]]:
        chosen = [int(k) for k in np.flatnonzero(mask)]
        self.seed_worlds(seeds)
        observations = self.stage.empty_observation(self.num_envs)
        infos = self._begin(dict(zip(chosen, chosen, strict=True)), options, observations)
        for k in np.flatnonzero(~mask):
            self._slots[k].write_observation(_row(observations, int(k)))
        return observations, gather(infos, self.num_envs, self.stage.recycler)

    def step_worlds(
        self, chosen: Sequence[int], going: Sequence[int], commands: Sequence[Command], out: Arrays | None = None
    ) -> Results:
        """out: arrays for the observations, fresh ones by default."""
        over = [row for row, k in enumerate(chosen) if self._ended[k]]
        count = len(chosen)
        observations, rewards = out or self.stage.empty_observation(count), np.zeros(count)
        terminations, truncations = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        ward = Ward(open=self.max_faults > 0)
        slots, orders = {row: self._slots[chosen[row]] for row in going}, dict(zip(going, commands, strict=True))
        requests = ward.each(going, lambda row: slots[row].plan(*orders[row]))
        blocks = self._step_model(ward, slots, requests)
        sights = ward.batch(
            list(blocks),
            lambda rows: self._look([slots[row] for row in rows]),
            lambda row: self._look([slots[row]])[0],
        )
        seen = ward.each(sights, lambda row: slots[row].observe(blocks[row], sights[row], _row(observations, row)))
        infos: Infos = {}
        for row in going:
            k = chosen[row]
            self._elapsed[k] += 1
            if row in seen:
                rewards[row], terminations[row], truncations[row], infos[row] = seen[row]
                if self._limit is not None and self._elapsed[k] >= self._limit:
                    truncations[row] = True
                    infos[row].setdefault("truncated_reason", "time limit")
                if terminations[row] or truncations[row]:
                    self._faults[k] = 0
            else:
                self._count_fault(k, ward.faults[row])
                slots[row].set_apart()
                slots[row].write_observation(_row(observations, row))
                truncations[row], infos[row] = True, verdict(ward.faults[row])
            self._ended[k] = terminations[row] or truncations[row]
        if self._mode is AutoresetMode.SAME_STEP:
            over = [row for row in going if self._ended[chosen[row]]]
            last = {row: {"final_obs": _copy_of_row(observations, row), "final_info": infos[row]} for row in over}
            fresh = self._begin({row: chosen[row] for row in over}, {}, observations)
            infos |= {row: last[row] | fresh[row] for row in over}
        else:
            infos |= self._begin({row: chosen[row] for row in over}, {}, observations)
        return observations, rewards, terminations, truncations, gather(infos, count, self.stage.recycler)

    def last_frames(self) -> Sequence[Rgb]:
        return [slot.last_frame for slot in self._slots]

    def keep(self, world: int) -> dict[str, Any]:
        """A snapshot for a restart: a light one where the model promises no equality to the bit in any case."""
        return self._snapshot(world, light=self.stage.model.nondeterministic)

    def _snapshot(self, k: int, light: bool = False) -> dict[str, Any]:
        return {
            **self._slots[k].snapshot(light),
            "elapsed": int(self._elapsed[k]),
            "ended": bool(self._ended[k]),
            "faults": int(self._faults[k]),
        }

    def _restore(self, k: int, snapshot: Mapping[str, Any]) -> Arrays:
        self.seed_worlds([None] * self.num_envs)
        self._slots[k].restore(snapshot, self._rngs[k])
        self._elapsed[k], self._ended[k] = snapshot.get("elapsed", 0), snapshot.get("ended", False)
        self._faults[k] = snapshot.get("faults", 0)
        self.begun[k] = True
        out = self.stage.empty_observation()
        self._slots[k].write_observation(out)
        return out

    def _fork(self, k: int, others: Sequence[int]) -> None:
        for target in others:
            self._slots[target].become(self._slots[k], self._rngs[target])
            for state in (self._elapsed, self._ended, self._faults):
                state[target] = state[k]
            self.begun[target] = True

    def _begin(self, chosen: Mapping[int, int], options: Mapping[str, Any], observations: Arrays) -> Infos:
        """Begin an episode in the chosen worlds (row -> world); write the rows of `observations`, return infos by row."""
        if not chosen:
            return {}
        infos: Infos = {}
        while len(infos) < len(chosen):
            ward = Ward(open=self.max_faults > 0 and not options)  # options can be to blame, and the caller with them
            waiting = [row for row in chosen if row not in infos]
            infos |= self._try_to_begin(ward, {row: chosen[row] for row in waiting}, options, observations)
            for row, error in ward.faults.items():
                self._count_fault(chosen[row], error)
        self._elapsed[list(chosen.values())] = 0
        self.begun[list(chosen.values())] = True
        self._ended[list(chosen.values())] = False
        return infos

    def _try_to_begin(
        self, ward: Ward, chosen: Mapping[int, int], options: Mapping[str, Any], observations: Arrays
    ) -> Infos:
        slots = {row: self._slots[k] for row, k in chosen.items()}
        # All starts are sound before any episode begins.
        starts = ward.each(chosen, lambda row: slots[row].draw(self._rngs[chosen[row]], options))

        def start(rows: Sequence[int]) -> list[tuple[Any, Block]]:
            drawn = [starts[row] for row in rows]
            sessions, blocks = self.stage.model.start(
                [start.place.scene for start in drawn],
                [start.key for start in drawn],
                [start.request for start in drawn],
            )
            return list(zip(sessions, blocks, strict=True))

        begun = ward.batch(list(starts), start, lambda row: start([row])[0])
        return ward.each(begun, lambda row: slots[row].begin(starts[row], *begun[row], _row(observations, row)))

    def _step_model(
        self, ward: Ward, slots: Mapping[int, Slot], requests: Mapping[int, BlockRequest]
    ) -> dict[int, Block]:
        """One call of the model for all rows; if that raises, one a row, with its session as it was before."""
        before = {row: slots[row].session.fork() for row in requests} if ward.open else {}

        def step(rows: Sequence[int]) -> Sequence[Block]:
            return self.stage.model.step([slots[row].session for row in rows], [requests[row] for row in rows])

        def alone(row: int) -> Block:
            slots[row].session = before[row]
            return step([row])[0]

        return ward.batch(list(requests), step, alone)

    def _count_fault(self, k: int, error: Exception) -> None:
        self.quarantines += 1
        self._faults[k] += 1
        logger.warning("world %d raised, and is quarantined", k, exc_info=error)
        if self._faults[k] > self.max_faults:
            raise WorldLost(k, int(self._faults[k]), described(error)) from error

    def _look(self, slots: list[Slot]) -> list[Sight]:
        views = [slot.view for slot in slots]
        return self.stage.look(
            [slot.place for slot in slots], [frame for frame, _ in views], np.array([c2w for _, c2w in views])
        )


def _row(arrays: Arrays, k: int) -> Arrays:
    """Views of row k."""
    return {name: array[k, ...] for name, array in arrays.items()}


def _copy_of_row(arrays: Arrays, k: int) -> Arrays:
    return {name: array[k].copy() for name, array in arrays.items()}
