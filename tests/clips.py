"""Small videos that the tests make for themselves, and an estimator that costs nothing."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes import SceneGeometry

Frame = NDArray[np.uint8]


def scenery(count: int, size: tuple[int, int] = (64, 96), *, seed: int = 0) -> list[Frame]:
    """`count` frames of a soft texture that slides left, a pixel a frame; another seed is another place."""
    rng = np.random.default_rng(seed)
    wide = rng.uniform(0, 255, (size[0] // 8 + 1, (size[1] + count) // 8 + 2, 3)).astype(np.float32)
    wide = cv2.resize(wide, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return [np.ascontiguousarray(wide[: size[0], i : i + size[1]]) for i in range(count)]


def which(frame: Frame, drawn: Sequence[Frame]) -> int:
    """The index of the drawn frame that `frame` is most like."""
    return int(np.argmin([np.abs(frame.astype(int) - other).mean() for other in drawn]))


def make_video(
    path: Path,
    frames: Iterable[Frame],
    *,
    fps: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    rotation_deg: int = 0,
    container: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    title: str = "",
    sound_seconds: float = 0.0,
) -> Path:
    """Encode RGB frames; `times_ms` makes the rate variable; `rotation_deg` is counter-clockwise, in the metadata."""
    with av.open(str(path), "w", options=container or {}) as file:
        if title:
            file.metadata["title"] = title
        sound = file.add_stream("flac", rate=16000, layout="mono") if sound_seconds else None
        stream: Any = None
        for i, frame in enumerate(frames):
            if stream is None:
                stream = file.add_stream(codec, rate=fps, options={"crf": "10"} if options is None else options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = pix_fmt
                if rotation_deg:
                    stream.set_display_rotation(rotation_deg)
                if times_ms is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = i if times_ms is None else times_ms[i]
            if times_ms is not None:
                picture.time_base = Fraction(1, 1000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
        if sound is not None:
            for i in range(round(10 * sound_seconds)):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
                silence.sample_rate, silence.pts = 16000, 1600 * i
                file.mux(sound.encode(silence))
            file.mux(sound.encode())
    return path


def flat_world(clip: Any, *, progress: Any, method: str = "structure-from-motion") -> SimpleNamespace:
    """An estimate: a still camera before a wall that leans, nothing moving."""
    height, width = clip.size
    count = clip.num_frames
    progress("geometry", 1.0)

    def depth_maps() -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        lean = np.linspace(6, 2, height // 2, dtype=np.float32)[:, None]
        for _ in range(count):
            yield np.repeat(lean, width // 2, axis=1), np.zeros((height // 2, width // 2), bool)

    pinhole = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1.0]])
    return SimpleNamespace(
        c2w=np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=np.tile(pinhole, (count, 1, 1)),
        depth_size=(height // 2, width // 2),
        geometry=SceneGeometry(method, 0.25, "a test asked for it.", "none", None),
        depth_maps=depth_maps(),
    )


def broken_world(clip: Any, *, progress: Any) -> SimpleNamespace:
    """An estimator with a bug."""
    raise RuntimeError("a bug")


def still_prior(clip: Any, *, progress: Any) -> SimpleNamespace:
    """The same, as an assumption."""
    return flat_world(clip, progress=progress, method="static-prior")
