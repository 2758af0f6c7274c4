"""Frames in a video file, written once in order and read back in any order.

Every file of a scene is a video of equal frames whose frame i has the time i / fps, with a keyframe every `CHUNK`
frames. A read decodes the whole chunk that holds the frame, which makes playing backward as cheap as forward, and keeps
it in the process-wide `frame_cache`, which forgets the least recently used beyond its budget of bytes.

    colour   H.264, BT.709, 4:2:0      8-bit RGB in, 8-bit RGB out, near-lossless to the eye
    gray16le, gray                     FFV1, lossless: what comes out is what went in
"""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from inspatio_gym.files import written_whole
from inspatio_gym.scenes.errors import SceneError
from inspatio_gym.settings import whole_number
from inspatio_gym.types import Rgb, Size

CHUNK = 12  # frames between keyframes: one decode yields that many
# A fixed number of threads, since an encoder's output may depend on it.
_H264 = {"preset": "veryfast", "crf": "16", "bf": "0", "sc_threshold": "0", "threads": "4"}
_FFV1 = {"level": "3", "slices": "4", "context": "1", "threads": "4"}


class ByteCache:
    """Arrays by key, the least recently used dropped when all together exceed `budget` bytes."""

    def __init__(self, budget: int):
        self.budget = budget
        self.nbytes = 0
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def peek(self, key: Hashable) -> NDArray[Any] | None:
        """The array if it is here; None otherwise."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array under `key`, read-only; made and kept if it is not here, unless it is larger than the budget."""
        array = self.peek(key)
        if array is None:
            array = make()
            array.flags.writeable = False
            with self._lock:
                if key not in self._arrays and array.nbytes <= self.budget:
                    self._arrays[key] = array
                    self.nbytes += array.nbytes
                while self.nbytes > self.budget:
                    self.nbytes -= self._arrays.popitem(last=False)[1].nbytes
        return array


SCENE_CACHE_BYTES = whole_number("INSPATIO_GYM_FRAME_MB", 512) * 2**20
frame_cache = ByteCache(SCENE_CACHE_BYTES)
"""Decoded frames of all scenes and views in this process, by content: whoever shows the same frames shares them."""


class FootageWriter:
    """Encode equal frames in order: `form` is "rgb24" (H.264), "gray16le" or "gray" (FFV1)."""

    def __init__(self, path: Path, *, fps: Fraction, size: Size, form: str):
        self.path, self.size, self.form = path, size, form
        self.num_frames = 0
        # bitexact: no random identifiers and no dates, so that equal frames make equal files.
        self._file = av.open(str(path), "w", options={"fflags": "+bitexact"})
        self._stream = self._file.add_stream("libx264" if form == "rgb24" else "ffv1", rate=fps)
        self._stream.height, self._stream.width = size
        self._stream.options = {"g": str(CHUNK), "keyint_min": str(CHUNK), **(_H264 if form == "rgb24" else _FFV1)}
        self._stream.pix_fmt = "yuv420p" if form == "rgb24" else form
        self._to_yuv = VideoReformatter()
        if form == "rgb24":
            self._stream.codec_context.colorspace = 1  # BT.709
            self._stream.codec_context.color_range = 1  # 16..235

    def write(self, frame: NDArray[Any]) -> None:
        """Append one frame, (H, W, 3) uint8, or (H, W) uint16 or uint8, of the file's size."""
        packed = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=self.form)
        if self.form == "rgb24":
            packed = self._to_yuv.reformat(packed, format="yuv420p", dst_colorspace=Colorspace.ITU709)
        packed.pts = self.num_frames
        self._file.mux(self._stream.encode(packed))
        self.num_frames += 1

    def close(self) -> None:
        """Write what is still in the encoder and end the file."""
        if self.num_frames:
            self._file.mux(self._stream.encode())
        self._file.close()

    def abandon(self) -> None:
        """Close without caring for what the file holds."""
        with contextlib.suppress(OSError, ValueError):
            self._file.close()


def save_video(path: str | Path, frames: Iterable[Rgb], fps: float) -> Path:
    """Write `frames`, equal (H, W, 3) uint8, as an H.264 file, whole or not at all; returns its path.

    An odd last row or column is left out, as the codec has none. Raises ValueError for no frames.
    """
    path = Path(path)
    film: FootageWriter | None = None
    with written_whole(path) as partial:
        try:
            for frame in frames:
                even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
                if film is None:
                    rate = Fraction(fps).limit_denominator(1001)
                    film = FootageWriter(partial, fps=rate, size=(even.shape[0], even.shape[1]), form="rgb24")
                film.write(even)
            if film is None:
                raise ValueError(f"expected frames to write into {path}, got none")
            film.close()
        except BaseException:
            if film is not None:
                film.abandon()
            raise
    return path


class Footage:
    """A file written by `FootageWriter`, read by chunks. Opened only while a chunk is read, so it survives a fork."""

    def __init__(self, path: Path, *, num_frames: int, fps: float, form: str):
        self.path, self.num_frames, self.fps, self.form = path, num_frames, fps, form

    def decode_chunk(self, chunk: int) -> NDArray[Any]:
        """Frames CHUNK * chunk and the following, stacked: (up to CHUNK, H, W[, 3]). Raises SceneError if damaged."""
        first = chunk * CHUNK
        count = min(CHUNK, self.num_frames - first)
        frames = np.empty(0)
        got = 0
        reformatter = VideoReformatter()
        try:
            with av.open(str(self.path)) as file:
                stream = file.streams.video[0]
                stream.thread_type, stream.codec_context.thread_count = "AUTO", 2
                # A little after the frame, so that rounding does not end at the keyframe before.
                file.seek(round((first + 0.4) / self.fps / Fraction(stream.time_base or 1)), stream=stream)
                for frame in file.decode(stream):
                    index = round((frame.time or 0.0) * self.fps)
                    if index < first:
                        continue
                    if index != first + got:
                        break
                    pixels = reformatter.reformat(frame, format=self.form).to_ndarray()
                    if got == 0:
                        frames = np.empty((count, *pixels.shape), pixels.dtype)
                    frames[got] = pixels
                    got += 1
                    if got == count:
                        return frames
        except (OSError, ValueError, IndexError) as problem:
            reason = f"{type(problem).__name__}: {problem}"
        else:
            reason = f"{got} of them"
        raise SceneError(
            f"expected frames {first} to {first + count - 1} in {self.path}, got {reason}: "
            "the file is damaged, delete the scene's folder and make it again"
        ) from None


class StoredClip:
    """The frames of an H.264 file as a clip: num_frames, fps, size (H, W), and rgb(i) cached in a budget of its own."""

    def __init__(self, path: Path, *, num_frames: int, fps: float, size: Size):
        self.path, self.num_frames, self.fps, self.size = path, num_frames, fps, size
        self._footage = Footage(path, num_frames=num_frames, fps=fps, form="rgb24")
        self._cache = ByteCache(SCENE_CACHE_BYTES // 2)

    def rgb(self, i: int) -> Rgb:
        """Frame i, uint8 (H, W, 3), read-only. Raises IndexError outside 0..num_frames-1."""
        if not 0 <= i < self.num_frames:
            raise IndexError(f"expected a frame from 0 to {self.num_frames - 1}, got {i}")
        chunk = i // CHUNK
        return self._cache.get(chunk, lambda: self._footage.decode_chunk(chunk))[i % CHUNK]
