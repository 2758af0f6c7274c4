"""`InSpatio-v0`: one world as a Gymnasium environment.

A thin adapter: the slot turns the action into source frames and cameras, the model into pixels, the slot into an
observation, a reward and a verdict. What is shared with the vector environment lives in `stage` and `slot`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from inspatio_gym.envs.slot import Slot
from inspatio_gym.envs.stage import Stage
from inspatio_gym.envs.window import Window

Observation = dict[str, NDArray[Any]]


class InSpatioEnv(gym.Env[Observation, Any]):
    """Any video as a world: the agent is a camera that moves around the recorded one and sets the pace of time.

    ## Description
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 10}

    def __init__(self, video: Any = None, *, render_mode: str | None = None, **arguments: Any):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"expected a render_mode out of {self.metadata['render_modes']}, got {render_mode!r}: pass 'rgb_array'"
            )
        self.render_mode = render_mode
        self.stage = Stage({"video": video, **arguments}, every_frame=render_mode == "human")
        self.action_space = self.stage.control.space
        self.observation_space = self.stage.observation_space
        self._slot = Slot(self.stage)
        self._window = Window(self.stage.model.render_size) if render_mode == "human" else None

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each component of the action sets, or each move of discrete control does."""
        return self.stage.control.names

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode. options: "scene", "time" (seconds), "pose"; see `Slot.begin` for what they may be."""
        super().reset(seed=seed)
        slot, stage = self._slot, self.stage
        request = slot.begin(self.np_random, options)
        sessions, blocks = stage.model.start([slot.place.scene], [slot.key], [request])
        slot.session = sessions[0]
        out = self._empty_observation()
        info = slot.observe_first(blocks[0], self._sight(), out)
        if self._window:
            self._window.show(blocks[0].rgb[-1:], slot.clock.fps)
        return out, info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold `action` for `frames_per_step` frames.

        Raises ResetNeeded before the first reset, ValueError or TypeError for an action outside the space.
        """
        slot = self._slot
        if not slot.begun:
            raise ResetNeeded("expected reset() before step(), got step(): call env.reset(seed=...) first")
        request = slot.plan(*self.stage.control.read(action))
        block = self.stage.model.step([slot.session], [request])[0]
        out = self._empty_observation()
        reward, terminated, truncated, info = slot.observe(block, self._sight(), out)
        if self._window:
            self._window.show(block.rgb, slot.clock.fps)
        return out, reward, terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The last frame, uint8 (H, W, 3) at `render_size`, a fresh array; None in mode "human", which shows by itself."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() does nothing without a render_mode: make the environment with render_mode='rgb_array'"
            )
            return None
        if not self._slot.begun:
            raise ResetNeeded("expected reset() before render(), got render(): call env.reset(seed=...) first")
        return None if self._window else self._slot.last_frame.copy()

    def snapshot(self) -> dict[str, Any]:
        """Everything the rest of the episode depends on, as plain arrays, numbers and strings.

        Not in it: what wrappers count, such as the time limit's steps. Raises ResetNeeded before the first reset.
        """
        if not self._slot.begun:
            raise ResetNeeded("expected reset() before snapshot(), got snapshot(): call env.reset(seed=...) first")
        return self._slot.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> Observation:
        """Take a snapshot back, here or in another environment made with the same arguments.

        Returns the observation at the moment of the snapshot. Raises ValueError for a snapshot of another scene, model,
        task or schema.
        """
        self._slot.restore(snapshot, self.np_random)
        out = self._empty_observation()
        self._slot.write_observation(out)
        return out

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window:
            self._window.close()

    def _sight(self) -> Any:
        slot = self._slot
        frame, c2w = slot.view
        return self.stage.look([slot.place], [frame], c2w[None])[0]

    def _empty_observation(self) -> Observation:
        return {name: np.empty(space.shape, space.dtype) for name, space in self.observation_space.items()}
