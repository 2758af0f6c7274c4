"""Tasks: what an agent is asked to do in a world.

The environment itself knows no reward. A `Task` turns what happened in a step (a `Moment`: the scene, the commanded
camera, what of the scene's measured geometry that camera sees) into a reward and a verdict, adds what it likes to the
observation, and keeps its own score. It never sees a model's pixels, so a model that makes things up earns nothing.

    class HoldStill:                                # a whole task
        observation_spaces = {}
        def reset(self, moment, rng): self.moved = 0.0
        def step(self, moment):
            self.moved += moment.turned_deg
            return -moment.turned_deg, False        # reward, terminated
        def observation(self): return {}
        def metrics(self): return {"moved": self.moved}
        def snapshot(self): return {"moved": self.moved}
        def restore(self, snapshot, scene): self.moved = snapshot["moved"]

    env = gym.make("InSpatio-v0", scene="room", task=HoldStill)

A task belongs to one world: the environment makes one for every slot by calling what it was given. Three more methods
are there for tasks that need them, and only for those:

    bind(stage)                   called once, first of all: what all worlds share (the size that is observed, the control,
                                  the rig's limits; `stage.picture` draws a goal, `stage.coverage` judges a camera)
    to_go()                       what is left to the goal, for scripted agents: info["to_go"], never observed
    read_goal(goal, scene, frame) what options["goal"] of a reset asks for, refused or made ready for `Moment.goal`
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Pose

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Stage
    from inspatio_gym.scenes import Scene

TASKS = {
    "driving": "inspatio_gym.envs.tasks.driving:Driving",
    "driving-train": "inspatio_gym.envs.tasks.driving:DrivingTrain",
    "driving-held-out": "inspatio_gym.envs.tasks.driving:DrivingHeldOut",
    "explore": "inspatio_gym.envs.tasks.explore:Explore",
    "moment": "inspatio_gym.envs.tasks.moment:FindMoment",
    "goal": "inspatio_gym.envs.tasks.goal:Goal",
    "goal-curriculum": "inspatio_gym.envs.tasks.curriculum:GoalCurriculum",
}


@dataclass(slots=True)
class Moment:
    """The end of a step, or the start of an episode.

    scene: where. unit: its median depth, in scene units. frame: source frame shown. c2w: (4, 4), the commanded camera.
    seen: int32 (h, w), the survey's view from there: which point of `scene.survey_depth` (flat index) each
    low-resolution pixel shows, negative where none. coverage: share of that view where a surface was measured.
    collided: geometry stopped the camera in this step. outside: the camera is out of the corridor.
    moved: distance from the step's first camera to its last in median depths, relative to the mount.
    turned_deg: the angle between the two. goal: at the start of an episode, what `read_goal` made of options["goal"]; else
    None.
    """

    scene: "Scene"
    unit: float
    frame: int
    c2w: Pose
    seen: NDArray[np.int32]
    coverage: float
    collided: bool
    outside: bool
    moved: float
    turned_deg: float
    goal: Any = None


class Task(Protocol):
    """One world's reward, verdict, extra observation and metrics."""

    observation_spaces: Mapping[str, gym.Space]
    """Keys added to the observation, with finite bounds."""

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        """Begin an episode at `moment`; draw whatever is random from `rng`."""
        ...

    def step(self, moment: Moment) -> tuple[float, bool]:
        """The reward of the step that ended in `moment`, and whether the episode has ended by itself (terminated)."""
        ...

    def observation(self) -> Mapping[str, NDArray[Any]]:
        """Fresh arrays for the keys of `observation_spaces`."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """The score so far, which goes into `info`; the same keys at every step."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """The task's state as plain arrays, numbers and strings."""
        ...

    def restore(self, snapshot: Mapping[str, Any], scene: "Scene") -> None:
        """Take a snapshot of an episode in `scene` back, in place of `reset`."""
        ...


@runtime_checkable
class Bound(Protocol):
    """A task that looks at what all worlds share."""

    def bind(self, stage: "Stage") -> None:
        """Called once, before anything else; `stage` has its size, control and rig by then, and later its scenes."""
        ...


@runtime_checkable
class Seeker(Protocol):
    """A task with a goal, which tells scripted agents how far it is."""

    def to_go(self) -> NDArray[np.float64]:
        """What is left, (7,), in the axes of the camera as it is now: right, up, forward in median depths; yaw right, pitch
        up, roll clockwise in degrees; seconds of source time. A fresh array."""
        ...


@runtime_checkable
class Asked(Protocol):
    """A task whose goal a reset may choose."""

    def read_goal(self, goal: Any, scene: "Scene", frame: int) -> Any:
        """What options["goal"] asks for in an episode that begins in `scene` at `frame`; it becomes `Moment.goal`.

        Changes nothing. Raises ValueError or TypeError for a goal that cannot be.
        """
        ...


def task_factory(task: str | Callable[..., Task], options: Mapping[str, Any] | None = None) -> Callable[[], Task]:
    """What makes one task for one world: the class of a named task, or the callable itself, given `options` by name.

    Raises ValueError for an unknown name or option, TypeError for a task that is already made.
    """
    if isinstance(task, str):
        if task not in TASKS:
            raise ValueError(
                f"expected a task out of {sorted(TASKS)}, got {task!r}: pass a name, or a class of your own"
            )
        module, name = TASKS[task].split(":")
        task = getattr(importlib.import_module(module), name)
    if not callable(task):
        raise TypeError(
            f"expected a task's name or something that makes one (its class, say), got {task!r}: every world needs a "
            "task of its own, so pass the class, or `lambda: MyTask(...)`"
        )
    if not options:
        return task
    known = list(inspect.signature(task).parameters)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"expected task_options out of {known} for the task {task_name(task)!r}, got {unknown}")
    return functools.partial(task, **options)


def task_name(task: str | Callable[..., Task]) -> str:
    """The name under which snapshots remember a task."""
    return task if isinstance(task, str) else getattr(task, "__qualname__", type(task).__qualname__)
