"""What all worlds of one environment share: the scenes, the world model, the control, the survey of the geometry.

`EnvConfig` holds the keyword arguments of `InSpatio-v0` (single and vector environment alike), one field each; `Stage`
is what they resolve to. A `Slot` is one world on the stage.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.camera import Obstacle, RigConfig
from inspatio_gym.clock import Ends
from inspatio_gym.envs.actions import make_control
from inspatio_gym.envs.sight import Sight, Survey, look
from inspatio_gym.envs.spaces import Resizer, check_size, empty_observation, observation_space
from inspatio_gym.envs.tasks import Task, task_factory, task_name
from inspatio_gym.recycling import Recycler
from inspatio_gym.scenes import Scene, load_scene
from inspatio_gym.types import Arrays, Poses, Size
from inspatio_gym.world import WorldModel, load_model

logger = logging.getLogger(__name__)

Mount = Literal["source", "world"]
SNAPSHOT_SCHEMA = 2  # grows whenever a snapshot's content changes


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """The keyword arguments of the environment; every one but `video` or `scene` may be left out."""

    video: str | Path | Sequence[str | Path] | None = None
    """A video file, or several of which every episode draws one; anchored on first use, then read from the cache."""
    scene: str | Path | Scene | Sequence[str | Path | Scene] | None = None
    """A bundled scene ("room", "street"), a synthetic one ("synthetic:table?seed=3"), a scene folder, a Scene, or several."""
    model: str | WorldModel = "auto"
    """The world model: a name out of `inspatio_gym.world.MODELS`, a loaded one (any `WorldModel`), or "auto", the best one
    whose weights are present and whose device exists."""
    task: str | Callable[[], Task] = "explore"
    """What is asked of the agent: a name, or a class (any callable) that makes a Task for each world."""
    control: Literal["free", "rotation", "discrete", "time"] = "free"
    """What the agent sets; `inspatio_gym.envs.actions` has the table."""
    time_control: bool = False
    """Let rotation and discrete control set time too; free and time control always do."""
    mount: Mount = "source"
    """Ride the recorded camera ("source"), or move in the first camera's frame ("world")."""
    size: Size = (96, 160)
    """(height, width) of the observation, pixels."""
    render_size: Size | None = None
    """(height, width) of what the model makes and `render` shows, cropped to the aspect of `size` for the observation; None
    is what the model was made for, else `size`."""
    frames_per_step: int = 12
    """Frames a step lasts, a multiple of the model's block."""
    device: str = "cpu"
    """Where the model computes."""
    max_rate: float = 1.0
    """Source seconds per second of a full time action."""
    ends: Ends = "bounce"
    """What time does at the ends of the clip: "bounce", "clamp", "loop" (a cut), or "end" (truncates the episode)."""
    rig: RigConfig | None = None
    """Speeds and limits of the camera; None is `RigConfig()`."""
    min_coverage: float = 0.5
    """The corridor: the share of the view in which the frame shown must have measured a surface (before the model fills in
    from others, so not `info["coverage"]`); two steps outside truncate."""
    include_frames: bool = False
    """Put all frames of a step into info["frames"], uint8 (n, H, W, 3), not only the last one into the observation."""
    estimator: str = "auto"
    """What finds the geometry of a video; see `inspatio_gym.scenes.anchor`."""
    anchor_options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of `inspatio_gym.scenes.anchor`: max_frames, start, cache."""


class Stage:
    """The resolved configuration, shared by all slots.

    Raises ValueError (TypeError for wrong types) naming what was expected, what came, and the way out.
    """

    def __init__(self, arguments: Mapping[str, Any], *, every_frame: bool = False):
        known = [f.name for f in fields(EnvConfig)]
        if unknown := sorted(set(arguments) - set(known)):
            raise TypeError(f"expected keyword arguments out of {known}, got {unknown}")
        config = self.config = EnvConfig(**arguments)
        self.size = check_size(config.size, "size")
        for name, choices in (("mount", get_args(Mount)), ("ends", get_args(Ends))):
            if getattr(config, name) not in choices:
                raise ValueError(
                    f"expected {name} out of {list(choices)}, got {getattr(config, name)!r}: {choices[0]!r} is the default"
                )
        if not isinstance(config.min_coverage, int | float | np.number) or not 0 <= config.min_coverage <= 1:
            raise ValueError(f"expected min_coverage in [0, 1], got {config.min_coverage!r}: 0.5 is the default")
        if not isinstance(config.rig, RigConfig | None):
            raise TypeError(f"expected rig as a RigConfig, got {config.rig!r}: pass RigConfig(speed=1.0), say")
        self.control = make_control(config.control, time_control=config.time_control, max_rate=config.max_rate)
        self.make_task = task_factory(config.task)
        self.model = find_model(config, self.size)
        self.frames = check_frames(config.frames_per_step, self.model)
        self.rig = config.rig or RigConfig()
        self.rides = config.mount == "source"
        self.at_first_camera = np.broadcast_to(np.eye(4), (self.frames, 4, 4))
        self.observation_space = observation_space(
            self.size,
            max_offset=self.rig.max_offset,
            max_rate=config.max_rate,
            extra=self.make_task().observation_spaces,
        )
        pose = self.observation_space["pose"]
        assert isinstance(pose, gym.spaces.Box)
        self.pose_low, self.pose_high = pose.low, pose.high
        self.resizer = Resizer(self.model.render_size, self.size)
        self.recycler = Recycler()
        self.every_frame = every_frame or config.include_frames
        self.scenes = find_scenes(config)
        self.places = {scene.digest: Place(scene, self.size) for scene in self.scenes}
        self.render_fps = max(1, round(self.scenes[0].fps / self.frames))  # a frame a step, at the world's own pace

    def empty_observation(self, *batch: int) -> Arrays:
        """Fresh arrays for a world's observation to be written into; `batch` worlds, if given."""
        return empty_observation(self.observation_space, self.recycler, *batch)

    @property
    def signature(self) -> dict[str, Any]:
        """What a snapshot must agree with, beside its scene."""
        return {
            "schema": SNAPSHOT_SCHEMA,
            "model": self.model.digest,
            "render_size": list(self.model.render_size),
            "size": list(self.size),
            "frames_per_step": self.frames,
            "task": task_name(self.config.task),
            "mount": self.config.mount,
            "ends": self.config.ends,
            "min_coverage": float(self.config.min_coverage),
            "rig": asdict(self.rig),
        }

    def observed(self, frames: int) -> NDArray[np.int64]:
        """Which of a request's frames the model must return."""
        return np.arange(frames) if self.every_frame else np.array([frames - 1])

    def look(self, places: Sequence["Place"], frames: Sequence[int], c2w: Poses) -> list[Sight]:
        """What of each place's measured geometry a camera (row of `c2w`) sees while the frame is shown; one call."""
        seen = look([place.survey for place in places], frames, c2w)
        return [Sight(one, int(np.count_nonzero(one >= 0)) / one.size) for one in seen]

    def choose_scene(self, choice: object) -> Scene:
        """The scene that `options["scene"]` names: a position among the environment's scenes, the name of one of them,
        or any scene that `load_scene` knows. Raises ValueError otherwise."""
        if isinstance(choice, int | np.integer) and not isinstance(choice, bool):
            if not 0 <= choice < len(self.scenes):
                raise ValueError(f"expected options['scene'] in 0..{len(self.scenes) - 1}, got {choice}")
            return self.scenes[choice]
        for scene in self.scenes:
            if choice == scene.name:
                return scene
        if not isinstance(choice, str | Path | Scene):
            raise TypeError(f"expected options['scene'] to be a position, a name, a folder or a Scene, got {choice!r}")
        return load_scene(choice)

    def place(self, scene: Scene) -> "Place":
        """What is derived from a scene, made once."""
        if scene.digest not in self.places:
            self.places[scene.digest] = Place(scene, self.size)
        return self.places[scene.digest]

    def recall(self, digest: str) -> "Place":
        """The place of a snapshot. Raises ValueError for a scene that this environment does not have."""
        if digest not in self.places:
            raise ValueError(
                f"expected a snapshot of one of the scenes {[place.scene.name for place in self.places.values()]}, "
                f"got one with the hash {digest[:12]}: make the environment with the same video or scene"
            )
        return self.places[digest]


class Place:
    """What rig, corridor and rewards need of a scene.

    unit: its median depth in scene units. c2w: (F, 4, 4). obstacle: what stops the rig. survey: what a camera sees.
    """

    def __init__(self, scene: Scene, size: Size):
        self.scene = scene
        self.unit = scene.median_depth
        self.c2w = np.asarray(scene.c2w)
        self.obstacle = Obstacle.of(scene.survey_depth, scene.c2w, scene.intrinsics, scene.size)
        self.survey = Survey(scene, self.obstacle, size)


def find_model(config: EnvConfig, size: Size) -> WorldModel:
    """The world model that `model` names, or that it is.

    Raises ValueError if a loaded one makes frames of another size than `render_size`, TypeError for what is no model.
    """
    render_size = None if config.render_size is None else check_size(config.render_size, "render_size")
    if isinstance(config.model, str):
        return load_model(config.model, render_size=render_size, size=size, device=config.device)
    model = config.model
    if missing := [name for name in ("start", "step", "block_frames", "render_size") if not hasattr(model, name)]:
        raise TypeError(f"expected a model's name or a WorldModel, got {model!r} without {missing}: pass model='warp'")
    if render_size not in (None, tuple(model.render_size)):
        raise ValueError(
            f"expected render_size {tuple(model.render_size)}, that of the model which was passed, got {render_size}: "
            "leave it out"
        )
    return model


def find_scenes(config: EnvConfig) -> list[Scene]:
    """The scenes that `video` and `scene` name. Raises ValueError if neither or both are given."""
    if (config.video is None) == (config.scene is None):
        got = "neither" if config.video is None else "both"
        raise ValueError(
            f"expected a video or a scene, got {got}: pass video='clip.mp4', or scene='room' for a bundled one"
        )
    if config.scene is not None:
        choices = [config.scene] if isinstance(config.scene, str | Path | Scene) else list(config.scene)
        scenes = [load_scene(choice, progress=True) for choice in choices]
    else:
        from inspatio_gym.scenes import anchor  # brings the geometry estimators with it

        videos = [config.video] if isinstance(config.video, str | Path) else list(config.video or ())
        scenes = [
            anchor(video, estimator=config.estimator, progress=sys.stderr.isatty(), **config.anchor_options)
            for video in videos
        ]
    if not scenes:
        raise ValueError("expected at least one video or scene, got an empty list: pass scene='room', say")
    return scenes


def check_frames(frames: object, model: WorldModel) -> int:
    """`frames_per_step` as a whole number of blocks of the model. Raises ValueError otherwise."""
    block = model.block_frames
    if not isinstance(frames, int | np.integer) or isinstance(frames, bool) or frames < 1 or frames % block:
        raise ValueError(
            f"expected frames_per_step to be a positive multiple of {block}, the block of the model {model.name!r}, "
            f"got {frames!r}: pass {max(block, 12 // block * block)}"
        )
    return int(frames)
