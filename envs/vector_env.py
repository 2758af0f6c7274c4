"""Many worlds in one process, stepped as one batch.

Every step makes one call of the world model and one of the survey for all worlds that go on, and one more of the model
for those that begin an episode; around them each slot plans and observes for itself, with the very code of the single
environment, so that slot k and an `InSpatioEnv` with the same seed and actions agree bit for bit.

Autoreset mode NEXT_STEP: a world whose episode has ended returns its last observation in that step; the next step
ignores its action and returns the first observation of a new episode, with reward 0. Observations in `info["final_obs"]`
belong to SAME_STEP, which is not offered yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from inspatio_gym.envs.sight import Sight
from inspatio_gym.envs.slot import Slot
from inspatio_gym.envs.stage import Stage
from inspatio_gym.recycling import Recycler
from inspatio_gym.types import Arrays

Results = tuple[Arrays, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class InSpatioVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]]):
    """`num_envs` worlds over the scenes of one `video` or `scene`; see the module's docstring.

    gym.make_vec("InSpatio-v0", num_envs=64, scene="room", vectorization_mode="vector_entry_point")

    max_episode_steps truncates an episode after so many steps; None never does. render_mode is None or "rgb_array". All
    other arguments are those of `InSpatioEnv`. Raises ValueError or TypeError for arguments out of range.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        video: Any = None,
        *,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **arguments: Any,
    ):
        if num_envs < 1:
            raise ValueError(f"expected num_envs of at least 1, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"expected max_episode_steps of at least 1 or None, got {max_episode_steps}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"expected render_mode None or 'rgb_array', got {render_mode!r}")
        self.num_envs, self.render_mode, self._limit = num_envs, render_mode, max_episode_steps
        self.stage = Stage({"video": video, **arguments})
        self.metadata = {**self.metadata, "render_fps": self.stage.render_fps}  # type: ignore[misc]
        self.single_action_space = self.stage.control.space
        self.single_observation_space = self.stage.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._slots = [Slot(self.stage) for _ in range(num_envs)]
        self._rngs: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._elapsed = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each component of an action sets, or each move of discrete control does."""
        return self.stage.control.names

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each world."""
        self._seed([None] * self.num_envs)
        return tuple(self._rngs)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each world's generator."""
        self._seed([None] * self.num_envs)
        return tuple(self._seeds)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode in every world, or in those of options["reset_mask"], bool (num_envs,).

        seed: None goes on with the worlds' own generators, an integer gives world k the seed + k, a sequence gives each
        its own. Other options are those of `InSpatioEnv.reset`, for every world that is reset. A world that is not reset
        returns its last observation again, and no info.
        """
        options = dict(options or {})
        mask = self._check_mask(options.pop("reset_mask", None))
        seeds = [seed + k for k in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, one for each world, got {len(seeds)}")
        chosen = [int(k) for k in np.flatnonzero(mask)]
        self._seed([s if mask[k] else None for k, s in enumerate([None] * self.num_envs if seeds is None else seeds)])
        observations = self.stage.empty_observation(self.num_envs)
        infos = self._begin(chosen, options, observations)
        for k in np.flatnonzero(~mask):
            self._slots[k].write_observation(_row(observations, int(k)))
        return observations, gather(infos, self.num_envs, self.stage.recycler)

    def step(self, actions: Any) -> Results:
        """Hold each world's action, rows of `action_space`, for `frames_per_step` frames.

        Raises ResetNeeded before the first reset, ValueError or TypeError for actions outside the space; no world moves
        then.
        """
        if not all(slot.begun for slot in self._slots):
            raise ResetNeeded("expected reset() before step(), got step(): call envs.reset(seed=...) first")
        if np.ndim(actions) == 0 or len(actions) != self.num_envs:
            got = len(actions) if np.ndim(actions) else repr(actions)
            raise ValueError(f"expected {self.num_envs} actions, one for each world, got {got}")
        going = [k for k in range(self.num_envs) if not self._ended[k]]
        commands = [self.stage.control.read(actions[k]) for k in going]  # all are sound before any world moves
        slots = [self._slots[k] for k in going]
        requests = [slot.plan(motion, rate) for slot, (motion, rate) in zip(slots, commands, strict=True)]
        blocks = self.stage.model.step([slot.session for slot in slots], requests) if slots else []
        sights = self._look(slots)

        observations = self.stage.empty_observation(self.num_envs)
        rewards = np.zeros(self.num_envs)
        terminations, truncations = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        infos: dict[int, dict[str, Any]] = {}
        self._elapsed += 1
        for k, slot, block, sight in zip(going, slots, blocks, sights, strict=True):
            rewards[k], terminations[k], truncations[k], info = slot.observe(block, sight, _row(observations, k))
            if self._limit is not None and self._elapsed[k] >= self._limit:
                truncations[k] = True
                info.setdefault("truncated_reason", "time limit")
            infos[k] = info
        infos.update(self._begin([int(k) for k in np.flatnonzero(self._ended)], {}, observations))
        self._ended = terminations | truncations
        return observations, rewards, terminations, truncations, gather(infos, self.num_envs, self.stage.recycler)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The last frame of each world, uint8 (H, W, 3) at `render_size`, fresh arrays; None without a render_mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: make the worlds with render_mode='rgb_array'")
            return None
        if not all(slot.begun for slot in self._slots):
            raise ResetNeeded("expected reset() before render(), got render(): call envs.reset(seed=...) first")
        return tuple(slot.last_frame.copy() for slot in self._slots)

    def _begin(self, chosen: list[int], options: Mapping[str, Any], observations: Arrays) -> dict[int, dict[str, Any]]:
        """Begin an episode in the chosen worlds; write their rows of `observations` and return their infos."""
        if not chosen:
            return {}
        starts = [self._slots[k].draw(self._rngs[k], options) for k in chosen]  # all are sound before any world changes
        sessions, blocks = self.stage.model.start(
            [start.place.scene for start in starts],
            [start.key for start in starts],
            [start.request for start in starts],
        )
        infos = {
            k: self._slots[k].begin(start, session, block, _row(observations, k))
            for k, start, session, block in zip(chosen, starts, sessions, blocks, strict=True)
        }
        self._elapsed[chosen] = 0
        self._ended[chosen] = False
        return infos

    def _look(self, slots: list[Slot]) -> list[Sight]:
        views = [slot.view for slot in slots]
        return self.stage.look(
            [slot.place for slot in slots], [frame for frame, _ in views], np.array([c2w for _, c2w in views])
        )

    def _seed(self, seeds: Sequence[int | None]) -> None:
        """Seed the worlds that are given a seed, and those that never had one."""
        first = not self._rngs
        if first:
            self._rngs, self._seeds = [np.random.default_rng(0)] * self.num_envs, [0] * self.num_envs
        for k, seed in enumerate(seeds):
            if first or seed is not None:
                self._rngs[k], self._seeds[k] = seeding.np_random(None if seed is None else int(seed))

    def _check_mask(self, mask: Any) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"expected options['reset_mask'] as a bool array ({self.num_envs},), got {mask!r}")
        if not mask.any():
            raise ValueError("expected options['reset_mask'] to choose at least one world, got none")
        unborn = [k for k, slot in enumerate(self._slots) if not (slot.begun or mask[k])]
        if unborn:
            raise ResetNeeded(
                f"expected a first reset of all worlds, got a mask without {unborn}: call envs.reset() first"
            )
        return mask


def _row(arrays: Arrays, k: int) -> Arrays:
    """Views of row k."""
    return {name: array[k, ...] for name, array in arrays.items()}


def gather(infos: Mapping[int, Mapping[str, Any]], num_envs: int, recycler: Recycler) -> dict[str, Any]:
    """Infos of some worlds as Gymnasium's vector info: for each key an array over worlds, and under _key who has it.

    Arrays are stacked if all have one shape; those that do not (frames of worlds that begin and of worlds that go on), and
    whatever is no number, make an array of objects.
    """
    batched: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos.values() for key in info):
        having = [k for k, info in infos.items() if key in info]
        values = [infos[k][key] for k in having]
        mask = np.zeros(num_envs, np.bool_)
        mask[having] = True
        if all(isinstance(value, np.ndarray) for value in values) and len({value.shape for value in values}) == 1:
            array = recycler.empty((num_envs, *values[0].shape), values[0].dtype)
            array[~mask] = 0
        elif all(isinstance(value, bool | int | float | np.number | np.bool_) for value in values):
            array = np.zeros(num_envs, np.asarray(values).dtype)
        else:
            array = np.full(num_envs, None, object)
        for k, value in zip(having, values, strict=True):
            array[k] = value
        batched[key], batched[f"_{key}"] = array, mask
    return batched
