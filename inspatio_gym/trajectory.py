"""Camera paths written down as keyframes: three lines of numbers.

    0 10 0 -10 0       pitch, degrees: > 0 lifts the camera over the scene, looking down
    0 20 40 20 0       yaw, degrees: > 0 swings the camera to the left, looking right
    1 1 1 1 1          displacement r, in radii of the scene's foreground

Each line's keyframes are spread evenly over [0, 1], so lines may differ in length. More than three are smoothed by a
cubic spline (scipy's `UnivariateSpline` with its default smoothing), up to three are joined by straight lines. A smoothed
displacement begins and ends exactly at its first and last keyframe; smoothed angles may miss theirs.

An orbit looks at the point at distance r in front of the first camera, from distance r:

    R = Ry(yaw) Rx(-pitch)        t = (-r cos(pitch) sin(yaw), -r sin(pitch), r - r cos(pitch) cos(yaw))

Where all angles are zero there is nothing to orbit, and the displacement is a dolly, t = (0, 0, r).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.types import Poses

LINES = ("pitch", "yaw", "displacement")
MAX_LINEAR = 3  # keyframes up to this many are joined by straight lines

# A released model was trained on turns of 0.3 to 0.8 degrees a frame, and on clips of no fewer than 121 frames.
SLOWEST_DEG, FASTEST_DEG = 0.3, 0.8
MIN_FRAMES = 121

PRESETS = {
    # around the foreground at its distance: to the left and back, to the right and back, rising a little each way
    "orbit": ("0 3 5 3 0 3 5 3 0", "0 10 16 10 0 -10 -16 -10 0", "1"),
    # straight ahead, a third of the way to the foreground, and back
    "push_in": ("0", "0", "0 0.1 0.3 0.4 0.3 0.1 0"),
    # the released models' own examples: up and down, then both ways round, then left and right; and three simple ones
    "x_y_circle_cycle": (
        "0 10 20 10 0 -10 -20 -10 0 0 0 0 0 0 0 10 20 10 0 -10 -20 -10 0 0 0 0 0 0 0 10 20 10 0 -10 -20 -10 0",
        "0 0 0 0 0 0 10 20 10 0 -10 -20 -10 0 0 10 20 10 0 -10 -20 -10 0 0 10 20 10 0 -10 -20 -10 0 0 0 0 0 0",
        "1" + 44 * " 1",
    ),
    "zoom_out_in": (
        "0 0 0 0",
        "0 0 0 0",
        "0 -0.25 -0.5 -0.75 -1 -0.75 -0.5 -0.25 0 0 0.25 0.5 0.75 1 0.75 0.5 0.25 0",
    ),
    "short_pan": ("0 0", "0 30", "1 1"),
    "dolly": ("0 0 0", "0 0 0", "0 0.5 1"),
}


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Keyframes of a camera path: pitch and yaw in degrees, displacement in radii; one or more of each."""

    pitch_deg: tuple[float, ...]
    yaw_deg: tuple[float, ...]
    displacement: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, values in zip(LINES, (self.pitch_deg, self.yaw_deg, self.displacement), strict=True):
            if not values or not all(map(math.isfinite, values)):
                raise ValueError(f"{name}: expected one finite number or more, got {values}")

    @classmethod
    def parse(cls, lines: Sequence[str]) -> Self:
        """Read the three lines of a trajectory. Raises ValueError naming the line that is wrong."""
        if len(lines) != len(LINES):
            raise ValueError(f"expected three lines (pitch, yaw, displacement), got {len(lines)}")
        values = []
        for number, (name, line) in enumerate(zip(LINES, lines, strict=True), 1):
            try:
                values.append(tuple(float(word) for word in line.split()))
            except ValueError as error:
                raise ValueError(f"line {number} ({name}): expected numbers between spaces, {error}") from None
        return cls(*values)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read a trajectory file; blank lines at its end are ignored.

        Raises FileNotFoundError where there is none, and ValueError for malformed text.
        """
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8").rstrip().splitlines())
        except ValueError as error:  # text that is not UTF-8 included
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def preset(cls, name: str) -> Self:
        """One of the paths that come with the package, `PRESETS`. Raises ValueError for another name."""
        if name not in PRESETS:
            raise ValueError(f"expected a preset out of {sorted(PRESETS)}, got {name!r}: Trajectory.read takes a file")
        return cls.parse(PRESETS[name])

    def poses(self, frames: int, radius: float = 1.0, rotation_only: bool = False) -> Poses:
        """The path as `frames` cameras, float64 (frames, 4, 4), relative to the first source camera.

        radius: the foreground's depth in scene units, by which displacement is scaled. rotation_only: stay in place and
        only turn; a dolly, which turns nowhere, still moves. Raises ValueError for fewer than 1 frame.
        """
        if frames < 1:
            raise ValueError(f"frames: expected at least 1, got {frames}")
        at = np.linspace(0, 1, frames)
        pitch_deg, yaw_deg, r = (self._sample(keys, at) for keys in (self.pitch_deg, self.yaw_deg, self.displacement))
        if len(self.displacement) > MAX_LINEAR:
            r[0], r[-1] = self.displacement[0], self.displacement[-1]
        r = r * radius
        if not any(self.pitch_deg) and not any(self.yaw_deg):
            return compose(np.eye(3), np.stack((0 * r, 0 * r, r), -1))
        pitch, yaw = np.deg2rad(pitch_deg), np.deg2rad(yaw_deg)
        ahead = r * np.cos(pitch) * np.cos(yaw)
        position = np.stack((-r * np.cos(pitch) * np.sin(yaw), -r * np.sin(pitch), r - ahead), -1)
        return compose(rotation_ypr(yaw_deg, -pitch_deg), 0 * position if rotation_only else position)

    def adaptive_indices(self, source_frames: int) -> NDArray[np.int64]:
        """Which source frame to show at each frame of the path, so that it turns neither too slowly nor too fast.

        The larger total variation of the pitch and yaw keyframes gives the shortest and the longest path; source frames
        run back and forth where the path is longer than the clip, and are skipped evenly where it is shorter.
        Returns int64 (n,). Raises ValueError for a clip without frames.
        """
        return spread_indices(source_frames, self.adaptive_frames(source_frames))

    def adaptive_frames(self, source_frames: int) -> int:
        """The length n of `adaptive_indices`."""
        if source_frames < 1:
            raise ValueError(f"source_frames: expected at least 1, got {source_frames}")
        turn_deg = max(float(np.abs(np.diff(keys)).sum()) for keys in (self.pitch_deg, self.yaw_deg))
        shortest, longest = math.ceil(turn_deg / FASTEST_DEG) + 1, math.floor(turn_deg / SLOWEST_DEG) + 1
        if turn_deg == 0:
            return max(source_frames, MIN_FRAMES)
        if source_frames < MIN_FRAMES:
            return max(MIN_FRAMES, shortest)
        return min(max(source_frames, shortest), longest)

    @staticmethod
    def _sample(keys: Sequence[float], at: NDArray[np.float64]) -> NDArray[np.float64]:
        """The curve through or near the keyframes (K,) at the times `at` (F,) in [0, 1]."""
        times = np.linspace(0, 1, len(keys))
        if len(keys) > MAX_LINEAR:
            from scipy.interpolate import UnivariateSpline  # slow to import, and most worlds have no trajectory

            return UnivariateSpline(times, keys, k=3)(at)
        return np.interp(at, times, keys)


def spread_indices(source_frames: int, frames: int) -> NDArray[np.int64]:
    """Source frames of a path of `frames` frames, int64 (frames,): to and fro in a shorter clip, evenly over a longer."""
    if frames > source_frames:
        period = max(2 * (source_frames - 1), 1)
        phase = np.arange(frames) % period
        return np.minimum(phase, -phase % period)
    return np.linspace(0, source_frames - 1, frames).astype(np.int64)
