"""Scenes come to disk whole or not at all.

`SceneWriter` works in a folder beside its target and `finish()` flushes every file to the disk and renames the folder.
Whatever happens before (an error, Ctrl-C, a full disk) removes it; a killed process cannot, so the next writer into the
same place sweeps away what dead processes left. Of two processes that write the same target the first to rename wins,
and the second learns so by `Overtaken`.
"""

import hashlib
import json
import logging
import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from inspatio_gym.geometry.logdepth import MAX_CODE, decode_depth, encode_depth
from inspatio_gym.geometry.poses import require_rigid
from inspatio_gym.scenes.cache import explained, flush, hash_of, partial_folder, sweep
from inspatio_gym.scenes.errors import SceneError
from inspatio_gym.scenes.footage import FootageWriter, StoredClip
from inspatio_gym.scenes.preview import save_preview
from inspatio_gym.scenes.scene import FILES, SCHEMA_VERSION, Scene, SceneGeometry
from inspatio_gym.scenes.timing import MAX_FPS, MIN_FPS
from inspatio_gym.types import Intrinsics, Poses, Rgb, Size

logger = logging.getLogger(__name__)

SURVEY_SIDE = 64  # long side of the coarse depth
SURVEY_STEP = 1.2  # within a block, a ratio of depths that is a step between surfaces rather than a slant


class Overtaken(FileExistsError):
    """Another process has finished the same scene first."""


class SceneWriter:
    """Write a scene frame by frame; use as a context manager, and leaving it without `finish()` removes everything.

        with SceneWriter(folder, fps=25, size=(468, 832), depth_size=(234, 416), name="street") as writer:
            for rgb, depth, moving in frames:
                writer.write_frame(rgb)
                writer.write_depth(depth, moving)
            scene = writer.finish(c2w=c2w, intrinsics=intrinsics, geometry=geometry, provenance={})

    target: folder to become the scene; must not exist. fps: frames a second, 0.001 to 30; a Fraction is kept exactly.
    size: (height, width) of the frames, even. depth_size: of depth and mask; None takes the first map's. Frames and
    depth are streamed, in frame order, independently of each other. Raises FileExistsError if the target exists,
    CacheError if nothing can be written there, ValueError for a size or rate out of range.
    """

    def __init__(
        self,
        target: Path,
        *,
        fps: float | Fraction,
        size: Size,
        depth_size: Size | None = None,
        name: str,
        caption: str = "",
    ):
        if size[0] % 2 or size[1] % 2 or min(size) < 2:
            raise ValueError(f"expected an even height and width, got {size}: crop or resize the frames")
        if not MIN_FPS <= fps <= MAX_FPS:
            raise ValueError(
                f"expected a rate in [{float(MIN_FPS)}, {MAX_FPS}] frames/s, got {fps}: keep every k-th frame"
            )
        self.target = Path(target).absolute()
        self.fps = Fraction(fps).limit_denominator(1001)
        self.size, self.depth_size, self.name, self.caption = size, depth_size, name, caption
        self.num_frames = 0  # of the longest shot so far
        if self.target.exists():
            raise FileExistsError(f"expected a folder yet to be made, got {self.target}: delete it or choose another")
        self.folder = partial_folder(self.target)
        with explained(self.target.parent):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            sweep(self.target.parent)
            self.folder.mkdir()
        self._rgb: FootageWriter | None = None  # the shot being written
        self._frames_ended = False
        self._depth: FootageWriter | None = None
        self._moving: FootageWriter | None = None
        self._survey: list[NDArray[np.uint16]] = []
        self._histogram = np.zeros(MAX_CODE + 1, np.int64)
        self._unit: float | None = None  # depth is coded in these, so that no estimator's unit leaves the code's range

    def write_frame(self, rgb: Rgb) -> None:
        """Append a frame, uint8 (H, W, 3)."""
        if rgb.shape != (*self.size, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"expected a uint8 frame of shape {(*self.size, 3)}, got {rgb.dtype} {rgb.shape}")
        if self._frames_ended:
            raise ValueError("expected every frame before `clip()`, got one after it")
        with explained(self.target.parent):
            if self._rgb is None:
                self._rgb = self._footage("shot.mp4", self.size, "rgb24")
            self._rgb.write(rgb)

    def write_depth(self, depth: NDArray[np.floating], moving: NDArray[np.bool_]) -> None:
        """Append a frame's z-depth, (h, w) positive, and its mask of moving things, bool (h, w)."""
        if self.depth_size is None:
            self.depth_size = (depth.shape[0], depth.shape[1])
        if depth.shape != self.depth_size or moving.shape != self.depth_size or moving.dtype != bool:
            raise ValueError(
                f"expected depth and a bool mask of shape {self.depth_size}, "
                f"got {depth.shape} and {moving.dtype} {moving.shape}"
            )
        if not (depth > 0).all():
            raise ValueError(f"expected positive depths, got {(~(depth > 0)).sum()} pixels without: fill holes first")
        if self._unit is None:
            finite = depth[np.isfinite(depth)]
            self._unit = float(np.median(finite)) if finite.size else 1.0
        codes = encode_depth(depth / self._unit)
        with explained(self.target.parent):
            if self._depth is None or self._moving is None:
                self._depth = self._footage("depth.mkv", self.depth_size, "gray16le")
                self._moving = self._footage("moving.mkv", self.depth_size, "gray")
            self._depth.write(codes)
            self._moving.write(moving.astype(np.uint8) * 255)
        self._survey.append(_survey_of(codes))
        self._histogram += np.bincount(codes.ravel(), minlength=MAX_CODE + 1)

    def cut(self) -> None:
        """End a shot, before the first frame of another: of all shots only the longest is kept, of equals the first."""
        if self._rgb is None:
            return
        with explained(self.target.parent):
            self._rgb.close()
            if self._rgb.num_frames > self.num_frames:
                self._rgb.path.replace(self.folder / "source.mp4")
                self.num_frames = self._rgb.num_frames
        self._rgb = None

    def clip(self) -> StoredClip:
        """End the frames and give the kept ones back for reading, before `finish()`."""
        self.cut()
        self._frames_ended = True
        return StoredClip(self.folder / "source.mp4", num_frames=self.num_frames, fps=float(self.fps), size=self.size)

    @property
    def median_depth(self) -> float:
        """Median over every pixel written so far, in the units written."""
        below = np.cumsum(self._histogram)
        if self._unit is None:
            raise ValueError("expected depth to take the median of, got none: call write_depth")
        code = np.searchsorted(below, (below[-1] + 1) // 2)
        return float(decode_depth(code.astype(np.uint16))) * self._unit

    def finish(
        self,
        *,
        c2w: Poses,
        intrinsics: Intrinsics,
        geometry: SceneGeometry,
        scale: float | None = None,
        provenance: dict[str, Any],
    ) -> Scene:
        """Complete the scene and move it to its place.

        c2w: (F, 4, 4), the first the identity, in the depth's units. intrinsics: (F, 3, 3) at `size`. scale: multiplies
        depth and translations, to reach a median depth of 1, say. provenance: JSON values. Raises ValueError if frames,
        depth and cameras do not agree, Overtaken if another process has finished the same target.
        """
        frames = self.clip().num_frames
        c2w, intrinsics = np.array(c2w, np.float64), np.array(intrinsics, np.float64)
        _check_cameras(c2w, intrinsics, frames)
        if self._depth is None or self._moving is None or self._unit is None or self._depth.num_frames != frames:
            written = 0 if self._depth is None else self._depth.num_frames
            raise ValueError(f"expected a depth map for each of {frames} frames, got {written}")
        median = self.median_depth
        if scale is None:
            scale = 1.0 if geometry.metres_per_unit is not None else 1 / median
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"expected a positive scale, got {scale}")
        c2w[:, :3, 3] *= scale
        with explained(self.target.parent):
            self._depth.close()
            self._moving.close()
            depth_scale = scale * self._unit
            survey = np.stack([encode_depth(decode_depth(codes) * depth_scale) for codes in self._survey])
            tensors = save({"c2w": c2w, "intrinsics": intrinsics, "survey_depth": survey})
            (self.folder / "geometry.safetensors").write_bytes(tensors)
            files = {name: _describe(self.folder / name) for name in FILES}
            record = {
                "schema_version": SCHEMA_VERSION,
                "name": self.name,
                "caption": self.caption,
                "num_frames": frames,
                "fps": float(self.fps),
                "size": self.size,
                "depth_size": self.depth_size,
                "depth_scale": depth_scale,
                "median_depth": median * scale,
                "geometry": {field: getattr(geometry, field) for field in SceneGeometry.__slots__},
                "provenance": provenance,
                "files": files,
            }
            record["digest"] = hashlib.blake2b(json.dumps(record).encode(), digest_size=16).hexdigest()
            (self.folder / "scene.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            save_preview(Scene.load(self.folder), self.folder / "preview.jpg")
            (self.folder / "shot.mp4").unlink(missing_ok=True)  # of a shorter shot
            for file in self.folder.iterdir():
                flush(file)
            flush(self.folder)
            made_meanwhile = not self._rename()
            flush(self.target.parent)
        if made_meanwhile:
            raise Overtaken(f"expected {self.target} yet to be made, got one made meanwhile: load that")
        return Scene.load(self.target)

    def _rename(self) -> bool:
        """Move the folder to its target; False if there is one already."""
        try:
            self.folder.rename(self.target)
        except OSError:
            if not self.target.exists():
                raise
            return False
        return True

    def _footage(self, name: str, size: Size, form: str) -> FootageWriter:
        return FootageWriter(self.folder / name, fps=self.fps, size=size, form=form)

    def __enter__(self) -> "SceneWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for footage in (self._rgb, self._depth, self._moving):
            if footage is not None:
                footage.abandon()
        shutil.rmtree(self.folder, ignore_errors=True)


def stored(target: Path) -> Scene | None:
    """The scene at `target`; None if there is none, or a damaged one, which is removed."""
    with explained(target.parent):
        if not target.exists():
            return None
        try:
            return Scene.load(target)
        except SceneError as problem:
            logger.warning("making it again: %s", problem)
            aside = partial_folder(target)
            with suppress(FileNotFoundError):  # another process has found it too
                target.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    return None


def _describe(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "blake2b": hash_of(file)}


def _survey_of(codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Codes (h, w) of depth in blocks, the long side 64.

    The centre of a block stands for it, as on a slanted wall it must; but where something in the block is nearer by
    more than `SURVEY_STEP`, a pole before a wall, that stands for it, so that nobody walks through.
    """
    height, width = codes.shape
    shrink = min(1.0, SURVEY_SIDE / max(height, width))
    rows, cols = max(1, round(height * shrink)), max(1, round(width * shrink))
    top, left = np.arange(rows) * height // rows, np.arange(cols) * width // cols
    nearest = np.minimum.reduceat(np.minimum.reduceat(codes, top, axis=0), left, axis=1)
    middle_row, middle_col = (
        (np.arange(rows) * 2 + 1) * height // (2 * rows),
        (np.arange(cols) * 2 + 1) * width // (2 * cols),
    )
    centre = codes[middle_row[:, None], middle_col[None, :]]
    return np.where(decode_depth(nearest) * SURVEY_STEP < decode_depth(centre), nearest, centre)


def _check_cameras(c2w: Poses, intrinsics: Intrinsics, frames: int) -> None:
    """Raise ValueError unless there are `frames` rigid cameras, the first the identity, and as many intrinsics."""
    if frames < 1:
        raise ValueError("expected at least one frame, got none: call write_frame")
    if c2w.shape != (frames, 4, 4) or intrinsics.shape != (frames, 3, 3):
        raise ValueError(
            f"expected c2w {(frames, 4, 4)} and intrinsics {(frames, 3, 3)}, got {c2w.shape} and {intrinsics.shape}"
        )
    require_rigid(c2w, "c2w")
    if np.abs(c2w[0] - np.eye(4)).max() > 1e-6:
        raise ValueError(
            f"expected the first camera to be the identity, got {c2w[0].tolist()}: multiply by its inverse"
        )
    if not np.isfinite(intrinsics).all() or intrinsics[:, [0, 1], [0, 1]].min() <= 0:
        raise ValueError("expected finite intrinsics with positive focal lengths, got others")
