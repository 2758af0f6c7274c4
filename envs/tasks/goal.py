"""Goal: reach the view that a picture shows, in space and time, and hold it.

An episode draws a camera and a moment that can be reached (`reach`), and shows what is seen there as `goal_rgb`. The agent
moves, turns and sets the pace of time, as far as its control lets it, until it holds that view. What its control cannot
set is no part of the goal: with control "rotation" the goal lies in another direction, not elsewhere.

How far it is. Positions and angles are offsets from the mount, as everything the agent does: riding the recording is not
its motion. With a the distance in median depths, b the angle between the orientations in degrees, s the seconds of source
time between the moments shown,

    distance = a / 0.5 + b / 30 + s / 1        seconds at the default rig's full speed, one part after the other

    reward = distance before the step - distance after it  +  SUCCESS when it succeeds
             -  STEP  -  COLLISION if geometry stopped the camera  -  OUTSIDE the corridor

Progress is the difference of a potential, so a way there and back again earns nothing, and no way earns more than the
distance at the start. Two steps outside the corridor, which end an episode, cost what waiting for its limit of 250 does.

Success: for `hold_s` seconds (whole steps of them) the camera ends within all tolerances of the goal and is nearly still,
at most `STILL` in a second. The episode then terminates.

Metrics, with p the way so far (each step's motion as a distance) and d the distance, d0 that at the start:

    success            1 once it has held the view, else 0
    spl                success * d0 / max(p, d0)                     Anderson et al. 2018, "On evaluation of embodied..."
    soft_spl           max(0, 1 - d / d0) * d0 / max(p, d0)          Datta et al. 2020, "Integrating egocentric..."
    distance_to_goal   d; away (median depths), angle_error_deg, time_error (seconds) are its parts
    path_length        p
    collisions         steps in which geometry stopped the camera

A straight way of every part has length d0, since the parts add up; so d0 is the shortest way.

The picture is drawn from the scene's geometry, whatever model is played. Where time plays by itself (control "rotation"
or "discrete" without time control) it shows the moment of the start.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.camera import CameraRig
from inspatio_gym.envs.tasks import Moment
from inspatio_gym.envs.tasks.reach import Range, Target, anchor, draw_target
from inspatio_gym.geometry.poses import angle_deg, invert, ypr_deg

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Stage
    from inspatio_gym.scenes import Scene

DIFFICULTIES = {
    "easy": Range(angle_deg=(8, 15), away=(0.0, 0.1), seconds=(0, 0)),
    "medium": Range(angle_deg=(15, 30), away=(0.1, 0.3), seconds=(0, 0)),
    "hard": Range(angle_deg=(20, 40), away=(0.2, 0.5), seconds=(0.5, 2.0)),
}
UNITS = np.array((0.5, 30.0, 1.0))  # of distance: median depths, degrees, seconds
STILL = np.array((0.1, 6.0, 0.25))  # the same, a second
SUCCESS = 2.0
STEP = 0.002
COLLISION = 0.01
OUTSIDE = 0.25


class Goal:
    """Reward for coming nearer to a pictured view, and for holding it; see the module's docstring.

    difficulty: a name out of `DIFFICULTIES`, or the fields of a `Range`. tolerance: median depths, degrees and seconds within
    which a camera is at the goal. hold_s: seconds that it must stay. Raises ValueError for a difficulty that is unknown, or
    that leaves the control nothing to do, and for numbers that are not positive.

    scene, here, goal: where it takes place, where the camera is, and where it should be. success: whether it has held the
    goal. sets: bool (3,), whether the control sets position, orientation, time.
    """

    scene: "Scene"
    here: Target
    goal: Target
    success = False

    def __init__(
        self,
        difficulty: str | Mapping[str, Any] = "medium",
        tolerance: tuple[float, float, float] = (0.08, 6.0, 0.25),
        hold_s: float = 1.0,
    ):
        self.wanted = as_range(difficulty)
        self._difficulty = difficulty
        self.tolerance = np.asarray(tolerance, np.float64)
        if self.tolerance.shape != (3,) or not (self.tolerance > 0).all() or not hold_s > 0:
            raise ValueError(
                "expected a tolerance of three positive numbers (median depths, degrees, seconds) and a positive hold_s, "
                f"got {tolerance!r} and {hold_s!r}: (0.08, 6.0, 0.25) and 1.0 are the defaults"
            )
        self._hold_s = hold_s

    def bind(self, stage: "Stage") -> None:
        config = stage.config
        self._stage = stage
        self.sets = np.array(
            (
                config.control in ("free", "discrete"),
                config.control != "time",
                config.control in ("free", "time") or config.time_control,
            )
        )
        wanted = self.wanted
        most = np.array((wanted.away[1], wanted.angle_deg[1], wanted.seconds[1]))
        if not (most * self.sets).any():
            raise ValueError(
                f"expected a control that can reach a goal of difficulty {self._difficulty!r}, got {config.control!r}: "
                "pass control='free', or task_options={'difficulty': 'hard'}, whose goals lie in another moment"
            )
        height, width = stage.size
        self.observation_spaces: Mapping[str, gym.Space] = {
            "goal_rgb": gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
        }

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        here = self._target_at(moment)
        drawn = draw_target(self._stage, moment.scene, here, self._within_reach(self.wanted), rng)
        self._begin(moment.scene, here, drawn if moment.goal is None else moment.goal)

    def _begin(self, scene: "Scene", here: Target, goal: Target) -> None:
        self.scene, self.goal, self.here = scene, goal, here
        self._picture = self._stage.picture(scene, goal.frame, anchor(self._stage, scene, goal.frame) @ goal.offset)
        self._left = self._parts_left()
        self._at_start = self._distance = self._as_distance(self._left)
        self._path_length, self._collisions, self._held = 0.0, 0, 0
        self.success = False

    def step(self, moment: Moment) -> tuple[float, bool]:
        there, self.here = self.here, self._target_at(moment)
        motion = np.array((moment.moved, moment.turned_deg, abs(self.here.frame - there.frame) / moment.scene.fps))
        before, self._left = self._distance, self._parts_left()
        self._distance = self._as_distance(self._left)
        self._path_length += self._as_distance(motion)
        step_s = self._stage.frames / moment.scene.fps
        at_goal = self._all_within(self._left, self.tolerance) and self._all_within(motion, STILL * step_s)
        self._held = self._held + 1 if at_goal else 0
        self.success = self._held * step_s >= self._hold_s - 1e-6
        self._collisions += moment.collided
        reward = before - self._distance - STEP + SUCCESS * self.success
        return reward - COLLISION * moment.collided - OUTSIDE * moment.outside, self.success

    def observation(self) -> Mapping[str, NDArray[Any]]:
        return {"goal_rgb": self._picture.copy()}

    def metrics(self) -> dict[str, float]:
        efficiency = self._at_start / max(self._path_length, self._at_start, 1e-12)
        away, angle, seconds = self._left
        return {
            "success": float(self.success),
            "spl": self.success * efficiency,
            "soft_spl": max(0.0, 1.0 - self._distance / max(self._at_start, 1e-12)) * efficiency,
            "distance_to_goal": self._distance,
            "away": float(away),
            "angle_error_deg": float(angle),
            "time_error": float(seconds),
            "path_length": self._path_length,
            "collisions": self._collisions,
        }

    def to_go(self) -> NDArray[np.float64]:
        here, goal, scene = self.here, self.goal, self.scene
        x, y, z = here.offset[:3, :3].T @ (goal.offset[:3, 3] - here.offset[:3, 3]) / scene.median_depth
        turn = ypr_deg(goal.offset[:3, :3]) - ypr_deg(here.offset[:3, :3])
        turn = (turn + 180.0) % 360.0 - 180.0
        moves, turns, times = self.sets
        seconds = (goal.frame - here.frame) / scene.fps
        return np.array((x * moves, -y * moves, z * moves, *(turn * turns), seconds * times))

    def read_goal(self, goal: Any, scene: "Scene", frame: int) -> Target:
        """options["goal"]: a mapping with "pose", the offset as options["pose"] is given, and "time" in seconds (that of the
        start without it)."""
        from inspatio_gym.envs.slot import as_seconds, offset_pose  # which imports the tasks

        if not isinstance(goal, Mapping) or "pose" not in goal or set(goal) - {"pose", "time"}:
            raise ValueError(f"expected options['goal'] as {{'pose': offset, 'time': seconds}}, got {goal!r}")
        if "time" in goal:
            frame = round(as_seconds(goal["time"]) * scene.fps)
        if not 0 <= frame < scene.num_frames:
            raise ValueError(
                f"expected options['goal']['time'] in 0..{(scene.num_frames - 1) / scene.fps:g} s, got {goal['time']!r}"
            )
        offset = offset_pose(goal["pose"], scene.median_depth)
        CameraRig(self._stage.rig, unit=scene.median_depth).reset(offset)  # raises for an offset beyond its limits
        coverage = self._stage.coverage(scene, frame, anchor(self._stage, scene, frame) @ offset)
        if coverage < self._stage.config.min_coverage:
            raise ValueError(
                f"expected a goal inside the corridor, got one with a coverage of {coverage:.2f}: "
                f"{self._stage.config.min_coverage} is asked for"
            )
        return Target(frame, offset)

    def snapshot(self) -> dict[str, Any]:
        return {
            "goal_frame": self.goal.frame,
            "goal_offset": self.goal.offset.copy(),
            "frame": self.here.frame,
            "offset": self.here.offset.copy(),
            "at_start": self._at_start,
            "path_length": self._path_length,
            "collisions": self._collisions,
            "held": self._held,
            "success": self.success,
        }

    def restore(self, snapshot: Mapping[str, Any], scene: "Scene") -> None:
        here, goal = (Target(snapshot[f"{of}frame"], snapshot[f"{of}offset"].copy()) for of in ("", "goal_"))
        self._begin(scene, here, goal)
        self._at_start, self._path_length = snapshot["at_start"], snapshot["path_length"]
        self._collisions, self._held, self.success = snapshot["collisions"], snapshot["held"], snapshot["success"]

    def _target_at(self, moment: Moment) -> Target:
        """Where the camera is."""
        return Target(moment.frame, invert(anchor(self._stage, moment.scene, moment.frame)) @ moment.c2w)

    def _parts_left(self) -> NDArray[np.float64]:
        """Median depths, degrees and seconds to the goal, (3,)."""
        here, goal = self.here, self.goal
        away = np.linalg.norm(goal.offset[:3, 3] - here.offset[:3, 3]) / self.scene.median_depth
        seconds = abs(goal.frame - here.frame) / self.scene.fps
        return np.array((away, angle_deg(here.offset[:3, :3], goal.offset[:3, :3]), seconds))

    def _as_distance(self, parts: NDArray[np.float64]) -> float:
        return float(((parts / UNITS) * self.sets).sum())

    def _all_within(self, parts: NDArray[np.float64], most: NDArray[np.float64]) -> bool:
        return bool(((parts <= most) | ~self.sets).all())

    def _within_reach(self, wanted: Range) -> Range:
        """The range without what the control cannot set."""
        none = (0.0, 0.0)
        moves, turns, times = self.sets
        return Range(
            wanted.angle_deg if turns else none, wanted.away if moves else none, wanted.seconds if times else none
        )


def as_range(difficulty: str | Mapping[str, Any]) -> Range:
    """The range that a name out of `DIFFICULTIES`, or the fields of a `Range`, stand for. Raises ValueError for others."""
    if isinstance(difficulty, str):
        if difficulty not in DIFFICULTIES:
            raise ValueError(f"expected a difficulty out of {list(DIFFICULTIES)}, got {difficulty!r}")
        return DIFFICULTIES[difficulty]
    names = [f.name for f in fields(Range)]
    if not isinstance(difficulty, Mapping) or set(difficulty) != set(names):
        raise ValueError(
            f"expected a difficulty out of {list(DIFFICULTIES)} or a mapping of {names}, got {difficulty!r}"
        )
    return Range(**{name: (float(least), float(most)) for name, (least, most) in difficulty.items()})
