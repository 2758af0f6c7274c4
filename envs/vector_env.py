"""Many worlds in one process, stepped as one batch.

Every step makes one call of the world model and one of the survey for all worlds that go on, and one more of the model
for those that begin an episode; around them each slot plans and observes for itself, with the very code of the single
environment, so that slot k and an `InSpatioEnv` with the same seed and actions agree bit for bit.

Gymnasium's verbs, what they refuse, and the three autoreset modes are in `worlds`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from inspatio_gym.envs.infos import gather
from inspatio_gym.envs.sight import Sight
from inspatio_gym.envs.slot import Slot
from inspatio_gym.envs.stage import Stage
from inspatio_gym.envs.worlds import Command, Results, WorldsVectorEnv
from inspatio_gym.types import Arrays, Rgb

Infos = dict[int, dict[str, Any]]  # by row


class InSpatioVectorEnv(WorldsVectorEnv):
    """`num_envs` worlds over the scenes of one `video` or `scene`; see the module's docstring.

    gym.make_vec("InSpatio-v0", num_envs=64, scene="room", vectorization_mode="vector_entry_point")

    autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, or its value ("NextStep", ...). max_episode_steps truncates an episode
    after so many steps; None never does. render_mode: None, "rgb_array" (a picture of each world), or "grid" (one of all).
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
        **arguments: Any,
    ):
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"expected max_episode_steps of at least 1 or None, got {max_episode_steps}")
        super().__init__(num_envs, autoreset_mode, render_mode)
        self._limit = max_episode_steps
        self.stage = Stage({"video": video, **arguments})
        self._set_spaces(self.stage.control, self.stage.observation_space, self.stage.render_fps)
        self._slots = [Slot(self.stage) for _ in range(num_envs)]
        self._rngs: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._elapsed = np.zeros(num_envs, np.int64)

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

    def step_worlds(self, chosen: Sequence[int], going: Sequence[int], commands: Sequence[Command]) -> Results:
        over = [row for row, k in enumerate(chosen) if self._ended[k]]
        slots = [self._slots[chosen[row]] for row in going]
        requests = [slot.plan(motion, rate) for slot, (motion, rate) in zip(slots, commands, strict=True)]
        blocks = self.stage.model.step([slot.session for slot in slots], requests) if slots else []
        sights = self._look(slots)

        count = len(chosen)
        observations, rewards = self.stage.empty_observation(count), np.zeros(count)
        terminations, truncations = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        infos: Infos = {}
        for row, slot, block, sight in zip(going, slots, blocks, sights, strict=True):
            k = chosen[row]
            self._elapsed[k] += 1
            rewards[row], terminations[row], truncations[row], info = slot.observe(
                block, sight, _row(observations, row)
            )
            if self._limit is not None and self._elapsed[k] >= self._limit:
                truncations[row] = True
                info.setdefault("truncated_reason", "time limit")
            self._ended[k] = terminations[row] or truncations[row]
            infos[row] = info
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
        return {**self._slots[k].snapshot(light), "elapsed": int(self._elapsed[k]), "ended": bool(self._ended[k])}

    def _restore(self, k: int, snapshot: Mapping[str, Any]) -> Arrays:
        self.seed_worlds([None] * self.num_envs)
        self._slots[k].restore(snapshot, self._rngs[k])
        self._elapsed[k], self._ended[k] = snapshot.get("elapsed", 0), snapshot.get("ended", False)
        self.begun[k] = True
        out = self.stage.empty_observation()
        self._slots[k].write_observation(out)
        return out

    def _fork(self, k: int, others: Sequence[int]) -> None:
        for target in others:
            self._slots[target].become(self._slots[k], self._rngs[target])
            self._elapsed[target], self._ended[target] = self._elapsed[k], self._ended[k]
            self.begun[target] = True

    def _begin(self, chosen: Mapping[int, int], options: Mapping[str, Any], observations: Arrays) -> Infos:
        """Begin an episode in the chosen worlds (row -> world); write the rows of `observations`, return infos by row."""
        if not chosen:
            return {}
        slots = {row: self._slots[k] for row, k in chosen.items()}
        # All starts are sound before any episode begins.
        starts = [slot.draw(self._rngs[chosen[row]], options) for row, slot in slots.items()]
        sessions, blocks = self.stage.model.start(
            [start.place.scene for start in starts],
            [start.key for start in starts],
            [start.request for start in starts],
        )
        infos = {
            row: slot.begin(start, session, block, _row(observations, row))
            for (row, slot), start, session, block in zip(slots.items(), starts, sessions, blocks, strict=True)
        }
        self._elapsed[list(chosen.values())] = 0
        self.begun[list(chosen.values())] = True
        self._ended[list(chosen.values())] = False
        return infos

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
