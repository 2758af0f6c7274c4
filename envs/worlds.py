"""What vector environments of worlds have in common, wherever the worlds are: Gymnasium's verbs and all their checks.

    InSpatioVectorEnv   the worlds are in this process
    RayVectorEnv        the worlds are in Ray actors

The verbs are here, with what they refuse; a subclass supplies what they do once nothing is left to refuse. So both
kinds of environment refuse the same things in the same words, before any world has moved.

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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from inspatio_gym.envs.actions import Control
from inspatio_gym.types import Arrays, Rgb

Results = tuple[Arrays, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
Command = tuple[NDArray[np.float64], float]  # a motion (6,) and a rate of time, as `Control.read` returns them


class WorldsVectorEnv(VectorEnv[Arrays, Any, NDArray[Any]]):
    """`num_envs` worlds; see the module's docstring. A subclass calls `_set_spaces` and supplies the methods below it."""

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "grid"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, num_envs: int, autoreset_mode: AutoresetMode | str, render_mode: str | None):
        if num_envs < 1:
            raise ValueError(f"expected num_envs of at least 1, got {num_envs}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"expected a render_mode out of {self.metadata['render_modes']} or None, got {render_mode!r}"
            )
        self.num_envs, self.render_mode = num_envs, render_mode
        self._mode = as_mode(autoreset_mode)
        self.begun = np.zeros(num_envs, np.bool_)
        self._ended = np.zeros(num_envs, np.bool_)

    def _set_spaces(self, control: Control, observation_space: gym.spaces.Dict, render_fps: int) -> None:
        self._control = control
        self.metadata = {  # type: ignore[misc]
            **self.metadata,
            "render_fps": render_fps,
            "autoreset_mode": self._mode,
        }
        self.single_action_space = control.space
        self.single_observation_space = observation_space
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    # --- what a subclass does, with arguments that are sound -----------------------------------------------------------

    def reset_worlds(
        self, mask: NDArray[np.bool_], seeds: Sequence[int | None], options: Mapping[str, Any]
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode in the worlds of `mask` (none, perhaps), seeded where there is a seed."""
        raise NotImplementedError

    def step_worlds(self, chosen: Sequence[int], going: Sequence[int], commands: Sequence[Command]) -> Results:
        """Step the `chosen` worlds: rows `going` of them by `commands`, while the others begin an episode."""
        raise NotImplementedError

    def last_frames(self) -> Sequence[Rgb]:
        """What each world shows."""
        raise NotImplementedError

    def _snapshot(self, k: int) -> dict[str, Any]:
        raise NotImplementedError

    def _restore(self, k: int, snapshot: Mapping[str, Any]) -> Arrays:
        raise NotImplementedError

    def _fork(self, k: int, others: Sequence[int]) -> None:
        raise NotImplementedError

    # --- the verbs -----------------------------------------------------------------------------------------------------

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each component of an action sets, or each move of discrete control does."""
        return self._control.names

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
        chosen_seeds = [
            s if mask[k] else None for k, s in enumerate([None] * self.num_envs if seeds is None else seeds)
        ]
        return self.reset_worlds(mask, chosen_seeds, options)

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
        return self.step_worlds(*self._check_step(indices, actions))

    def snapshot(self, world: int) -> dict[str, Any]:
        """Everything the rest of a world's episode depends on, as plain arrays, numbers and strings.

        Raises ResetNeeded before the first reset, ValueError or TypeError for a world that there is not.
        """
        (k,) = self._check_indices([world])
        self._check_begun([k], "snapshot")
        return self._snapshot(k)

    def restore(self, world: int, snapshot: Mapping[str, Any]) -> Arrays:
        """Take a snapshot back into any world, here or in another environment made with the same arguments.

        A snapshot of a single environment will do; its time limit then starts anew. Returns the world's observation at the
        moment of the snapshot. Raises ValueError for a snapshot of another scene, model, task or schema.
        """
        (k,) = self._check_indices([world])
        return self._restore(k, snapshot)

    def fork(self, source: int, targets: Sequence[int]) -> None:
        """Make the worlds `targets` copies of `source`, its random numbers included; from then on each goes its own way.

        Raises ResetNeeded before the first reset, ValueError or TypeError for worlds that there are not.
        """
        (k,), others = self._check_indices([source]), self._check_indices(targets)
        if k in others:
            raise ValueError(f"expected targets other than the source {k}, got {others}: leave it out")
        self._check_begun([k], "fork")
        self._fork(k, others)

    def render(self) -> Any:
        """The last frame of each world, uint8 (H, W, 3) at `render_size`, fresh arrays; in mode "grid" all of them in one
        picture, row by row; None without a render_mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: make the worlds with render_mode='rgb_array'")
            return None
        self._check_begun(range(self.num_envs), "render")
        frames = self.last_frames()
        return tiled(frames) if self.render_mode == "grid" else tuple(frame.copy() for frame in frames)

    # --- what they refuse ----------------------------------------------------------------------------------------------

    def _check_mask(self, mask: Any) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"expected options['reset_mask'] as a bool array ({self.num_envs},), got {mask!r}")
        if not mask.any():
            raise ValueError("expected options['reset_mask'] to choose at least one world, got none")
        unborn = [int(k) for k in np.flatnonzero(~(self.begun | mask))]
        if unborn:
            raise ResetNeeded(
                f"expected a first reset of all worlds, got a mask without {unborn}: call envs.reset() first"
            )
        return mask

    def _check_step(self, indices: Any, actions: Any) -> tuple[list[int], list[int], list[Command]]:
        """The worlds that are meant, which rows of them go on, and what the actions of those say."""
        chosen = self._check_indices(indices)
        self._check_begun(chosen, "step")
        if np.ndim(actions) == 0 or len(actions) != len(chosen):
            got = len(actions) if np.ndim(actions) else repr(actions)
            raise ValueError(f"expected {len(chosen)} actions, one for each world, got {got}")
        over = [k for k in chosen if self._ended[k]]
        if over and self._mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"expected worlds whose episode is under way, got {over}, which have ended: "
                "reset them with options={'reset_mask': ...}"
            )
        going = [row for row, k in enumerate(chosen) if not self._ended[k]]
        return chosen, going, [self._control.read(actions[row]) for row in going]

    def _check_begun(self, worlds: Iterable[int], verb: str) -> None:
        if not all(self.begun[k] for k in worlds):
            raise ResetNeeded(f"expected reset() before {verb}(), got {verb}(): call envs.reset(seed=...) first")

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
