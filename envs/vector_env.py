"""Many worlds in one process, stepped as one batch.

Every step makes one call of the world model and one of the survey for all worlds that go on, and one more of the model
for those that begin an episode; around them each slot plans and observes for itself, with the very code of the single
environment, so that slot k and an `InSpatioEnv` with the same seed and actions agree bit for bit.

What happens to a world whose episode has ended is Gymnasium's autoreset mode:

    NEXT_STEP   the step that ends it returns its last observation; the next one ignores its action and returns the first
                observation of a new episode, with reward 0
    SAME_STEP   the step that ends it returns the first observation of a new episode; the last one of the old is in
                info["final_obs"][k], its info in info["final_info"]
    DISABLED    stepping it again is an error: it waits for reset(options={"reset_mask": ...})

Beyond Gymnasium's interface: `step_slots` steps some worlds alone, `snapshot` and `restore` keep one, `fork` copies one
into others.

Ref: https://farama.org/Vector-Autoreset-Mode
"""

import math
import operator
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
from inspatio_gym.types import Arrays, Rgb

Infos = dict[int, dict[str, Any]]  # by row
Results = tuple[Arrays, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class InSpatioVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]]):
    """`num_envs` worlds over the scenes of one `video` or `scene`; see the module's docstring.

    gym.make_vec("InSpatio-v0", num_envs=64, scene="room", vectorization_mode="vector_entry_point")

    autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, or its value ("NextStep", ...). max_episode_steps truncates an episode
    after so many steps; None never does. render_mode: None, "rgb_array" (a picture of each world), or "grid" (one of all).
    All other arguments are those of `InSpatioEnv`. Raises ValueError or TypeError for arguments out of range.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "grid"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

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
        if num_envs < 1:
            raise ValueError(f"expected num_envs of at least 1, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"expected max_episode_steps of at least 1 or None, got {max_episode_steps}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"expected a render_mode out of {self.metadata['render_modes']} or None, got {render_mode!r}"
            )
        self._mode = as_mode(autoreset_mode)
        self.num_envs, self.render_mode, self._limit = num_envs, render_mode, max_episode_steps
        self.stage = Stage({"video": video, **arguments})
        self.metadata = {  # type: ignore[misc]
            **self.metadata,
            "render_fps": self.stage.render_fps,
            "autoreset_mode": self._mode,
        }
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
        infos = self._begin(dict(zip(chosen, chosen, strict=True)), options, observations)
        for k in np.flatnonzero(~mask):
            self._slots[k].write_observation(_row(observations, int(k)))
        return observations, gather(infos, self.num_envs, self.stage.recycler)

    def step(self, actions: Any) -> Results:
        """Hold each world's action, rows of `action_space`, for `frames_per_step` frames.

        Raises ResetNeeded before the first reset and, in mode DISABLED, for a world whose episode has ended; ValueError or
        TypeError for actions outside the space. No world moves then.
        """
        return self.step_slots(range(self.num_envs), actions)

    def step_slots(self, indices: Sequence[int] | NDArray[np.integer], actions: Any) -> Results:
        """`step` of the worlds `indices` alone, with one action for each; the others cost nothing and stay as they are.

        Everything that is returned, the arrays of info included, has a row for each of `indices`, in their order. Raises
        what `step` raises, and ValueError or TypeError for indices that are not distinct worlds.
        """
        chosen = self._check_indices(indices)
        if not all(self._slots[k].begun for k in chosen):
            raise ResetNeeded("expected reset() before step(), got step(): call envs.reset(seed=...) first")
        if np.ndim(actions) == 0 or len(actions) != len(chosen):
            got = len(actions) if np.ndim(actions) else repr(actions)
            raise ValueError(f"expected {len(chosen)} actions, one for each world, got {got}")
        over = [row for row, k in enumerate(chosen) if self._ended[k]]
        if over and self._mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"expected worlds whose episode is under way, got {[chosen[row] for row in over]}, which have ended: "
                "reset them with options={'reset_mask': ...}"
            )
        going = [row for row, k in enumerate(chosen) if not self._ended[k]]
        slots = [self._slots[chosen[row]] for row in going]
        commands = [self.stage.control.read(actions[row]) for row in going]  # all are sound before any world moves
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

    def snapshot(self, world: int) -> dict[str, Any]:
        """Everything the rest of a world's episode depends on, as plain arrays, numbers and strings.

        Raises ResetNeeded before the first reset, ValueError or TypeError for a world that there is not.
        """
        (k,) = self._check_indices([world])
        if not self._slots[k].begun:
            raise ResetNeeded("expected reset() before snapshot(), got snapshot(): call envs.reset(seed=...) first")
        return {**self._slots[k].snapshot(), "elapsed": int(self._elapsed[k]), "ended": bool(self._ended[k])}

    def restore(self, world: int, snapshot: Mapping[str, Any]) -> Arrays:
        """Take a snapshot back into any world, here or in another environment made with the same arguments.

        A snapshot of a single environment will do; its time limit then starts anew. Returns the world's observation at the
        moment of the snapshot. Raises ValueError for a snapshot of another scene, model, task or schema.
        """
        (k,) = self._check_indices([world])
        self._seed([None] * self.num_envs)
        self._slots[k].restore(snapshot, self._rngs[k])
        self._elapsed[k], self._ended[k] = snapshot.get("elapsed", 0), snapshot.get("ended", False)
        out = self.stage.empty_observation()
        self._slots[k].write_observation(out)
        return out

    def fork(self, source: int, targets: Sequence[int]) -> None:
        """Make the worlds `targets` copies of `source`, its random numbers included; from then on each goes its own way.

        Raises ResetNeeded before the first reset, ValueError or TypeError for worlds that there are not.
        """
        (k,), others = self._check_indices([source]), self._check_indices(targets)
        if k in others:
            raise ValueError(f"expected targets other than the source {k}, got {others}: leave it out")
        if not self._slots[k].begun:
            raise ResetNeeded("expected reset() before fork(), got fork(): call envs.reset(seed=...) first")
        for target in others:
            self._slots[target].become(self._slots[k], self._rngs[target])
            self._elapsed[target], self._ended[target] = self._elapsed[k], self._ended[k]

    def render(self) -> Any:
        """The last frame of each world, uint8 (H, W, 3) at `render_size`, fresh arrays; in mode "grid" all of them in one
        picture, row by row; None without a render_mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: make the worlds with render_mode='rgb_array'")
            return None
        if not all(slot.begun for slot in self._slots):
            raise ResetNeeded("expected reset() before render(), got render(): call envs.reset(seed=...) first")
        frames = [slot.last_frame for slot in self._slots]
        return tiled(frames) if self.render_mode == "grid" else tuple(frame.copy() for frame in frames)

    def _begin(self, chosen: Mapping[int, int], options: Mapping[str, Any], observations: Arrays) -> Infos:
        """Begin an episode in the chosen worlds (row -> world); write the rows of `observations`, return infos by row."""
        if not chosen:
            return {}
        slots = {row: self._slots[k] for row, k in chosen.items()}
        starts = [
            slot.draw(self._rngs[chosen[row]], options) for row, slot in slots.items()
        ]  # all sound before any begins
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
        self._ended[list(chosen.values())] = False
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

    def _check_indices(self, indices: Any) -> list[int]:
        try:
            chosen = [operator.index(k) for k in indices]
        except TypeError as error:
            raise TypeError(f"expected the numbers of worlds, got {indices!r}: pass [0, 2], say") from error
        if len(set(chosen)) != len(chosen) or any(not 0 <= k < self.num_envs for k in chosen):
            raise ValueError(f"expected distinct worlds in 0..{self.num_envs - 1}, got {chosen}")
        return chosen


def as_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """An autoreset mode, given as itself or by its value. Raises ValueError for anything else."""
    try:
        return AutoresetMode(mode)
    except ValueError as error:
        values = [one.value for one in AutoresetMode]
        raise ValueError(
            f"expected autoreset_mode out of {values} or a gymnasium.vector.AutoresetMode, got {mode!r}"
        ) from error


def tiled(frames: Sequence[Rgb]) -> Rgb:
    """Frames (H, W, 3) side by side in one picture that is about as high as wide, rest black."""
    height, width = frames[0].shape[:2]
    cols = min(len(frames), math.ceil(math.sqrt(len(frames) * height / width)))
    rows = math.ceil(len(frames) / cols)
    grid = np.zeros((rows, height, cols, width, 3), np.uint8)
    for k, frame in enumerate(frames):
        grid[k // cols, :, k % cols] = frame
    return grid.reshape(rows * height, cols * width, 3)


def _row(arrays: Arrays, k: int) -> Arrays:
    """Views of row k."""
    return {name: array[k, ...] for name, array in arrays.items()}


def _copy_of_row(arrays: Arrays, k: int) -> Arrays:
    return {name: array[k].copy() for name, array in arrays.items()}


def gather(infos: Mapping[int, Mapping[str, Any]], num_envs: int, recycler: Recycler) -> dict[str, Any]:
    """Infos of some worlds as Gymnasium's vector info: for each key an array over worlds, and under _key who has it.

    Arrays are stacked if all have one shape; those that do not (frames of worlds that begin and of worlds that go on), and
    whatever is no number, make an array of objects. Only "final_info" becomes such a dictionary again.
    """
    batched: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos.values() for key in info):
        having = [k for k, info in infos.items() if key in info]
        values = [infos[k][key] for k in having]
        mask = np.zeros(num_envs, np.bool_)
        mask[having] = True
        if key == "final_info":
            batched[key] = gather(dict(zip(having, values, strict=True)), num_envs, recycler)
            batched[f"_{key}"] = mask
            continue
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
