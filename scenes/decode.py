"""Any video in; equal frames at a constant rate out, one at a time.

    probe    reads timestamps (packets, not pixels) and one frame: sizes, orientation, rate, duration
    frames   decodes in order, picks the frames nearest to the ticks, downscales (long side at most 832, even sides),
             makes pixels square, and turns the picture as its display matrix says

Nothing here holds more than a few frames. What a decoder cannot read is skipped; the frame before stands in for it.
"""

import logging
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from inspatio_gym.scenes.cache import hash_of
from inspatio_gym.scenes.errors import VideoError
from inspatio_gym.scenes.timing import Timing, choose_timing, nearest_to_ticks
from inspatio_gym.types import Rgb, Size

__all__ = ["Clip", "Video", "VideoError", "content_hash", "frames", "probe"]

logger = logging.getLogger(__name__)

LONG_SIDE = 832  # of a scene's frames: what the diffusion models work at
MIN_SIDE = 32  # below that nothing can be tracked, let alone looked at
MIN_FRAMES = 2
_PACKETS_PER_FRAME = 16  # timestamps read ahead for each frame wanted: enough for 480 frames/s
_REORDERED = 16  # pictures, at most, that are stored before one that is shown before them (H.264, H.265)
_RUN_UP = 10.0  # seconds before a start at which reading begins: transport streams are entered late, and off a keyframe
_MAX_UNREADABLE = 1000  # packets; a file of nothing else is given up


class Clip(Protocol):
    """Frames at working size (long side at most 832). Cheap to walk in order; random access is cached."""

    @property
    def num_frames(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def size(self) -> Size:
        """(H, W)."""
        ...

    def rgb(self, i: int) -> Rgb:
        """Frame i, uint8 (H, W, 3), read-only. Raises IndexError outside 0..num_frames-1."""
        ...


@dataclass(frozen=True, slots=True)
class Video:
    """What is known of a video before its frames are decoded."""

    path: Path
    size: Size
    """(height, width) of the frames to come: upright, square pixels, even, long side at most `LONG_SIDE`."""
    source_size: Size
    """(height, width) as stored."""
    quarter_turns: int
    """Counter-clockwise, to make the picture upright."""
    mirrored: bool
    """Left and right are swapped before turning."""
    timing: Timing
    first_time: float
    """Timestamp of the video's first frame, seconds; `start` counts from there."""
    start: float
    """Seconds into the video of the first frame to come."""
    duration: float | None
    """Seconds of the whole video; None if the container does not say."""


def content_hash(path: Path) -> str:
    """Hash of the file at `path`; VideoError if there is no file, or one that is empty or may not be read."""
    try:
        if not path.exists():
            raise VideoError(f"expected a video file, got {path}, which does not exist: check the path")
        if path.is_dir():
            raise VideoError(
                f"expected a video file, got the folder {path}: pass a file (a scene's folder goes to scene=)"
            )
        if not path.is_file():
            raise VideoError(f"expected a video file, got {path}, a pipe or a device: save the video to a file first")
        if path.stat().st_size == 0:
            raise VideoError(
                f"expected a video file, got {path}, which is empty: was its copy or download interrupted?"
            )
        return hash_of(path, samples=True)
    except OSError as problem:
        raise VideoError(f"expected a readable video file, got {path}: {problem.strerror}") from None


def probe(path: Path, *, max_frames: int, start: float = 0.0) -> Video:
    """Look into the video at `path`, of which `max_frames` frames from `start` seconds on are wanted.

    Raises VideoError for whatever is not a video, has no frame at `start`, or is too small.
    """
    with _opened(path) as (file, stream):
        times, to_the_end = _timestamps(file, stream, start, max_frames * _PACKETS_PER_FRAME)
        first_time = _seconds(stream.start_time, stream) if stream.start_time is not None else (times or [0.0])[0]
        duration = _duration(file, stream)
        aspect = float(stream.sample_aspect_ratio or 1)
        timing = choose_timing(np.array(times), stream.guessed_rate or stream.average_rate)
        if duration is None and to_the_end and times:
            duration = times[-1] - first_time
    for _, frame in _decoded(Video(path, (0, 0), (0, 0), 0, False, timing, first_time, start, duration)):
        quarter_turns, mirrored = _orientation(frame)
        size = _working_size(path, frame, quarter_turns, aspect)
        stored = frame.height, frame.width
        return Video(path, size, stored, quarter_turns, mirrored, timing, first_time, start, duration)
    if start > 0:
        length = "an unknown length" if duration is None else f"{duration:.1f} s"
        raise VideoError(f"expected frames from start={start:g} s on in {path}, got {length}: pass a smaller start")
    raise VideoError(f"expected at least {MIN_FRAMES} frames in {path}, got none that can be decoded: re-encode it")


def frames(video: Video, count: int) -> Iterator[Rgb]:
    """Up to `count` frames, uint8 (*video.size, 3), `video.timing.fps` a second."""
    height, width = video.size if video.quarter_turns % 2 == 0 else video.size[::-1]
    reformatter = av.video.reformatter.VideoReformatter()
    for frame in nearest_to_ticks(_decoded(video), video.timing, count):
        rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA").to_ndarray()
        yield upright(np.asarray(rgb, np.uint8), video.quarter_turns, video.mirrored)


def upright(rgb: Rgb, quarter_turns: int, mirrored: bool) -> Rgb:
    """Swap left and right if `mirrored`, then turn counter-clockwise by `quarter_turns`."""
    return np.ascontiguousarray(np.rot90(rgb[:, ::-1] if mirrored else rgb, quarter_turns))


def orientation_of(a: float, b: float, c: float, d: float) -> tuple[int, bool]:
    """Counter-clockwise quarter turns, and whether to mirror before, of the display matrix x' = a x + c y, y' = b x + d y.

    y points down. Angles between are rounded to quarter turns.
    """
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirrored


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The open container and its video stream; VideoError for what is not a readable video."""
    file = None
    try:
        # Only files: some formats (playlists, say) name others to open, which must not reach into the network.
        # Titles and the like may be in any encoding, and are of no interest.
        file = av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace")
        pictures = [stream for stream in file.streams.video if not _is_cover(stream)]
        if not pictures:
            others = ", ".join(sorted({stream.type for stream in file.streams})) or "nothing"
            raise VideoError(f"expected a video in {path}, got {others} alone: choose a file with moving pictures")
        stream = pictures[0]
        stream.thread_type = "AUTO"
        yield file, stream
    except av.FFmpegError as problem:
        raise VideoError(
            f"expected a video file, got {path}, in which no video can be found ({problem.strerror}): it may be something "
            "else, or cut off; if a player shows it, re-encode it with `ffmpeg -i in out.mp4`"
        ) from None
    finally:
        if file is not None:
            file.close()


def _is_cover(stream: Any) -> bool:
    """Whether the stream is a still picture attached to music."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _timestamps(file: Any, stream: Any, start: float, limit: int) -> tuple[list[float], bool]:
    """Seconds of about the first `limit` frames from `start` on, sorted, none left out; whether the end was reached."""
    times: list[float] = []
    skipped = 0.0 if stream.start_time is None else _seconds(stream.start_time, stream)
    _go_to(file, stream, skipped, start)
    try:
        for packet in _packets(file, stream):
            if packet.pts is not None and _seconds(packet.pts, stream) >= skipped + start - 1:
                times.append(_seconds(packet.pts, stream))
            if len(times) >= limit + _REORDERED:  # of the latest that many some may still be missing
                return sorted(times)[:limit], False
    except av.FFmpegError as problem:  # cut off; what came before may still do
        logger.debug("reading timestamps of %s: %s", file.name, problem)
    return sorted(times), True


def _packets(file: Any, stream: Any) -> Iterator[Any]:
    """The stream's packets. A stream that is announced midway is not in PyAV's list of them; it is passed over."""
    while True:
        try:
            yield from file.demux(stream)
        except IndexError:
            continue
        return


def _go_to(file: Any, stream: Any, first_time: float, start: float) -> None:
    """Let reading go on well before `start`, or from the beginning where nothing can be skipped."""
    if start > _RUN_UP and (stream.duration or file.duration):
        file.seek(int((first_time + start - _RUN_UP) / stream.time_base), stream=stream)


def _seconds(timestamp: int, stream: Any) -> float:
    return float(timestamp * stream.time_base)


def _duration(file: Any, stream: Any) -> float | None:
    """Seconds of the video stream; None if the file does not say. The file itself may go on, with sound."""
    if stream.duration:
        return _seconds(stream.duration, stream)
    if tag := re.match(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):  # Matroska, WebM
        return 3600 * float(tag[1]) + 60 * float(tag[2]) + float(tag[3])
    return file.duration / av.time_base if file.duration and len(file.streams) == 1 else None


def _decoded(video: Video) -> Iterator[tuple[float, Any]]:
    """Decoded frames from `video.start` on with the times they are shown at, ascending seconds after the first frame."""
    with _opened(video.path) as (file, stream):
        _go_to(file, stream, video.first_time, video.start)
        # AVI states when frames are stored: those that others are made from come early, and times would go back and forth.
        # The decoder's clock does not.
        clock = "dts" if file.format.name == "avi" else "pts"
        step = 1 / video.timing.source_fps
        time, last, unreadable = -step, -math.inf, 0
        packets = _packets(file, stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                decoded = packet.decode()
            except av.FFmpegError:  # a broken packet, or the end of a file that is cut off
                unreadable += 1
                if unreadable > _MAX_UNREADABLE:
                    break
                continue
            for frame in decoded:
                stamp = getattr(frame, clock)  # raw streams carry none
                time = time + step if stamp is None else _seconds(stamp, stream) - video.first_time
                if frame.is_corrupt or time <= last or time < video.start - step / 2:
                    continue
                last = time
                yield time, frame
        if unreadable:
            logger.warning("%s: skipped what could not be decoded, %d times", video.path, unreadable)


def _orientation(frame: Any) -> tuple[int, bool]:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
            return orientation_of(a, b, c, d)
    return 0, False


def _working_size(path: Path, frame: Any, quarter_turns: int, aspect: float) -> Size:
    """(height, width) of a scene made of frames like this one, whose pixels are `aspect` times as wide as high."""
    height, width = float(frame.height), frame.width * aspect
    if quarter_turns % 2:
        height, width = width, height
    shrink = min(1.0, LONG_SIDE / max(height, width))
    size = 2 * int(height * shrink / 2 + 1e-6), 2 * int(width * shrink / 2 + 1e-6)
    if min(size) < MIN_SIDE:
        raise VideoError(
            f"expected a video of at least {MIN_SIDE} pixels a side (after shrinking the longer to {LONG_SIDE}), "
            f"got {frame.width}x{frame.height} in {path}: use a larger recording"
        )
    return size
