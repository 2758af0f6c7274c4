"""From an action's motion to the cameras of a step.

The rig holds an *offset*: a small camera pose relative to an anchor. The anchor of a frame is the recorded camera of
the source frame being shown (mount "source") or the first camera (mount "world"); the rig does not care which:

    c2w[k] = anchors[k] @ offset_k          k = 0 .. frames - 1, after (k + 1) * dt seconds of the action

The offset is a position (right, down, forward: OpenCV axes of the anchor) and three angles, applied as yaw about the
anchor's vertical axis, then pitch, then roll (`geometry.poses`). Over a step the action's velocities are constant in
the camera's own axes, so "forward" goes where the camera looks. Each frame turns half, moves, and turns the other
half: that makes the opposite action lead back exactly, and a step of 12 frames the same as two of 6.

Limits clamp: the position to a ball around the anchor, each angle to its range. Geometry stops or deflects the agent's
own motion (`inspatio_gym.obstacle` says what blocks): a move is taken if it ends in the open or at least no deeper
inside than standing still would. So the camera never drives itself into a surface, and when the recording carries it
into one, or something moves over it, every way out is open.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.geometry.poses import require_rigid, ypr_deg
from inspatio_gym.motion import advance, rotation
from inspatio_gym.obstacle import Obstacle
from inspatio_gym.trajectory import Trajectory
from inspatio_gym.types import Pose, Poses

__all__ = ["CameraRig", "Obstacle", "RigConfig", "Trajectory"]

ROUNDING = 1e-5  # of a limit, by which a pose may pass it: poses are observed in 32 bits


@dataclass(frozen=True, slots=True)
class RigConfig:
    """Speeds are per second of control time, lengths in median depths of the scene, angles in degrees."""

    speed: float = 0.5
    """Fastest translation along each axis, median depths a second."""
    turn_deg: float = 30.0
    """Fastest turn about each axis, degrees a second."""
    max_offset: float = 0.5
    """Farthest distance from the anchor, median depths."""
    max_yaw_deg: float = 60.0
    """Farthest turn left and right; 180 or more turns round and round."""
    max_pitch_deg: float = 40.0
    """Farthest look up and down."""
    max_roll_deg: float = 30.0
    """Farthest lean; 180 or more rolls over."""
    on_collision: Literal["slide", "stop"] = "slide"
    """Slide along a surface that is hit, or stop at it."""
    clearance: float = 0.05
    """The camera's radius: how near a surface it may come, median depths along the viewing direction."""
    thickness: float = 0.25
    """How far behind its front a surface is taken to be solid, median depths."""

    def __post_init__(self) -> None:
        for name in ("speed", "turn_deg", "max_offset", "max_yaw_deg", "max_pitch_deg", "max_roll_deg", "thickness"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"RigConfig.{name}: expected a finite number >= 0, got {getattr(self, name)}")
        if not 0 < self.clearance < math.inf:
            raise ValueError(f"RigConfig.clearance: expected a finite number > 0, got {self.clearance}")
        if self.on_collision not in ("slide", "stop"):
            raise ValueError(f"RigConfig.on_collision: expected 'slide' or 'stop', got {self.on_collision!r}")


class CameraRig:
    """Integrates camera deltas into target poses; the module's docstring has the rules.

    `unit` is the scene's median depth in scene units: 1 unless the scene is metric.
    """

    def __init__(self, config: RigConfig | None = None, *, unit: float = 1.0):
        if not 0 < unit < math.inf:
            raise ValueError(f"unit: expected the scene's median depth, a finite number > 0, got {unit}")
        self.config = config or RigConfig()
        c = self.config
        self._limits = np.array(
            [c.speed * unit, c.turn_deg, c.max_offset * unit, c.max_yaw_deg, c.max_pitch_deg, c.max_roll_deg]
        )
        self._clearance, self._thickness = c.clearance * unit, c.thickness * unit
        self._slide = c.on_collision == "slide"
        self._state = np.zeros(6)  # x, y, z in scene units; yaw, pitch, roll in degrees

    def reset(self, offset: Pose | None = None) -> None:
        """Start over at the anchor, or at `offset` (4, 4) from it.

        Raises ValueError for an offset that is no rigid motion or lies outside the limits.
        """
        if offset is None:
            self._state = np.zeros(6)
            return
        pose = require_rigid(offset, "offset")
        if pose.shape != (4, 4):
            raise ValueError(f"offset: expected one pose (4, 4), got {pose.shape}")
        self.place(pose[:3, 3], ypr_deg(pose[:3, :3]))

    def place(self, position: ArrayLike, ypr_deg: ArrayLike) -> None:
        """Start over at a position (3,), scene units, and yaw, pitch and roll (3,) in degrees from the anchor.

        Raises ValueError outside the limits.
        """
        state = np.concatenate((position, ypr_deg), dtype=np.float64)
        sizes = (math.hypot(*state[:3]), *np.abs(state[3:]).tolist())
        for name, size, limit in zip(("distance", "yaw", "pitch", "roll"), sizes, self._limits[2:], strict=True):
            if size > limit + ROUNDING * max(limit, 1.0):
                raise ValueError(
                    f"offset: expected a {name} of at most {limit:g}, got {size:g}: "
                    "start nearer the anchor, or raise the limit in RigConfig"
                )
        if sizes[0] > self._limits[2]:
            state[:3] *= self._limits[2] / sizes[0]
        np.clip(state[3:], -self._limits[3:], self._limits[3:], out=state[3:])
        self._state = state

    def advance(
        self,
        motion: ArrayLike,
        *,
        frames: int,
        dt: float,
        anchors: Poses,
        obstacle: Obstacle | None = None,
    ) -> tuple[Poses, bool]:
        """Hold `motion` for `frames` frames of `dt` seconds each.

        motion: (6,) in [-1, 1] = right, up, forward, yaw right, pitch up, roll clockwise, as parts of the speed and
        turn limits; values beyond are clamped. anchors: float64 (frames, 4, 4). obstacle: the scene at the frames
        shown, `Obstacle.at(source)`; None leaves the way free.

        Returns the cameras (frames, 4, 4), a fresh array, and whether geometry was in the way of the motion or the
        camera ends up behind a surface. Raises ValueError for wrong shapes or a motion that is not finite; the rig then
        stays as it was.
        """
        motion = np.asarray(motion, np.float64)
        if motion.shape != (6,) or anchors.shape != (frames, 4, 4):
            raise ValueError(
                f"expected motion (6,) and anchors ({frames}, 4, 4), got {motion.shape} and {anchors.shape}: "
                "one anchor a frame"
            )
        if obstacle is None:
            obstacle = NO_OBSTACLE
        elif len(obstacle.source) != frames:
            raise ValueError(
                f"expected an obstacle at {frames} source frames, got {len(obstacle.source)}: use obstacle.at(source)"
            )
        c2w = np.empty((frames, 4, 4))
        state = self._state.copy()
        # A copy of the anchors, because the kernel is compiled anew for what is read-only or strided.
        finite, collided = advance(
            state, motion, self._limits, dt, np.array(anchors), obstacle.codes, obstacle.w2c, obstacle.pinhole, obstacle.source,
            self._clearance, self._thickness, self._slide, c2w,
        )  # fmt: skip
        if not finite:
            raise ValueError(f"expected a finite motion, got {motion}: check the policy's output for NaN")
        self._state = state
        return c2w, collided

    @property
    def offset(self) -> Pose:
        """The offset (4, 4), a fresh array."""
        pose = np.eye(4)
        pose[:3, :3] = rotation(*self._state[3:])
        pose[:3, 3] = self._state[:3]
        return pose

    @property
    def position(self) -> NDArray[np.float64]:
        """The offset's position (3,) in the anchor's axes: right, down, forward; scene units; a fresh array."""
        return self._state[:3].copy()

    @property
    def ypr_deg(self) -> NDArray[np.float64]:
        """The offset's yaw, pitch and roll (3,) in degrees, a fresh array."""
        return self._state[3:].copy()

    @property
    def vector(self) -> NDArray[np.float32]:
        """The offset as an observation, float32 (7,): position, then quaternion (w, x, y, z; w >= 0)."""
        x, y, z, *angles = self._state.tolist()
        a, b, c = (math.radians(angle) / 2 for angle in angles)
        ca, sa, cb, sb, cc, sc = math.cos(a), math.sin(a), math.cos(b), math.sin(b), math.cos(c), math.sin(c)
        # the product (ca, 0, sa, 0) * (cb, sb, 0, 0) * (cc, 0, 0, sc) of the three turns
        w = ca * cb * cc + sa * sb * sc
        sign = -1.0 if w < 0 else 1.0
        i = ca * sb * cc + sa * cb * sc
        j = sa * cb * cc - ca * sb * sc
        k = ca * cb * sc - sa * sb * cc
        return np.array((x, y, z, sign * w, sign * i, sign * j, sign * k), np.float32)

    def snapshot(self) -> dict[str, Any]:
        """The rig's state, for `restore`."""
        return {"state": self._state.copy()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take back what `snapshot` returned."""
        self._state = np.array(snapshot["state"], np.float64)


NO_OBSTACLE = Obstacle.of(np.zeros((0, 1, 1), np.uint16), np.zeros((0, 4, 4)), np.zeros((0, 3, 3)), (1, 1))
