"""Driving: ride along and turn the head; find the target that was named, and keep it in the middle of the view.

The camera rides the recorded ego motion and can only be turned. A target is a landmark of the static surface or a moving
object that the tracker has followed through the video (`inspatio_gym.scenes.tracking`), for `LOOK_S` seconds of it: then, or
when it leaves, is hidden or lost, another one is named, which lies at least `APART_DEG` from where the agent looks.

What the agent is told when a target is named, and not again:

    cue       float32 (4,): yaw right and pitch up of the target *at that moment*, from the recorded camera's axis, in
              quarter turns; seconds since then, over LOOK_S; and 1, or all zeros while there is no target
    goal_rgb  uint8 (H, W, 3): the view with the target in its middle at that moment

From then on the target moves, the recorded camera turns, and the agent has its own pose, its memory and its eyes.

With e the angle between view axis and target in degrees, and w the angular velocity of the head,

    reward = passed / (1 + (e / tolerance)^2)  -  SMOOTH |w - w before| / (turn limit)  -  OUTSIDE the corridor

`passed` is the share of the step's frames that time went on by: who pauses the world is paid nothing for staring.

Task "driving" names all targets, "driving-train" three quarters of them, "driving-held-out" the rest: a policy that is trained
on the one is judged on the other.

Metrics, over the steps with a target:

    time_on_target   share of them with e <= tolerance
    mean_error_deg, p95_error_deg
    acquisitions     targets that came within the tolerance;  targets: how many were named
    jerk             mean |second difference of w| over the step's time squared, degrees / s^3
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.envs.tasks import Moment
from inspatio_gym.geometry.poses import compose, invert, rotation_ypr, ypr_deg
from inspatio_gym.scenes.tracking import KINDS, Target, targets_of
from inspatio_gym.types import Pose

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Stage
    from inspatio_gym.scenes import Scene

LOOK_S = 3.0
LEAST_S = 1.0  # a target that is known for a shorter time from now on is not named
APART_DEG = 10.0
SPARE = 0.05  # coverage beyond the corridor's that the view of a target must have
SMOOTH = 0.02
OUTSIDE = 0.25
HELD_OUT = 4  # every so many looks, by a hash, are held out
SHARES = ("all", "train", "held out")


class Look(NamedTuple):
    """A target for a while: frames first to last."""

    target: Target
    first: int
    last: int


class Driving:
    """Reward for keeping a named target in the middle of the view; see the module's docstring.

    kinds: of targets. share: "train" or "held out" looks alone (a quarter of them, by a hash: other targets, or the same at
    other times), or "all". tolerance_deg: how far from the view axis is on target. Raises ValueError for others.
    """

    def __init__(self, kinds: Sequence[str] = KINDS, share: str = "all", tolerance_deg: float = 5.0):
        if not kinds or set(kinds) - set(KINDS):
            raise ValueError(f"expected kinds out of {KINDS}, got {kinds!r}")
        if share not in SHARES:
            raise ValueError(f"expected a share out of {SHARES}, got {share!r}")
        if not 0 < tolerance_deg < 90:
            raise ValueError(f"expected tolerance_deg between 0 and 90, got {tolerance_deg!r}: 5.0 is the default")
        self._kinds, self._share, self._tolerance = frozenset(kinds), share, float(tolerance_deg)

    def bind(self, stage: "Stage") -> None:
        """Raises ValueError for a control that does more than turn, and for a camera that does not ride along."""
        config = stage.config
        if config.control != "rotation":
            raise ValueError(
                f"expected control='rotation', got {config.control!r}: the camera rides the recording and turns; "
                "time_control=True lets the agent set time too"
            )
        if not stage.rides:
            raise ValueError(f"expected mount='source', got {config.mount!r}: the camera rides the recording")
        self._stage = stage
        self._turn_limit = stage.rig.turn_deg
        self._least_coverage = min(1.0, config.min_coverage + SPARE)
        self.observation_spaces: Mapping[str, gym.Space] = {
            "cue": gym.spaces.Box(np.array([-1, -1, 0, 0], np.float32), np.array([1, 1, 1, 1], np.float32)),
            "goal_rgb": gym.spaces.Box(0, 255, (*stage.size, 3), np.uint8),
        }

    def reset(self, moment: Moment, rng: np.random.Generator) -> None:
        self._key, self._named = int(rng.integers(2**63)), 0
        self._scene, self._frame, self._way = moment.scene, moment.frame, 1
        self._velocity = self._acceleration = np.zeros(2)
        self._look = -1
        self._errors: list[float] = []
        self._jerks: list[float] = []
        self._acquired, self._acquisitions = False, 0
        self._turn_to(moment.c2w)
        self._name()

    def step(self, moment: Moment) -> tuple[float, bool]:
        moved, before = moment.frame - self._frame, self._heading
        self._way = int(np.sign(moved)) or self._way
        self._frame = moment.frame
        self._age += abs(moved)
        self._turn_to(moment.c2w)
        step_s = self._stage.frames / self._scene.fps
        velocity = (self._heading - before) / step_s
        jolt = velocity - self._velocity
        self._jerks.append(float(np.linalg.norm(jolt - self._acceleration)) / step_s**2)
        self._velocity, self._acceleration = velocity, jolt
        reward = -SMOOTH * float(np.linalg.norm(jolt)) / self._turn_limit - OUTSIDE * moment.outside
        if self._knows(self._frame):
            error = self._error()
            self._errors.append(error)
            passed = min(1.0, abs(moved) / self._stage.frames)
            reward += passed / (1 + (error / self._tolerance) ** 2)
            if error <= self._tolerance and not self._acquired:
                self._acquired = True
                self._acquisitions += 1
        if not self._knows(self._frame + self._way):
            self._name()
        return reward, False

    def observation(self) -> Mapping[str, NDArray[Any]]:
        cue = np.zeros(4, np.float32)
        if self._look >= 0:
            age = min(1.0, self._age / (LOOK_S * self._scene.fps))
            cue[:] = *np.clip(self._cue / 90, -1, 1), age, 1.0
        return {"cue": cue, "goal_rgb": self._picture.copy()}

    def metrics(self) -> dict[str, float]:
        errors = np.array(self._errors or [0.0])
        return {
            "time_on_target": float((errors <= self._tolerance).mean()) if self._errors else 0.0,
            "mean_error_deg": float(errors.mean()),
            "p95_error_deg": float(np.percentile(errors, 95)),
            "acquisitions": self._acquisitions,
            "targets": self._named,
            "jerk": float(np.mean(self._jerks)) if self._jerks else 0.0,
        }

    def to_go(self) -> NDArray[np.float64]:
        """Yaw and pitch to where the target will be at the end of the next step, if time goes on as it does."""
        ahead = self._frame + self._way * self._stage.frames
        first, last = self._bounds()
        frame = int(np.clip(ahead, first, last)) if self._look >= 0 else self._frame
        turn = (self._bearing(frame) - self._heading) if self._look >= 0 else np.zeros(2)
        return np.array([0.0, 0.0, 0.0, *turn, 0.0, 0.0])

    def snapshot(self) -> dict[str, Any]:
        return {
            "key": self._key,
            "named": self._named,
            "look": self._look,
            "frame": self._frame,
            "named_at": self._named_at,
            "way": self._way,
            "age": self._age,
            "cue": self._cue.copy(),
            "c2w": self._c2w.copy(),
            "velocity": self._velocity.copy(),
            "acceleration": self._acceleration.copy(),
            "errors": np.array(self._errors),
            "jerks": np.array(self._jerks),
            "acquired": self._acquired,
            "acquisitions": self._acquisitions,
        }

    def restore(self, snapshot: Mapping[str, Any], scene: "Scene") -> None:
        self._scene = scene
        for name in ("key", "named", "look", "frame", "named_at", "way", "age", "acquired", "acquisitions"):
            setattr(self, f"_{name}", snapshot[name])
        for name in ("cue", "velocity", "acceleration"):
            setattr(self, f"_{name}", snapshot[name].copy())
        self._errors, self._jerks = snapshot["errors"].tolist(), snapshot["jerks"].tolist()
        self._turn_to(snapshot["c2w"].copy())
        self._draw()

    # --- where the agent looks, and where the target is ------------------------------------------------------------------

    def _turn_to(self, c2w: NDArray[np.float64]) -> None:
        self._c2w = c2w
        turned = (invert(self._scene.c2w[self._frame]) @ c2w)[:3, :3]
        self._heading = ypr_deg(turned)[:2]  # yaw and pitch from the recorded camera's axis, degrees
        self._axis = turned[:, 2]

    def _bearing(self, frame: int) -> NDArray[np.float64]:
        """Yaw and pitch (2,) of the target from the recorded camera of a frame, in degrees."""
        return bearing_deg(self._looks[self._look].target.direction(self._scene, frame))

    def _error(self) -> float:
        """Degrees between the view axis and the target."""
        return self._apart_deg(self._looks[self._look])

    def _apart_deg(self, look: Look) -> float:
        towards = look.target.direction(self._scene, self._frame)
        return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(self._axis, towards)), self._axis @ towards)))

    # --- naming targets ----------------------------------------------------------------------------------------------------

    @property
    def _looks(self) -> tuple[Look, ...]:
        return looks_at(self._scene, self._kinds, self._share)

    def _bounds(self) -> tuple[int, int]:
        look = self._looks[self._look]
        return look.first, look.last

    def _knows(self, frame: int) -> bool:
        return self._look >= 0 and self._bounds()[0] <= frame <= self._bounds()[1]

    def _name(self) -> None:
        """Name another target; none if there is none to be seen far enough from here."""
        frame, least = self._frame, LEAST_S * self._scene.fps
        fit = []
        for k, look in enumerate(self._looks):
            left = look.last - frame if self._way > 0 else frame - look.first
            if look.first <= frame <= look.last and left >= least and self._apart_deg(look) >= APART_DEG:
                fit.append(k)
        draw = np.random.default_rng([self._key, self._named])
        self._look = next((k for k in draw.permutation(fit).tolist() if self._within_corridor(self._looks[k])), -1)
        named = self._look >= 0
        self._named += named
        self._named_at, self._age, self._acquired = frame, 0, False
        self._cue = self._bearing(frame) if named else np.zeros(2)
        self._draw()

    def _within_corridor(self, look: Look) -> bool:
        """Whether who looks at the target stays inside the corridor, now, at the end of the look, and halfway."""
        end = look.last if self._way > 0 else look.first
        for frame in (self._frame, (self._frame + end) // 2, end):
            turned = turned_by(bearing_deg(look.target.direction(self._scene, frame)))
            if self._stage.coverage(self._scene, frame, self._scene.c2w[frame] @ turned) < self._least_coverage:
                return False
        return True

    def _draw(self) -> None:
        """The picture of the target, drawn from the recording."""
        if self._look < 0:
            self._picture = np.zeros((*self._stage.size, 3), np.uint8)
            return
        c2w = self._scene.c2w[self._named_at] @ turned_by(self._cue)
        self._picture = self._stage.picture(self._scene, self._named_at, c2w)


def bearing_deg(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Yaw right and pitch up (2,) in degrees of a unit vector (3,) in a camera's axes."""
    x, y, z = direction
    return np.degrees([np.arctan2(x, z), np.arcsin(np.clip(-y, -1, 1))])


def turned_by(bearing: NDArray[np.float64]) -> Pose:
    """The offset (4, 4) of a camera that is turned by yaw and pitch in degrees."""
    return compose(rotation_ypr(*bearing), np.zeros(3))


@lru_cache(maxsize=64)
def looks_at(scene: "Scene", kinds: frozenset[str], share: str) -> tuple[Look, ...]:
    """The looks of a scene that are of some kinds and belong to a share.

    Raises ValueError for a scene without any.
    """
    found = []
    length = round(LOOK_S * scene.fps)
    for number, target in enumerate(targets_of(scene)):
        for first in range(target.first, target.last, length):
            held_out = hashlib.blake2b(f"{scene.digest} {number} {first}".encode()).digest()[0] % HELD_OUT == 0
            last = min(first + length, target.last)
            wanted = target.kind in kinds and share in ("all", "held out" if held_out else "train")
            if wanted and last - first >= LEAST_S * scene.fps:
                found.append(Look(target, first, last))
    if not found:
        raise ValueError(
            f"expected a scene with targets of the kinds {sorted(kinds)}, got {scene.name!r}, in which none was found for the "
            f"share {share!r}: take a longer clip, or kinds=('landmark', 'object')"
        )
    return tuple(found)


DrivingTrain = partial(Driving, share="train")
DrivingHeldOut = partial(Driving, share="held out")
