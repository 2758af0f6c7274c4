"""Moment: find the moment of the video that a picture shows, and pause on it.

`goal_rgb` is a recorded frame, drawn from those at least GAP away in time. The agent sets time (control "time", or any
other that sets time too); where its camera looks is not asked for. With e the distance to the goal's moment in seconds of
source time, and e0 that at the start:

    reward = (e before - e after) / e0  -  STEP  -  SEEK if time changed its direction  +  SUCCESS when found

To pause is to say "this is it": a step that moves time by PAUSED at most is still, and HOLD still steps in a row end the
episode, wherever. The moment is found if that is within TOLERANCE of it. So nobody finds it who merely creeps through the
clip, waits, or tries one place after the other. The progress of an episode adds up to 1 - e / e0, at most 1, however time
ran to and fro, so there is nothing to earn by swinging about the goal or by passing it again and again.

Two moments that look alike cannot be told apart by a picture. Two frames, in grey at THUMBNAIL pixels, look alike if less
than CHANGED of their pixels differ by ALIKE grey levels or more; a frame that looks like one farther off than TOLERANCE is
never asked for, and a clip in which that leaves nothing, a still one, is refused. Discrete moves reach every k-th frame
alone; then only moments within TOLERANCE of those are asked for.

The id InSpatioMoment-v0 lets time stand still at the ends of the clip (`ends="clamp"`): where it bounces, which way an
action moves time depends on how often it has bounced.

Metrics: `success` (0 or 1), `temporal_error` (e now, seconds), `seeks` (changes of direction so far).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.envs.tasks import Moment

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Stage
    from inspatio_gym.scenes import Scene

TOLERANCE = 0.125  # seconds of source time
PAUSED = 0.05  # seconds of source time that a still step may move
HOLD = 2  # still steps in a row
GAP = 0.5  # seconds between the start and the goal, or a third of a shorter clip
SUCCESS = 1.0
STEP = 0.01
SEEK = 0.02
ALIKE = 4.0  # grey levels of 255, which noise does not reach on average over a thumbnail's pixel
CHANGED = 0.01  # of a thumbnail
THUMBNAIL = (24, 40)  # rows, columns
ROUNDING = 1e-9  # seconds: a distance of exactly the tolerance is within it


class FindMoment:
    """Reward for pausing on the moment that a picture shows; see the module's docstring."""

    def bind(self, stage: "Stage") -> None:
        """Take the size of the picture. Raises ValueError for a control that cannot pause and reverse."""
        names = stage.control.names
        if "time" not in names and "pause" not in names:
            raise ValueError(
                f"expected a control that sets time, got {stage.config.control!r}: pass control='time', or "
                "time_control=True"
            )
        self._stage = stage
        self._stride = stage.frames if isinstance(stage.control.space, gym.spaces.Discrete) else 1  # frames a move
        self.observation_spaces = {"goal_rgb": gym.spaces.Box(0, 255, (*stage.size, 3), np.uint8)}

    def read_goal(self, goal: Any, scene: "Scene", frame: int) -> int:
        """options["goal"], seconds of source video, as a frame. Raises ValueError for a moment outside the clip, the one
        that is shown, or one that looks like another; TypeError for no number."""
        try:
            asked = round(float(goal) * scene.fps)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(
                f"expected options['goal'] in seconds of source video, got {goal!r}: pass 1.5, say"
            ) from error
        if not 0 <= asked < scene.num_frames:
            raise ValueError(
                f"expected options['goal'] in 0..{(scene.num_frames - 1) / scene.fps:g} seconds, got {goal!r}"
            )
        if abs(asked - frame) / scene.fps <= TOLERANCE:
            raise ValueError(
                f"expected options['goal'] farther than {TOLERANCE} s from the start at {frame / scene.fps:g} s, got "
                f"{goal!r}: pass options['time'] too"
            )
        if not findable(scene)[asked]:
            raise ValueError(f"expected options['goal'] at a moment that looks like no other, got {goal!r}")
        return asked

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        chance = rng.random()
        self._goal = self._drawn(moment, chance) if moment.goal is None else moment.goal
        self._picture = self._picture_of(moment.scene)
        self._fps = moment.scene.fps
        self._frame = moment.frame
        self._far = self._error
        self._still = self._seeks = self._heading = 0

    def step(self, moment: Moment) -> tuple[float, bool]:
        before, moved = self._error, moment.frame - self._frame
        self._frame = moment.frame
        error = self._error
        reward = (before - error) / self._far - STEP
        heading = int(np.sign(moved))
        if heading and heading == -self._heading:
            self._seeks += 1
            reward -= SEEK
        self._heading = heading or self._heading
        self._still = self._still + 1 if abs(moved) / self._fps <= PAUSED + ROUNDING else 0
        return reward + SUCCESS * self._found, self._still >= HOLD

    def observation(self) -> Mapping[str, NDArray[Any]]:
        return {"goal_rgb": self._picture}

    def to_go(self) -> NDArray[np.float64]:
        """No way to go, but the seconds to the goal's moment."""
        return np.array([0, 0, 0, 0, 0, 0, (self._goal - self._frame) / self._fps])

    def metrics(self) -> dict[str, float]:
        return {"success": float(self._found), "temporal_error": self._error, "seeks": self._seeks}

    def snapshot(self) -> dict[str, Any]:
        return {
            "goal": self._goal,
            "frame": self._frame,
            "far": self._far,
            "still": self._still,
            "seeks": self._seeks,
            "heading": self._heading,
        }

    def restore(self, snapshot: Mapping[str, Any], scene: "Scene") -> None:
        self._goal, self._frame, self._far = snapshot["goal"], snapshot["frame"], snapshot["far"]
        self._still, self._seeks, self._heading = snapshot["still"], snapshot["seeks"], snapshot["heading"]
        self._fps = scene.fps
        self._picture = self._picture_of(scene)

    @property
    def _error(self) -> float:
        """Seconds between what is shown and the goal."""
        return abs(self._goal - self._frame) / self._fps

    @property
    def _found(self) -> bool:
        return self._still >= HOLD and self._error <= TOLERANCE + ROUNDING

    def _drawn(self, moment: Moment, chance: float) -> int:
        """A frame to look for. Raises ValueError where there is none."""
        scene = moment.scene
        away = np.arange(scene.num_frames) - moment.frame
        gap = max(min(GAP, scene.num_frames / scene.fps / 3), TOLERANCE + ROUNDING)
        missed = np.abs(away - self._stride * np.rint(away / self._stride))
        fit = findable(scene) & (np.abs(away) >= gap * scene.fps) & (missed <= TOLERANCE * scene.fps)
        frames = np.flatnonzero(fit)
        if not len(frames):
            raise ValueError(
                f"expected a clip with moments that look different, got {scene.name!r}, in which nothing else than the "
                f"frame at {moment.frame / scene.fps:g} s can be asked for: take a longer clip, or one in which more happens"
            )
        return int(frames[int(chance * len(frames))])

    def _picture_of(self, scene: "Scene") -> NDArray[np.uint8]:
        return self._stage.picture(scene, self._goal, scene.c2w[self._goal])


@lru_cache(maxsize=32)
def findable(scene: "Scene") -> NDArray[np.bool_]:
    """(F,): which frames look like no frame farther off than TOLERANCE; computed once a scene."""
    rows, cols = THUMBNAIL
    thumbnails = np.empty((scene.num_frames, rows * cols), np.float32)
    for frame, thumbnail in enumerate(thumbnails):
        grey = cv2.cvtColor(scene.rgb(frame), cv2.COLOR_RGB2GRAY)
        thumbnail[:] = cv2.resize(grey, (cols, rows), interpolation=cv2.INTER_AREA).ravel()
    frames = np.arange(scene.num_frames)
    found = np.empty(scene.num_frames, np.bool_)
    for frame in range(scene.num_frames):
        away = np.abs(frames - frame) > TOLERANCE * scene.fps
        found[frame] = ((np.abs(thumbnails[away] - thumbnails[frame]) >= ALIKE).mean(1) >= CHANGED).all()
    return found
