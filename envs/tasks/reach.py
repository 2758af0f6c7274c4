"""Goals that can be reached: a camera and a moment, drawn at a wanted distance from where an episode begins.

A target is a source frame and an offset from the mount, as the rig holds one: its camera is anchor(frame) @ offset. It is

    in range      so far from the start in position, angle and time as a `Range` says; what the control cannot set is as it is
                  at the start, and goals are level: roll is the start's
    in reach      inside the rig's limits
    trustworthy   inside the corridor, at its own moment
    free          on a straight way through open space: the rig, sent there at the start's moment, touches nothing, and
                  nothing stands there at the target's

`TRIES` candidates are drawn at once, so that every episode takes as many random numbers, and the first one that is all of
this is the target. Where a scene leaves no such room, the candidates come nearer by quarters; if none of them is inside the
corridor, the free one with the largest coverage is taken, or the start itself.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.camera import CameraRig
from inspatio_gym.geometry.poses import angle_deg, compose, rotation_ypr, ypr_deg
from inspatio_gym.types import Pose

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Stage
    from inspatio_gym.scenes import Scene

TRIES = 64
NEARER = (1.0, 0.75, 0.5, 0.25)
STRIDE = 0.02  # median depths that the rig moves at a time on its way


class Target(NamedTuple):
    """frame: of the source. offset: (4, 4), from the mount, in scene units."""

    frame: int
    offset: Pose


@dataclass(frozen=True, slots=True)
class Range:
    """How far from the start of its episode a goal lies, the least and the most of each."""

    angle_deg: tuple[float, float]
    """Degrees between the two viewing directions."""
    away: tuple[float, float]
    """Median depths between the two positions."""
    seconds: tuple[float, float]
    """Seconds of source time between the two moments."""

    def __post_init__(self) -> None:
        for name in ("angle_deg", "away", "seconds"):
            least, most = getattr(self, name)
            if not 0 <= least <= most < math.inf:
                raise ValueError(f"expected {name} as (least, most) with 0 <= least <= most, got ({least}, {most})")

    def towards(self, other: "Range", share: float) -> "Range":
        """The range that lies between this one (share 0) and `other` (1)."""
        between = {
            name: tuple(
                (1 - share) * a + share * b for a, b in zip(getattr(self, name), getattr(other, name), strict=True)
            )
            for name in ("angle_deg", "away", "seconds")
        }
        return Range(**between)


def anchor(stage: "Stage", scene: "Scene", frame: int) -> Pose:
    """The camera (4, 4) that offsets are relative to while a frame is shown."""
    return np.asarray(scene.c2w[frame]) if stage.rides else np.eye(4)


def draw_target(stage: "Stage", scene: "Scene", start: Target, wanted: Range, rng: np.random.Generator) -> Target:
    """A target as far from `start` as `wanted` says; see the module's docstring."""
    position, angles = start.offset[:3, 3], ypr_deg(start.offset[:3, :3])
    chances = rng.random((TRIES, 7))
    best, most = start, -1.0
    for nearer in NEARER:
        for chance in chances:
            target = _candidate(chance, nearer, start, position, angles, wanted, scene)
            turned = float(angle_deg(start.offset[:3, :3], target.offset[:3, :3]))
            if not nearer * wanted.angle_deg[0] - 1e-6 <= turned <= wanted.angle_deg[1] + 1e-6:
                continue
            if not is_free(stage, scene, start, target):
                continue
            coverage = stage.coverage(scene, target.frame, anchor(stage, scene, target.frame) @ target.offset)
            if coverage >= stage.config.min_coverage:
                return target
            if coverage > most:
                best, most = target, coverage
    return best


def is_free(stage: "Stage", scene: "Scene", start: Target, target: Target) -> bool:
    """Whether the rig can hold the target's offset, and gets there from the start's on a straight way through open space."""
    unit, obstacle = scene.median_depth, stage.place(scene).obstacle
    rig = CameraRig(stage.rig, unit=unit)
    try:
        rig.reset(target.offset)
    except ValueError:
        return False
    still = np.zeros(6)

    def touches(motion: NDArray[np.float64], frame: int, frames: int, dt: float) -> bool:
        anchors = np.broadcast_to(anchor(stage, scene, frame), (frames, 4, 4))
        return rig.advance(motion, frames=frames, dt=dt, anchors=anchors, obstacle=obstacle.at([frame] * frames))[1]

    if touches(still, target.frame, 1, 0.0):
        return False
    way = start.offset[:3, :3].T @ (target.offset[:3, 3] - start.offset[:3, 3]) / unit
    length = float(np.linalg.norm(way))
    if length == 0 or stage.rig.speed == 0:
        return True
    rig.reset(start.offset)
    strides = math.ceil(length / STRIDE)
    motion = np.concatenate((way * (1, -1, 1) / length, np.zeros(3)))
    return not touches(motion, start.frame, strides, length / strides / stage.rig.speed)


def _candidate(
    chance: NDArray[np.float64],
    nearer: float,
    start: Target,
    position: NDArray[np.float64],
    angles: NDArray[np.float64],
    wanted: Range,
    scene: "Scene",
) -> Target:
    """The target that seven numbers in [0, 1) stand for: angle and its direction, distance and its direction (two), time and
    its direction."""
    turn, away, seconds = (
        nearer * (least + share * (most - least))
        for share, (least, most) in zip(chance[:3], (wanted.angle_deg, wanted.away, wanted.seconds), strict=True)
    )
    side, round_, height = 2 * np.pi * chance[3], 2 * np.pi * chance[4], 2 * chance[5] - 1
    level = math.sqrt(1 - height * height)
    direction = np.array((level * math.cos(round_), height, level * math.sin(round_)))
    frames = round(seconds * scene.fps) * (1 if chance[6] < 0.5 else -1)
    last = scene.num_frames - 1
    frame = start.frame + frames if 0 <= start.frame + frames <= last else start.frame - frames
    rotation = rotation_ypr(angles[0] + turn * math.cos(side), angles[1] + turn * math.sin(side), angles[2])
    offset = compose(rotation, position + away * scene.median_depth * direction)
    return Target(min(max(frame, 0), last), offset)
