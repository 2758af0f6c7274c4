"""Anchoring: a video in, a `Scene` out, found in the cache the next time.

    decode    the frames at working size go straight into the scene's own file; of several shots the longest stays
    caption   words for what it shows, if somebody wants them
    geometry  an estimator looks at that file and yields cameras
    depth     and, one by one, depth maps, which go straight to disk

Of a frame only its coarse depth stays in memory (5 kB, three times that at the end) and, while geometry is measured, the
points followed through it (at most 24 kB). What the scene cannot have of the video (beyond `max_frames`, after a cut,
black, undecodable) is logged as a warning and kept in its provenance; geometry that is an assumption raises one
`GeometryWarning`.
"""

import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inspatio_gym.checkpoints import CHECKPOINTS
from inspatio_gym.scenes import estimate as estimators
from inspatio_gym.scenes.cache import cache_root, scene_key
from inspatio_gym.scenes.caption import plan
from inspatio_gym.scenes.decode import MIN_FRAMES, Clip, Video, content_hash, frames, probe
from inspatio_gym.scenes.errors import GeometryWarning, VideoError
from inspatio_gym.scenes.scene import Scene
from inspatio_gym.scenes.shots import split_shots
from inspatio_gym.scenes.store import SceneWriter, stored
from inspatio_gym.types import Rgb

logger = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""Called with the name of a stage and how much of it is done, 0 to 1."""

_SHORT = 0.95  # of the frames that a video's length promises; fewer are worth a word
_warned: set[str] = set()  # digests of scenes whose geometry this process has warned about


def anchor(
    video: str | Path,
    *,
    cache: Path | None = None,
    estimator: str = "auto",
    max_frames: int = 300,
    start: float = 0.0,
    caption: str = "auto",
    progress: bool = False,
) -> Scene:
    """Turn `video` (any file that FFmpeg reads) into a Scene, or find the one made of it before.

    cache: folder of scenes, by default `$INSPATIO_GYM_CACHE` or the user's cache. estimator: a name out of
    `inspatio_gym.scenes.estimate.ESTIMATORS`, or "auto". max_frames: how many frames to keep, from `start` seconds into
    the video on. caption: what the video shows, in words, or "none", or "auto" for those of Florence-2 where its weights
    are present and otherwise none. progress: show a bar, if stderr is a terminal.

    Raises VideoError for what is no video or cannot become a world, CacheError where nothing can be stored, ValueError
    for options out of range. Warns with GeometryWarning if depth and cameras are an assumption.
    """
    if max_frames < MIN_FRAMES:
        raise ValueError(f"expected max_frames of at least {MIN_FRAMES}, got {max_frames}: the default is 300")
    if not 0 <= start < float("inf"):
        raise ValueError(f"expected start in seconds, 0 or more, got {start}")
    video = Path(video).expanduser()
    option, describe = plan(caption)
    options = {"estimator": estimator, "max_frames": max_frames, "start": float(start), **option}
    content = content_hash(video)
    key = scene_key(content, {**options, "estimator_version": estimators.VERSION})
    target = (Path(cache) if cache is not None else cache_root()) / key
    scene = stored(target)
    if scene is None:
        with Stages(show=progress and sys.stderr.isatty()) as stages:
            try:
                scene = _anchor_into(target, video, content, options, describe, stages)
            except FileExistsError:  # another process has been faster
                scene = Scene.load(target)
    _warn_of_assumptions(scene)
    return scene


def _anchor_into(
    target: Path, path: Path, content: str, options: dict[str, Any], describe: Callable[[Clip], str], progress: Progress
) -> Scene:
    estimate = _estimator(options["estimator"])
    video = probe(path, max_frames=options["max_frames"], start=options["start"])
    with SceneWriter(target, fps=video.timing.fps, size=video.size, name=path.stem) as writer:
        excerpt = _copy_frames(video, options["max_frames"], writer, progress)
        clip = writer.clip()
        progress("caption", 0.0)
        writer.caption = describe(clip)
        progress("caption", 1.0)
        estimated = estimate(clip, progress=progress)
        for i, (depth, moving) in enumerate(estimated.depth_maps):
            writer.write_depth(depth, moving)
            progress("depth", (i + 1) / clip.num_frames)
        return writer.finish(
            c2w=estimated.c2w,
            intrinsics=estimated.intrinsics,
            geometry=estimated.geometry,
            provenance={
                "video": path.name,
                "blake2b": content,
                "options": options,
                "estimator_version": estimators.VERSION,
                "source_size": video.source_size,
                "source_fps": video.timing.source_fps,
                "constant_rate": video.timing.constant,
                "quarter_turns": video.quarter_turns,
                "mirrored": video.mirrored,
                **excerpt,
            },
        )


def _copy_frames(video: Video, count: int, writer: SceneWriter, progress: Progress) -> dict[str, Any]:
    """Write up to `count` frames, the longest shot staying; log what is left out and return where the rest came from."""
    promised = count
    if video.duration is not None:
        promised = max(1, min(count, round((video.duration - video.start) / video.timing.step)))
    read = 0

    def counted() -> Iterator[Rgb]:
        nonlocal read
        for frame in frames(video, count):
            read += 1
            progress("decode", min(1.0, read / promised))
            yield frame

    shots: list[list[int]] = []  # first frame, length
    for index, frame, begins in split_shots(counted()):
        if begins:
            writer.cut()
            shots.append([index, 0])
        shots[-1][1] += 1
        writer.write_frame(frame)
    if not shots:
        raise VideoError(
            f"expected frames that show something in {video.path}, got one colour throughout (black, say): "
            "choose another video, or another part of it with start="
        )
    first, length = max(shots, key=lambda shot: shot[1])
    if length < MIN_FRAMES:
        raise VideoError(
            f"expected at least {MIN_FRAMES} frames of one shot in {video.path}, got {length}: a still picture becomes a "
            "world whose time stands still once it is a video, `ffmpeg -loop 1 -i picture.png -t 2 clip.mp4`"
        )
    _say_what_is_left_out(video, count, promised, read, shots)
    seconds = [video.start + index * video.timing.step for index in (first, first + length)]
    return {"seconds": seconds, "shots": shots}


def _say_what_is_left_out(video: Video, count: int, promised: int, read: int, shots: list[list[int]]) -> None:
    """Warn of frames that could not be read, lie beyond the `count` asked for, or in another shot than the longest."""
    path, step = video.path, video.timing.step
    if read < _SHORT * promised:
        logger.warning("%s: cut off or damaged, decoded %d frames of about %d", path, read, promised)
    elif read == count and video.duration is not None and promised * step < video.duration - video.start - 1:
        logger.warning(
            "%s: kept %d frames (%.1f s, from %.1f s on) of %.1f s; choose others with max_frames= and start=",
            path, count, count * step, video.start, video.duration,
        )  # fmt: skip
    first, length = max(shots, key=lambda shot: shot[1])
    if length < read:
        begin, end = (video.start + index * step for index in (first, first + length))
        others = ", ".join(f"{video.start + index * step:.1f} s" for index, _ in shots[1:])
        logger.warning(
            "%s: one world cannot span cuts or blank frames; kept the longest shot, %d of %d frames (%.1f to %.1f s)%s; "
            "choose another with start=",
            path, length, read, begin, end, f"; cuts at {others}" if others else "",
        )  # fmt: skip


def _estimator(name: str) -> Callable[..., Any]:
    """The geometry estimator of that name: called with (clip, progress=), returns an `Estimate`."""
    if name == "auto":
        return estimators.estimate_geometry
    if name not in estimators.ESTIMATORS:
        known = ["auto", *sorted(estimators.ESTIMATORS)]
        raise ValueError(f"expected an estimator out of {known}, got {name!r}: pass estimator='auto'")
    home, attribute = estimators.ESTIMATORS[name].split(":")
    estimate = getattr(importlib.import_module(home), attribute)
    return partial(estimate, weights=name) if name in CHECKPOINTS else estimate


def _warn_of_assumptions(scene: Scene) -> None:
    """Once a process and scene: say that its geometry is a prior, why, and what would be better."""
    geometry = scene.geometry
    if not geometry.method.endswith("prior") or scene.digest in _warned:
        return
    _warned.add(scene.digest)
    warnings.warn(
        f"the geometry of {scene.name!r} is an assumption, not a measurement ({geometry.method}, confidence "
        f"{geometry.confidence:.2f}): {geometry.reason}. With weights, Depth-Anything-3 and Depth-Anything-V2 metric estimate "
        "it: `inspatio-gym checkpoints list`, then anchor(..., estimator=)",
        GeometryWarning,
        stacklevel=3,
    )


class Stages:
    """A progress bar that changes its name with the stage; without `show` it stays silent."""

    def __init__(self, *, show: bool):
        self._show = show
        self._stage = ""
        self._bar: tqdm[Any] | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        if not self._show:
            return
        if self._bar is None or stage != self._stage:
            self._close()
            self._stage = stage
            self._bar = tqdm(total=100, desc=f"{stage:>10}", bar_format="{desc} {bar:40} {n:3.0f}% {elapsed}")
        self._bar.update(100 * fraction - self._bar.n)

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
