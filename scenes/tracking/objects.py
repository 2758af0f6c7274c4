"""Objects that move, followed through the recorded video.

    seed       a connected part of a moving mask that nothing is following yet
    follow     corners inside it go from frame to frame by Lucas-Kanade, there and back again; the median of those that
               return moves the box, the median change of their distances scales it            (Kalal et al. 2010)
    correct    where the moving mask has a part about as large as the box, the box is drawn to it
    doubt      too few points return, it no longer looks like itself, or masks show nothing there for long: it is lost

Masks come and go (a car that drives as fast as the camera has none, the shadow of a sign has one), so they may start and
correct a track, but it is the pixels that carry it. What masks do not confirm soon after the start was no object.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.scene import Scene
from inspatio_gym.scenes.tracking import Target

SEED_AREA = 8e-4  # share of the picture
MOST = 0.25  # the same: what is larger is not one object
CONFIRM_S = 0.5  # so long after its start a mask must have shown it in half of the frames
UNSEEN_S = 1.0  # so long without a mask, and it is given up
RETURN = 1.0  # pixels a point may be off after the way there and back
FEWEST, ENOUGH, POINTS = 4, 12, 40  # points: below the first it is lost, below the second new ones are looked for
LIKE = 0.4  # correlation with what it has looked like
PATCH = 16  # pixels a side in which that is compared
SIMILAR = 0.2  # logarithm of the sides' ratio: what differs more has run together with something else
CORRECTION = 0.3  # share of the way to the mask, a frame
LIFE_S = 1.0


@dataclass(slots=True, eq=False)
class _Track:
    first: int
    centre: NDArray[np.float64]
    box: NDArray[np.float64]
    points: NDArray[np.float32]
    looks: NDArray[np.float32]
    xy: list[NDArray[np.float64]] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    end: str = "clip"

    def note(self, confidence: float, shown: bool) -> None:
        self.xy.append(self.centre.copy())
        self.boxes.append(self.box.copy())
        self.confidence.append(confidence)
        self.shown.append(shown)


def follow_objects(scene: Scene, report: Callable[[float], None]) -> list[Target]:
    """The objects of a scene. `report` hears the share done."""
    live: list[_Track] = []
    ended: list[_Track] = []
    before: Any = None
    for i in range(scene.num_frames):
        grey = cv2.cvtColor(scene.rgb(i), cv2.COLOR_RGB2GRAY)
        parts = _parts(scene.moving(i))
        for track in list(live):
            if why := _step(track, before, grey, parts, scene.fps):
                track.end = why
                live.remove(track)
                ended.append(track)
        for part in parts:
            taken = any(_overlap(part, (*track.centre, *track.box)) > 0.1 for track in live)
            if not taken and (seed := _seed(i, grey, part)):
                live.append(seed)
        before = grey
        report((i + 1) / scene.num_frames)
    return [_target(track) for track in (*ended, *live) if _confirmed(track, scene.fps)]


Part = tuple[float, float, float, float]  # middle x, y; width, height


def _parts(moving: NDArray[np.bool_]) -> list[Part]:
    """Boxes of the connected parts of a mask, those of a size to be an object."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(moving.astype(np.uint8))
    parts = []
    for left, top, width, height, area in stats[1:count].tolist():
        if SEED_AREA <= area / moving.size <= MOST:
            parts.append((left + (width - 1) / 2, top + (height - 1) / 2, float(width), float(height)))
    return parts


def _seed(i: int, grey: Any, part: Part) -> _Track | None:
    """Begin to follow a part of the mask; None if there is nothing on it to hold on to."""
    centre, box = np.array(part[:2]), np.array(part[2:])
    points = _corners(grey, centre, box)
    if len(points) < FEWEST:
        return None
    track = _Track(i, centre, box, points, _patch(grey, centre, box))
    track.note(1.0, True)
    return track


def _step(track: _Track, before: Any, grey: Any, parts: list[Part], fps: float) -> str:
    """Go on to the next frame; returns why the track ends, or nothing."""
    there, ok = _follow(before, grey, track.points)
    if ok.sum() < FEWEST:
        return "lost"
    old, new = track.points[ok], there[ok]
    shift = np.median(new - old, 0)
    scale = _scale(old, new)
    # Points that go another way have slipped off.
    held = np.abs(new - (track.centre + shift + scale * (old - track.centre))).max(1) < 2 * RETURN
    if held.sum() < FEWEST:
        return "lost"
    track.centre, track.box, track.points = track.centre + shift, track.box * scale, new[held]
    here = (*track.centre, *track.box)
    likely = max(parts, key=lambda part: _overlap(part, here), default=None)
    shown = likely is not None and _overlap(likely, here) > 0.5
    if likely is not None and shown and (np.abs(np.log(np.array(likely[2:]) / track.box)) < SIMILAR).all():
        track.centre += CORRECTION * (np.array(likely[:2]) - track.centre)
        track.box += CORRECTION * (np.array(likely[2:]) - track.box)
    height, width = grey.shape
    if not (0 <= track.centre[0] < width and 0 <= track.centre[1] < height):
        return "left"
    looks = _patch(grey, track.centre, track.box)
    alike = float((looks * track.looks).mean())
    if alike < LIKE:
        return "lost"
    track.looks = _standard(0.9 * track.looks + 0.1 * looks)
    track.note(min(1.0, alike) * float(ok.mean()), shown)
    unseen = round(UNSEEN_S * fps)
    if len(track.shown) > unseen and not any(track.shown[-unseen:]):
        return "lost"
    if len(track.points) < ENOUGH:
        fresh = _corners(grey, track.centre, 0.8 * track.box)
        far = [point for point in fresh if (np.abs(track.points - point).max(1) > 2).all()]
        track.points = np.concatenate([track.points, np.array(far, np.float32).reshape(-1, 2)])
    return ""


def _follow(before: Any, grey: Any, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 2) are now, and which of them return to where they came from."""
    window: Any = {"winSize": (11, 11), "maxLevel": 3}
    start: Any = points[:, None]
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, grey, start, None, **window)  # type: ignore[call-overload]
    back, refound, _ = cv2.calcOpticalFlowPyrLK(grey, before, there, None, **window)  # type: ignore[call-overload]
    off = np.abs(back[:, 0] - points).max(1)
    return there[:, 0], (found[:, 0] == 1) & (refound[:, 0] == 1) & (off < RETURN)


def _scale(old: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    """Median change of the distances between points; within 20% a frame."""
    i, j = np.triu_indices(len(old), 1)
    was, now = (np.linalg.norm(points[i] - points[j], axis=1) for points in (old, new))
    far = was > 4
    return float(np.clip(np.median(now[far] / was[far]), 0.8, 1.25)) if far.any() else 1.0


def _corners(grey: Any, centre: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """Corners (n, 2) inside a box."""
    left, top, right, bottom = _clipped(grey, centre, box)
    if right - left < 4 or bottom - top < 4:
        return np.zeros((0, 2), np.float32)
    found = cv2.goodFeaturesToTrack(grey[top:bottom, left:right], POINTS, 0.02, 2, blockSize=3)
    return np.zeros((0, 2), np.float32) if found is None else found[:, 0] + np.array((left, top), np.float32)


def _patch(grey: Any, centre: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is in a box, (PATCH, PATCH), of mean 0 and variance 1; beyond the border its last pixels go on."""
    width, height = np.maximum(box, 4.0)
    to_patch = np.array(
        [
            [width / PATCH, 0, centre[0] - width / 2 + width / PATCH / 2],
            [0, height / PATCH, centre[1] - height / 2 + height / PATCH / 2],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return _standard(cv2.warpAffine(grey, to_patch, (PATCH, PATCH), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _standard(patch: NDArray[Any]) -> NDArray[np.float32]:
    centred = patch.astype(np.float32) - np.float32(patch.mean())
    return centred / max(float(centred.std()), 1e-3)


def _clipped(grey: Any, centre: NDArray[np.float64], box: NDArray[np.float64]) -> tuple[int, int, int, int]:
    height, width = grey.shape
    left, top = np.floor(centre - box / 2).astype(int)
    right, bottom = np.ceil(centre + box / 2).astype(int) + 1
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _overlap(a: Part, b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    sides = [
        min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2) - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2) for k in (0, 1)
    ]
    both = max(sides[0], 0.0) * max(sides[1], 0.0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def _confirmed(track: _Track, fps: float) -> bool:
    trial = track.shown[: round(CONFIRM_S * fps)]
    return len(track.xy) / fps >= LIFE_S and 2 * sum(trial) >= len(trial)


def _target(track: _Track) -> Target:
    """Frames at the end in which no mask had shown it, and then it was lost, are taken back: they were a guess."""
    count = len(track.xy)
    if track.end == "lost":
        count = max(k for k, shown in enumerate(track.shown) if shown) + 1
    xy, box = (np.array(rows[:count], np.float32) for rows in (track.xy, track.boxes))
    return Target("object", track.first, xy, box, np.array(track.confidence[:count], np.float32), track.end)  # type: ignore[arg-type]
