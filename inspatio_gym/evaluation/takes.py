"""The takes that the metrics are made of: small stories of a camera and of time.

    sweeps     time stands still; the camera turns or steps aside, ever farther: new views of one moment
    tour       time stands still; it turns, steps aside and comes nearer, all smoothly: was it where it was sent?
    play       the camera stands still in the world, time runs: does what moves move as it should?
    hold       the camera stands still, time too
    away       the camera leaves and comes back, time standing still or running

Every take begins at the recorded camera of its first moment. Steps are shares of the moment's `reach`, the harmonic mean of
its depth, since what a step shifts pixels by on average is focal length times step over that; the median depth of a road
below a sky would be the sky's. "In the world" needs views that no camera has recorded, so
where nobody knows the truth (a video), `play` and the running `away` ride along with the recorded camera instead: then the
video itself is the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inspatio_gym.evaluation.clips import Take
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.types import Poses

YAWS_DEG = (-20.0, 20.0)
SHIFTS = (-0.1, 0.1)
STEPS = 12
"""Frames of a sweep after the first; it is looked at a quarter, a half and all the way."""
TOUR_FRAMES, PLAY_FRAMES, HOLD_FRAMES, AWAY_FRAMES = 18, 11, 9, 25
TOUR_YAW_DEG, TOUR_PITCH_DEG, TOUR_SHIFT = 10.0, 4.0, 0.1
AWAY_YAW_DEG = 40.0


@dataclass(frozen=True, slots=True)
class Move:
    """A turn in degrees, or a step to the right in reaches."""

    kind: str
    amount: float

    def __str__(self) -> str:
        way = "right" if self.amount > 0 else "left"
        size = abs(self.amount)
        return f"turned {way} by {size:g} deg" if self.kind == "yaw" else f"moved {way} by {100 * size:.3g}%"


def reach(subject: Subject, frame: int) -> float:
    """Harmonic mean of a frame's depth, scene units."""
    return float(1 / (1 / subject.view.depth(frame).astype(np.float64)).mean())


def offsets(kind: str, amounts: np.ndarray, unit: float) -> Poses:
    """(n, 4, 4) in the axes of the camera that moves. amounts: (n,) degrees, or steps in units of `unit` scene units."""
    if kind == "yaw":
        return compose(rotation_ypr(amounts), np.zeros(3))
    return compose(np.eye(3), np.stack([amounts * unit, 0 * amounts, 0 * amounts], -1))


def sweeps(subject: Subject, frame: int) -> Iterator[tuple[Take, np.ndarray, list[Move]]]:
    """Each sweep at a moment: the take, where it is looked at, and how far the camera has moved there."""
    looked = np.array([STEPS // 4, STEPS // 2, STEPS])
    for kind, extremes in (("yaw", YAWS_DEG), ("aside", SHIFTS)):
        for extreme in extremes:
            amounts = np.linspace(0, extreme, STEPS + 1)
            poses = subject.view.c2w[frame] @ offsets(kind, amounts, reach(subject, frame))
            yield Take(np.full(len(poses), frame), poses), looked, [Move(kind, float(amounts[k])) for k in looked]


def tour(subject: Subject, frame: int) -> Take:
    """A smooth loop away from the recorded camera of a moment, which it does not close: the end is a view of its own."""
    t = np.linspace(0, 1.5 * np.pi, TOUR_FRAMES)
    unit = TOUR_SHIFT * reach(subject, frame)
    turn = rotation_ypr(TOUR_YAW_DEG * np.sin(t), TOUR_PITCH_DEG * np.sin(2 * t))
    place = np.stack([unit * (1 - np.cos(t)) / 2, -0.3 * unit * np.sin(t) ** 2, unit * t / 5], -1)
    return Take(np.full(TOUR_FRAMES, frame), subject.view.c2w[frame] @ compose(turn, place))


def play(subject: Subject, frame: int, *, backwards: bool = False, slow: bool = False) -> Take:
    """Time runs from a frame on, or backwards to it, or at half speed, each moment shown twice but the last."""
    source = frame + np.arange(PLAY_FRAMES)
    source = source[::-1] if backwards else np.repeat(source, 2)[:-1] if slow else source
    return Take(source, standing(subject, frame, source))


def hold(subject: Subject, frame: int) -> Take:
    """Nothing is asked for."""
    source = np.full(HOLD_FRAMES, frame)
    return Take(source, subject.view.c2w[source])


def away(subject: Subject, frame: int, *, running: bool) -> Take:
    """The camera looks away and back, time standing still or running."""
    source = frame + np.arange(AWAY_FRAMES) * running
    yaw = AWAY_YAW_DEG * np.sin(np.pi * np.arange(AWAY_FRAMES) / (AWAY_FRAMES - 1))
    yaw[-1] = 0.0
    return Take(source, standing(subject, frame, source) @ compose(rotation_ypr(yaw), np.zeros(3)))


def standing(subject: Subject, frame: int, source: np.ndarray) -> Poses:
    """(n, 4, 4) cameras that stand still in the world, or ride along where only the video is known."""
    return subject.view.c2w[source if subject.world is None else np.full(len(source), frame)]


def starts(subject: Subject, count: int) -> list[int]:
    """Moments spread over the clip, each with room for the longest take after it. Raises ValueError for a short clip."""
    last = subject.view.num_frames - AWAY_FRAMES
    if last < 0:
        raise ValueError(
            f"expected a scene of at least {AWAY_FRAMES} frames, got {subject.view.num_frames}: choose a longer clip"
        )
    return [round((k + 0.5) / count * last) for k in range(count)]
