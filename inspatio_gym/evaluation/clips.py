"""What is measured: clips, and whoever films them.

A `Take` says what a clip is to show: of every frame, which moment of the video, from which camera. A `ClipSource` films
it. A world model is one, and so are the true renderer and clips that are wrong on purpose, so that every metric sees
the same thing from all of them: pictures.

    take      source int64 (n,), c2w float64 (n, 4, 4)
    clip      rgb uint8 (m, H, W, 3), covered bool (m, H, W), of the observed frames of a take

    ModelSource      a world model, driven block by block through the protocol of `inspatio_gym.world`
    TrueRenders      what the cameras would have seen: of synthetic worlds
    Recording        the video itself: the truth where cameras are the recorded ones
    Frozen           its first frame, held: deaf to cameras and to time
    Mirrored         true to time, but every camera moves and turns the other way
    Wobbling         every frame bent by a new smooth field: neither rigid nor steady
"""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.geometry.poses import invert
from inspatio_gym.types import Poses, Rgb
from inspatio_gym.world import WorldModel, blocks


@dataclass(frozen=True, slots=True)
class Take:
    """source: int64 (n,), source frame of each frame. c2w: float64 (n, 4, 4), its camera, in scene coordinates."""

    source: NDArray[np.int64]
    c2w: Poses

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, slots=True)
class Clip:
    """rgb: uint8 (m, H, W, 3). covered: bool (m, H, W), where the source says that its geometry was measured."""

    rgb: NDArray[np.uint8]
    covered: NDArray[np.bool_]


class ClipSource(Protocol):
    """Whoever films takes."""

    name: str

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """The frames of `take` at the positions `observe` int64 (m,), ascending, or all of them."""
        ...


class ModelSource:
    """A world model over a scene; every take is a session of its own, with noise keyed by `key`."""

    def __init__(self, model: WorldModel, subject: Subject, key: int = 0):
        self.name, self._model, self._scene, self._key = model.name, model, subject.scene, key

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """See `ClipSource.film`."""
        rgb, covered = [], []
        sessions: list[Any] = []
        for request in blocks(take, self._model.first_frames, self._model.block_frames, observe):
            if sessions:
                (block,) = self._model.step(sessions, [request])
            else:
                sessions, (block,) = self._model.start([self._scene], [self._key], [request])
            if len(request.observe):
                rgb.append(block.rgb)
                covered.append(block.covered)
        return Clip(np.concatenate(rgb), np.concatenate(covered))


class TrueRenders:
    """What cameras would have seen in a synthetic world. Frames are kept, since metrics share many."""

    name = "true renders"

    def __init__(self, subject: Subject, samples: int = 2):
        self._subject, self._samples = subject, samples
        self._kept: dict[tuple[int, bytes], Rgb] = {}

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """See `ClipSource.film`. Raises ValueError for a scene without a world behind it."""
        at = range(len(take)) if observe is None else observe
        rgb = np.stack([self._frame(int(take.source[k]), take.c2w[k]) for k in at])
        return Clip(rgb, np.ones(rgb.shape[:3], bool))

    def _frame(self, frame: int, camera: NDArray[np.float64]) -> Rgb:
        key = frame, np.round(camera, 9).tobytes()
        if key not in self._kept:
            self._kept[key] = self._subject.true_view(camera, frame, self._samples).rgb
        return self._kept[key]


class Recording:
    """The video itself, which is the truth where a camera is the recorded one of its moment."""

    name = "the video"

    def __init__(self, subject: Subject):
        self._view = subject.view

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """See `ClipSource.film`. Raises ValueError for a camera that is not the recorded one."""
        at = np.arange(len(take)) if observe is None else observe
        away = np.abs(take.c2w[at] - self._view.c2w[take.source[at]]).max(initial=0.0)
        if away > 1e-6:
            raise ValueError(f"expected recorded cameras, got some that are off by {away:.2g}: a video has no others")
        rgb = np.stack([self._view.rgb(int(take.source[k])) for k in at])
        return Clip(rgb, np.ones(rgb.shape[:3], bool))


class Frozen:
    """The first frame of whatever another source films, held."""

    def __init__(self, of: ClipSource):
        self.name, self._of = "frozen", of

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """See `ClipSource.film`."""
        first = self._of.film(Take(take.source[:1], take.c2w[:1]))
        count = len(take) if observe is None else len(observe)
        return Clip(np.repeat(first.rgb, count, 0), np.repeat(first.covered, count, 0))


class Mirrored:
    """Another source, sent the inverse of every camera's motion since the first frame."""

    def __init__(self, of: ClipSource):
        self.name, self._of = "wrong poses", of

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """See `ClipSource.film`."""
        first = take.c2w[0]
        return self._of.film(Take(take.source, first @ invert(invert(first) @ take.c2w)), observe)


class Wobbling:
    """Another source's frames, each bent by a random smooth field of `strength` times the width (standard deviation)."""

    def __init__(self, of: ClipSource, strength: float = 0.01, seed: int = 0):
        self.name, self._of, self._strength, self._seed = "wobbling", of, strength, seed

    def film(self, take: Take, observe: NDArray[np.int64] | None = None) -> Clip:
        """See `ClipSource.film`."""
        clip = self._of.film(take, observe)
        height, width = clip.rgb.shape[1:3]
        random = np.random.default_rng(self._seed)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        bent = []
        for frame in clip.rgb:
            coarse = random.normal(0, self._strength * width, (4, 7, 2)).astype(np.float32)
            field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            bent.append(
                cv2.remap(frame, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            )
        return Clip(np.stack(bent), clip.covered)
