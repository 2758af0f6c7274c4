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
from inspatio_gym.envs.tasks import Task
from inspatio_gym.envs.window import Window
from inspatio_gym.threads import ahead
from inspatio_gym.types import Arrays


class InSpatioEnv(gym.Env[Arrays, Any]):
    """Any video as a world: the agent is a camera that moves around the recorded one and sets the pace of time.

    ## Description
    A video is anchored as a scene: frames, depth, cameras. At every step the rig turns the action into camera poses and
    the clock into source frames, and a world model shows those frames from those cameras. The camera cannot enter
    measured geometry, and it changes nothing in the scene but time.

    ## Action Space
    `control="free"`: `Box(-1, 1, (7,), float32)`, the parts right, up, forward of the rig's speed (0.5 median depths a
    second), yaw right, pitch up, roll clockwise of its turn limit (30 degrees a second), and time: -1 reverse, 0 pause,
    +1 play at source speed (`max_rate` scales it). A zero action pauses and holds. "rotation": `Box(2)`, yaw and pitch
    while time plays, with `time_control=True` time as a third. "time": `Box(1)`, time alone. "discrete": `Discrete(13)`,
    named moves while time plays, with `time_control=True` also "pause" and "reverse"; `unwrapped.action_names` names
    them. Values that are not finite or outside [-1, 1] are an error. An action is held for `frames_per_step` frames.

    ## Observation Space
    `Dict`, all bounds finite: `rgb` uint8 (H, W, 3); `depth` float32 (H, W, 1), z-depth in median depths, clipped at 10;
    `pose` float32 (7,), the offset from the mount: position (right, down, forward, in median depths) and quaternion
    (w, x, y, z; w >= 0); `time` float32 (2,), position in the clip (0 to 1) and current rate; and what the task adds.
    `mount="source"` rides the recorded camera: camera = recorded camera @ offset; `mount="world"` moves in the first
    camera's frame: camera = offset. Depth is the scene's, never the model's imagination: `info["covered"]` says where
    it was measured.

    `info`: `c2w` (4, 4), the camera; `source_time`, seconds; `covered` (H, W) and `coverage`, its mean; `collision`; the
    task's metrics; `to_go` (7,), what is left to its goal, if it has one; `frames` uint8 (n, H, W, 3) with
    `include_frames=True`; `truncated_reason`; after a reset `scene`, its name.

    ## Rewards
    The task's. `explore`: the static surface that comes into the middle of the view for the first time, in views (1 is
    as much as a recorded frame shows), less 0.0025 for a step in which geometry stopped the camera and 0.25 for one that
    ends outside the corridor.

    ## Starting State
    Scene, start frame and a small pose jitter inside the corridor are drawn from `np_random`. `reset(options=...)` sets
    "scene" (position, name, folder or Scene), "time" (seconds), "pose" (offset, (4, 4) or (7,) as observed), or "goal",
    which the task explains.

    ## Episode End
    Terminated by the task alone. Truncated when the camera leaves the corridor where the world can be trusted: when two
    steps in a row end with less than `min_coverage` of the view showing measured surface ("corridor" in
    `info["truncated_reason"]`); when time runs out of the clip with `ends="end"` ("clip ended"); and by the time limit
    (250 steps unless `max_episode_steps` says else).

    ## Arguments
    `video` (a path or several) or `scene` (a bundled name such as "room", a folder, a Scene, or several), and
    `render_mode`: None, "rgb_array", or "human", which shows all frames in a window (the extra `play`). All the others,
    with their meaning and defaults, are the fields of `inspatio_gym.envs.stage.EnvConfig`.

    ```python
    env = gym.make("InSpatio-v0", video="clip.mp4", control="rotation", size=(96, 160))
    ```

    ## Version History
    * v0: first version
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 2}  # type: ignore[misc]

    def __init__(self, video: Any = None, *, render_mode: str | None = None, **arguments: Any):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"expected a render_mode out of {self.metadata['render_modes']}, got {render_mode!r}: pass 'rgb_array'"
            )
        self.render_mode = render_mode
        self.stage = Stage({"video": video, **arguments}, every_frame=render_mode == "human")
        self.metadata = {**self.metadata, "render_fps": self.stage.render_fps}  # type: ignore[misc]
        self.action_space = self.stage.control.space
        self.observation_space = self.stage.observation_space  # type: ignore[assignment]
        self._slot = Slot(self.stage)
        self._window = Window(self.stage.model.render_size) if render_mode == "human" else None

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each component of the action sets, or each move of discrete control does."""
        return self.stage.control.names

    @property
    def task(self) -> Task:
        """What is asked of the agent."""
        return self._slot.task

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode. options: "scene", "time" (seconds), "pose", "goal"; see `Slot.draw` for what they may be."""
        super().reset(seed=seed)
        slot, stage = self._slot, self.stage
        start = slot.draw(self.np_random, options)
        sessions, blocks = stage.model.start([start.place.scene], [start.key], [start.request])
        out = stage.empty_observation()
        info = slot.begin(start, sessions[0], blocks[0], out)
        if self._window:
            self._window.show(blocks[0].rgb[-1:], slot.clock.fps)
        return out, info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Hold `action` for `frames_per_step` frames.

        Raises ResetNeeded before the first reset, ValueError or TypeError for an action outside the space.
        """
        slot = self._slot
        if not slot.begun:
            raise ResetNeeded("expected reset() before step(), got step(): call env.reset(seed=...) first")
        request = slot.plan(*self.stage.control.read(action))
        sight = ahead(self._sight)  # while the model steps
        block = self.stage.model.step([slot.session], [request])[0]
        out = self.stage.empty_observation()
        reward, terminated, truncated, info = slot.observe(block, sight(), out)
        if self._window:
            self._window.show(block.rgb, slot.clock.fps)
        return out, reward, terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
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

    def restore(self, snapshot: Mapping[str, Any]) -> Arrays:
        """Take a snapshot back, here or in another environment made with the same arguments.

        Returns the observation at the moment of the snapshot. Raises ValueError for a snapshot of another scene, model,
        task or schema.
        """
        self._slot.restore(snapshot, self.np_random)
        out = self.stage.empty_observation()
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
