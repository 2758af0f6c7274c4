"""Structure from motion on tracks: keyframes, a chain of cameras, and their bundle adjustment.

    tracks -> keyframes            one whenever the picture has moved by a few percent
           -> motions              between neighbours, robust against traffic (`twoview`); tracks that often disagree go
           -> first pair           two keyframes with parallax and agreement; its baseline is the unit
           -> the chain            towards both ends: predict, resect on known points, triangulate new ones, adjust
           -> the other frames     resected between their keyframes

A camera driving forwards sees the points it heads for without parallax and the others only briefly. That is why
cameras are predicted from the motion between neighbours instead of searched for anew, and why distant points stay in:
they hold the rotation.

Ref: the incremental scheme is Schönberger and Frahm, "Structure-from-motion revisited" (CVPR 2016), for tracks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from inspatio_gym.geometry.poses import invert
from inspatio_gym.scenes.estimate.adjust import Model, adjust
from inspatio_gym.scenes.estimate.points import MIN_ANGLE_DEG, Array, resect, triangulate
from inspatio_gym.scenes.estimate.tracks import Tracks
from inspatio_gym.scenes.estimate.twoview import Motion, Pair, crowding, relative_motion

STEP = 0.025  # of the long side: how far the faster fifth of the picture moves between keyframes
MAX_KEYFRAMES = 60
MIN_POINTS = 15  # that a camera must agree with
NOISE_PIXELS = 0.8  # of a track after many frames, at a long side of 832
WRONG_SHARE = 0.34  # of its pairs that a track may disagree with before it counts as moving
ADJUST_EVERY = 6  # keyframes
MIN_REGISTERED = 0.8  # of the frames
MIN_PARALLAX = 6.0  # noises, of the first pair


class NoStructure(Exception):
    """Structure from motion did not succeed; says why."""


@dataclass(frozen=True)
class Structure:
    """What structure from motion found.

    cameras: (F, 4, 4) world-to-camera. points: (T, 3), NaN where a track has none. angles_deg: (T,) under which each was
    seen from the keyframes, 0 without a point. focal: pixels. moving: bool (T,), tracks that go their own way.
    registered: share of the frames that could be placed. inliers: share of the observations explained. error: their
    median, pixels. keyframes: frames.
    """

    cameras: Array
    points: Array
    angles_deg: Array
    focal: float
    moving: NDArray[np.bool_]
    registered: float
    inliers: float
    error: float
    keyframes: list[int]


def keyframes(tracks: Tracks) -> list[int]:
    """Frames after which the picture has moved by `STEP` or lost most of its tracks; at most `MAX_KEYFRAMES`."""
    step = STEP * max(tracks.size)
    while True:
        chosen = [0]
        for i in range(1, tracks.num_frames):
            _, a, b = tracks.between(chosen[-1], i)
            before = len(tracks.at(chosen[-1])[0])
            moved = np.percentile(np.linalg.norm(b - a, axis=1), 80) if len(a) else np.inf
            if moved > step or len(a) < max(30, 0.35 * before):
                chosen.append(i)
        if chosen[-1] != tracks.num_frames - 1:
            chosen.append(tracks.num_frames - 1)
        if len(chosen) <= MAX_KEYFRAMES:
            return chosen
        step *= 1.25
        if step > max(tracks.size):
            return [int(i) for i in np.linspace(0, tracks.num_frames - 1, MAX_KEYFRAMES).round()]


def reconstruct(tracks: Tracks, focal: float, report: Callable[[float], None]) -> Structure:
    """Cameras of all frames and points of all steady tracks. focal: pixels, to start with.

    Raises NoStructure with the reason.
    """
    keys = keyframes(tracks)
    if len(keys) < 2:
        raise NoStructure("the clip is too short")
    motions, wrong, seen = _motions(tracks, keys, focal, lambda f: report(0.4 * f))
    moving = (wrong > WRONG_SHARE * seen) & (wrong > 0)
    model = _observations(tracks, keys, focal, moving)
    chain = _Chain(model, motions)
    chain.begin()
    chain.extend(lambda f: report(0.4 + 0.35 * f))
    model = chain.finish()
    report(0.85)
    return _all_frames(tracks, keys, chain.placed, model, moving, report)


def _motions(
    tracks: Tracks, keys: list[int], focal: float, report: Callable[[float], None]
) -> tuple[dict[tuple[int, int], Motion], Array, Array]:
    """Motions between keyframes one and two apart, and of how many of its pairs (T,) each track disagrees."""
    motions: dict[tuple[int, int], Motion] = {}
    wrong, seen = np.zeros(tracks.num_tracks), np.zeros(tracks.num_tracks)
    guesses: list[tuple[Array, Array]] = []
    for k in range(len(keys) - 1):
        for gap in (1, 2):
            if k + gap >= len(keys):
                continue
            ids, a, b = tracks.between(keys[k], keys[k + gap])
            if len(ids) < MIN_POINTS:
                continue
            motion = relative_motion(Pair.of(a, b, tracks.size, focal), guesses)
            motions[k, k + gap] = motion
            wrong[ids] += ~motion.agree
            seen[ids] += 1
            if gap == 1:
                guesses = [(motion.rotation, motion.translation)]
        report((k + 1) / (len(keys) - 1))
    return motions, wrong, seen


def _observations(tracks: Tracks, keys: list[int], focal: float, moving: NDArray[np.bool_]) -> Model:
    """All that steady tracks show in keyframes, without cameras or points yet."""
    camera, track, xy = [], [], []
    for k, i in enumerate(keys):
        ids, where = tracks.at(i)
        steady = ~moving[ids]
        camera.append(np.full(steady.sum(), k, np.int64))
        track.append(ids[steady].astype(np.int64))
        xy.append(where[steady].astype(np.float64))
    cameras = np.tile(np.eye(4), (len(keys), 1, 1))
    points = np.full((tracks.num_tracks, 3), np.nan)
    return Model(cameras, points, focal, tracks.size, np.concatenate(camera), np.concatenate(track), np.concatenate(xy))


class _Chain:
    """Cameras of keyframes, found one after another."""

    def __init__(self, model: Model, motions: dict[tuple[int, int], Motion]):
        self.model = model
        self.motions = motions
        self.placed = np.zeros(len(model.cameras), bool)

    def begin(self) -> None:
        """Place the two keyframes whose points have most parallax and agree best."""
        enough = {k: m for k, m in self.motions.items() if m.agree.sum() >= 2 * MIN_POINTS}
        if not enough:
            raise NoStructure("too few points can be followed from one keyframe to the next")
        score = {k: min(m.parallax, 40.0) * (1 - m.cost) * np.sqrt(m.agree.sum()) for k, m in enough.items()}
        (a, b) = max(score, key=lambda k: (score[k], -k[0]))
        motion = self.motions[a, b]
        if motion.parallax < MIN_PARALLAX:
            raise NoStructure("the camera hardly changes its place")
        self.model.cameras[b, :3, :3] = motion.rotation
        self.model.cameras[b, :3, 3] = motion.translation
        self.placed[[a, b]] = True
        self.triangulate()

    def extend(self, report: Callable[[float], None]) -> None:
        """Place neighbours of placed keyframes until none is left that can be."""
        failed: set[int] = set()
        fresh = 0
        while True:
            edge = [
                (k, k - s)
                for s in (1, -1)
                for k in range(len(self.placed))
                if not self.placed[k] and k not in failed and 0 <= k - s < len(self.placed) and self.placed[k - s]
            ]
            if not edge:
                break
            new, old = max(edge)  # towards the end first, then back to the beginning
            if self._place(new, old):
                fresh += 1
                self.triangulate()
                if fresh % ADJUST_EVERY == 0:
                    self._adjust()
            else:
                failed.add(new)
            report(float(self.placed.mean()))

    def finish(self) -> Model:
        """Adjust everything and the focal length, twice, without what does not fit."""
        self._adjust(refine_focal=True)
        self.triangulate()
        self._adjust(refine_focal=True)
        return self._used().pruned()

    def _used(self) -> Model:
        known = ~np.isnan(self.model.points[self.model.track, 0]) & self.placed[self.model.camera]
        return self.model.keep(known)

    def _adjust(self, refine_focal: bool = False) -> None:
        """Adjust what is placed; observations are kept for another day."""
        used = self._used().pruned()
        if np.isnan(used.points[:, 0]).all():
            raise NoStructure("no points agree with the cameras")
        done = adjust(used, refine_focal=refine_focal)
        self.model = replace(self.model, cameras=done.cameras, points=done.points, focal=done.focal)

    def triangulate(self) -> None:
        """Points of all tracks from the placed cameras that agree on them."""
        m = self.model
        rows = self.placed[m.camera]
        for _ in range(2):  # again without the observations that are off
            rays = (m.xy[rows] - m.middle) / m.focal
            points, angle = triangulate(m.cameras, m.camera[rows], m.track[rows], rays, len(m.points))
            points[angle < MIN_ANGLE_DEG] = np.nan
            m = replace(m, points=points)
            error = m.errors()
            rows = rows & (error < 4 * max(m.size) / 832)
        count = np.bincount(m.track[rows], minlength=len(m.points))
        self.model = replace(self.model, points=np.where((count >= 2)[:, None], m.points, np.nan))

    def _place(self, new: int, old: int) -> bool:
        """Resect keyframe `new` beside `old`; False if too few points agree."""
        m = self.model
        rows = (m.camera == new) & ~np.isnan(m.points[m.track, 0])
        if rows.sum() < MIN_POINTS:
            return False
        points, rays = m.points[m.track[rows]], (m.xy[rows] - m.middle) / m.focal
        weight = crowding(m.xy[rows], m.size)
        noise = NOISE_PIXELS * max(m.size) / 832 / m.focal
        best, agreeing = None, np.zeros(0, bool)
        for start in self._predictions(new, old):
            camera, agree = resect(points, rays, start, noise, weight)
            if best is None or (weight * agree).sum() > (weight[: len(agreeing)] * agreeing).sum():
                best, agreeing = camera, agree
        if best is None or agreeing.sum() < MIN_POINTS or agreeing.mean() < 0.25:
            return False
        m.cameras[new] = best
        self.placed[new] = True
        return True

    def _predictions(self, new: int, old: int) -> list[Array]:
        """Where keyframe `new` may be: where the motion between the two points, by several lengths; where it was."""
        camera = self.model.cameras[old]
        starts = [camera]
        pair = (min(new, old), max(new, old))
        other = 2 * old - new
        steps = [1.0]
        if 0 <= other < len(self.placed) and self.placed[other]:
            last = np.linalg.inv(self.model.cameras[other])
            before = camera @ last
            starts.append(before @ camera)
            steps = [float(np.linalg.norm(before[:3, 3]))]
        if pair in self.motions:
            motion = self.motions[pair]
            step = np.eye(4)
            step[:3, :3] = motion.rotation
            for length in (0.5, 1.0, 2.0):
                step[:3, 3] = motion.translation * length * steps[0]
                starts.append((step if new > old else np.linalg.inv(step)) @ camera)
        return starts


def _all_frames(
    tracks: Tracks,
    keys: list[int],
    placed: NDArray[np.bool_],
    model: Model,
    moving: NDArray[np.bool_],
    report: Callable[[float], None],
) -> Structure:
    """Cameras of every frame, by resection between the keyframes, and the figures that say how well it went."""
    anchors = np.array(keys)[placed]
    between = _interpolated(anchors, model.cameras[placed], np.arange(tracks.num_frames))
    noise = NOISE_PIXELS * max(tracks.size) / 832 / model.focal
    cameras = between.copy()
    known = np.zeros(tracks.num_frames, bool)
    known[anchors] = True
    inliers = total = 0
    last = None
    long_lived = np.bincount(tracks.track, minlength=tracks.num_tracks) > 30
    for i in range(tracks.num_frames):
        ids, xy = tracks.at(i)
        has = ~np.isnan(model.points[ids, 0])
        steady = ~moving[ids]
        if has.sum() >= MIN_POINTS:
            points, rays = model.points[ids[has]], (xy[has] - model.middle) / model.focal
            start = between[i] if anchors[0] <= i <= anchors[-1] or last is None else last
            camera, agree = resect(points, rays, start, noise, crowding(xy[has], tracks.size))
            if agree.sum() >= MIN_POINTS and agree.mean() > 0.25:
                known[i] = True
                if i not in anchors:
                    cameras[i] = camera
                last = camera
            inliers += int(agree.sum())
        total += int((has | (steady & long_lived[ids])).sum())
        report(0.85 + 0.15 * (i + 1) / tracks.num_frames)
    held = np.flatnonzero(known)
    if known.mean() < MIN_REGISTERED:
        raise NoStructure(f"only {known.mean():.0%} of the frames could be placed")
    cameras[~known] = _interpolated(held, cameras[held], np.flatnonzero(~known))
    _, angle = triangulate(
        model.cameras, model.camera, model.track, (model.xy - model.middle) / model.focal, len(model.points)
    )
    return Structure(
        cameras=cameras,
        points=model.points,
        angles_deg=np.where(np.isnan(model.points[:, 0]), 0, angle),
        focal=model.focal,
        moving=moving,
        registered=float(known.mean()),
        inliers=inliers / max(total, 1),
        error=float(np.median(model.errors())),
        keyframes=keys,
    )


def _interpolated(at: NDArray[np.int64], cameras: Array, wanted: NDArray[np.int64]) -> Array:
    """World-to-camera (n, 4, 4) at frames `wanted` between cameras at frames `at`; beyond the ends the last is held."""
    if len(at) == 1:
        return np.tile(cameras[0], (len(wanted), 1, 1))
    c2w = invert(cameras)
    when = np.clip(wanted, at[0], at[-1])
    result = np.tile(np.eye(4), (len(wanted), 1, 1))
    result[:, :3, :3] = Slerp(at, Rotation.from_matrix(c2w[:, :3, :3]))(when).as_matrix()
    result[:, :3, 3] = np.stack([np.interp(when, at, c2w[:, axis, 3]) for axis in range(3)], 1)
    return invert(result)
