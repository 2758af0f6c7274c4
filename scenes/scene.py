"""A Scene: a video with depth and cameras, on disk, immutable, read lazily.

    scene.json            schema version, sizes, rate, caption, how the geometry was found, provenance, digest
    source.mp4            the frames at working size (long side at most 832)
    depth.mkv             z-depth of every frame, 16-bit logarithmic, often smaller than the frames (long side <= 416)
    moving.mkv            what moves by itself, of the depth's size
    geometry.safetensors  c2w (F, 4, 4), intrinsics (F, 3, 3), survey_depth (F, h, w), memory-mapped
    preview.jpg           a few frames above their depth, for people

Nothing is opened before it is asked for, and what is decoded stays in `footage.frame_cache`, whose budget all scenes of
a process share, so a scene costs no memory in proportion to its length.
"""

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.logdepth import decode_depth
from inspatio_gym.scenes.errors import SceneError
from inspatio_gym.scenes.footage import CHUNK, Footage, frame_cache
from inspatio_gym.types import Depth, Intrinsics, Mask, Poses, Rgb, Size

if TYPE_CHECKING:
    from inspatio_gym.scenes.view import SceneView

SCHEMA_VERSION = 1
SAMPLES = Path(__file__).resolve().parent / "samples"
FILES = ("source.mp4", "depth.mkv", "moving.mkv", "geometry.safetensors")


@dataclass(frozen=True, slots=True)
class SceneGeometry:
    """How depth and cameras were found, kept in `scene.json`."""

    method: str
    """"structure-from-motion", "rotation-and-prior", "static-prior" or "synthetic-truth"; with a network's depth instead,
    "structure-from-motion-and-depth-anything-v2", "rotation-and-..." or "static-and-depth-anything-v2",
    "rotation-and-depth-small" or "static-and-depth-small"; "depth-anything-3"."""
    confidence: float
    """0 (an assumption) to 1 (the truth)."""
    reason: str
    """One sentence: why this method."""
    licence: str
    """Of the estimator's weights; "none" without weights."""
    metres_per_unit: float | None
    """None: the scale is unknown and the median depth is 1."""


class Scene:
    """A stored scene; `Scene.load(folder)` makes one. Pickled as its path.

    path: its folder. digest: hex hash of its content. name, caption: words. num_frames (F), fps: frames and their rate.
    size: (H, W) of the frames. median_depth: over all pixels, in scene units. geometry: `SceneGeometry`. provenance:
    where it came from, JSON values.
    """

    def __init__(self, path: Path, record: dict[str, Any]):
        self.path = path
        self.digest: str = record["digest"]
        self.name: str = record["name"]
        self.caption: str = record["caption"]
        self.num_frames: int = record["num_frames"]
        self.fps: float = record["fps"]
        self.size: Size = (record["size"][0], record["size"][1])
        self.depth_size: Size = (record["depth_size"][0], record["depth_size"][1])
        self.depth_scale: float = record["depth_scale"]
        self.median_depth: float = record["median_depth"]
        self.geometry = SceneGeometry(**{f.name: record["geometry"][f.name] for f in fields(SceneGeometry)})
        self.provenance: dict[str, Any] = record["provenance"]
        frames = {"num_frames": self.num_frames, "fps": self.fps}
        self._rgb = Footage(path / "source.mp4", form="rgb24", **frames)
        self._depth = Footage(path / "depth.mkv", form="gray16le", **frames)
        self._moving = Footage(path / "moving.mkv", form="gray", **frames)

    @classmethod
    def load(cls, folder: str | Path) -> "Scene":
        """The scene in `folder`. Raises SceneError for a folder that is not a whole scene of this schema version."""
        folder = Path(folder)
        file = folder / "scene.json"
        if not file.is_file():
            raise SceneError(
                f"expected a scene folder with a scene.json, got {folder}: make one with `inspatio-gym anchor`"
            )
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            version = record["schema_version"]
            if version != SCHEMA_VERSION:
                raise SceneError(
                    f"expected schema version {SCHEMA_VERSION} in {file}, got {version}: anchor the video again"
                )
            scene = cls(folder.resolve(), record)
            damaged = [name for name in FILES if _bytes_of(folder / name) != record["files"][name]["bytes"]]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, IndexError) as problem:
            raise SceneError(
                f"expected a scene's record in {file}, got {type(problem).__name__}: {problem}; "
                "delete the folder and make it again"
            ) from None
        if damaged:
            raise SceneError(
                f"expected whole files in {folder}, got {', '.join(damaged)} missing or cut: make it again"
            )
        return scene

    def __reduce__(self) -> tuple[Any, ...]:
        return Scene.load, (self.path,)

    def __copy__(self) -> "Scene":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Scene":
        return self

    def __repr__(self) -> str:
        frames = f"{self.num_frames} frames of {self.size[0]}x{self.size[1]} at {self.fps:g}/s"
        return f"Scene({self.name!r}, {frames}, {self.geometry.method})"

    def rgb(self, i: int) -> Rgb:
        """Frame i, uint8 (H, W, 3), read-only. Raises IndexError outside 0..F-1."""
        return self._stored("rgb", i)

    def depth(self, i: int) -> Depth:
        """Depth of frame i, float32 (H, W) in scene units, read-only. Raises IndexError outside 0..F-1."""
        depth = decode_depth(self._stored("depth", i)[self._stored_pixel])
        depth *= np.float32(self.depth_scale)
        depth.flags.writeable = False
        return depth

    def moving(self, i: int) -> Mask:
        """Where frame i shows things that move by themselves, bool (H, W), read-only. IndexError outside 0..F-1."""
        moving = self._stored("moving", i)[self._stored_pixel] > 0
        moving.flags.writeable = False
        return moving

    @property
    def c2w(self) -> Poses:
        """Cameras, float64 (F, 4, 4), the first one the identity, read-only."""
        return self._tensors["c2w"]

    @property
    def intrinsics(self) -> Intrinsics:
        """Pinhole matrices at `size`, float64 (F, 3, 3), read-only."""
        return self._tensors["intrinsics"]

    @property
    def survey_depth(self) -> NDArray[np.uint16]:
        """A coarse depth of every frame, uint16 (F, h, w) with the long side 64, memory-mapped, read-only.

        `geometry.logdepth.decode_depth` turns it into scene units. Block (r, c) spans an h-th and a w-th of the frame's
        sides and holds the depth at its centre, or the nearest in it where that is a different, nearer surface.
        """
        return self._tensors["survey_depth"]

    def view(self, size: Size) -> "SceneView":
        """This scene cover-cropped and resized to `size` (height, width)."""
        from inspatio_gym.scenes.view import SceneView

        return SceneView(self, size)

    def chunk(self, what: str, chunk: int, *, keep: bool = True) -> NDArray[Any]:
        """Stored frames CHUNK * chunk and the following of "rgb", "depth" (codes) or "moving" (0 or 255), stacked.

        keep: let the chunk stay in the cache; one that is there already is used either way.
        """
        footage: Footage = {"rgb": self._rgb, "depth": self._depth, "moving": self._moving}[what]
        key = (self.digest, what, chunk)
        if keep:
            return frame_cache.get(key, lambda: footage.decode_chunk(chunk))
        cached = frame_cache.peek(key)
        return footage.decode_chunk(chunk) if cached is None else cached

    def _stored(self, what: str, i: int) -> NDArray[Any]:
        """Frame i as it is stored."""
        if not 0 <= i < self.num_frames:
            raise IndexError(f"expected a frame from 0 to {self.num_frames - 1}, got {i}")
        return self.chunk(what, i // CHUNK)[i % CHUNK]

    @cached_property
    def _stored_pixel(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which stored pixel of depth covers the centre of each pixel of the frame: rows (H, 1), columns (1, W)."""
        rows = (np.arange(self.size[0]) + 0.5) * self.depth_size[0] / self.size[0]
        cols = (np.arange(self.size[1]) + 0.5) * self.depth_size[1] / self.size[1]
        return rows.astype(np.intp)[:, None], cols.astype(np.intp)[None, :]

    @cached_property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        return map_tensors(self.path / "geometry.safetensors")


def load_scene(name_or_path: "str | Path | Scene", *, progress: bool = False) -> Scene:
    """A bundled scene by name, a synthetic one by what it is made of, a scene folder by path; a Scene as it is.

    "synthetic:street?seed=3" is rendered once, which takes half a minute or so, and found in the cache of scenes afterwards.
    progress: show a bar meanwhile, if stderr is a terminal. Raises SceneError for what is no scene.
    """
    if isinstance(name_or_path, Scene):
        return name_or_path
    if str(name_or_path).startswith("synthetic:"):
        from inspatio_gym.scenes.synthetic.address import synthetic_scene

        return synthetic_scene(str(name_or_path), progress=progress)
    if str(name_or_path) in sample_names():
        return Scene.load(SAMPLES / str(name_or_path))
    if not Path(name_or_path).exists():
        raise SceneError(
            f"expected a bundled scene ({', '.join(sample_names())}), a synthetic one (synthetic:street?seed=3) or a scene "
            f"folder, got {str(name_or_path)!r}: turn a video into a scene with `inspatio-gym anchor`"
        )
    return Scene.load(name_or_path)


def sample_names() -> list[str]:
    """Names of the bundled scenes."""
    return sorted(file.parent.name for file in SAMPLES.glob("*/scene.json"))


def sample_path(name: str) -> Path:
    """Folder of a bundled scene. Raises SceneError for a name that is not bundled."""
    if name not in sample_names():
        raise SceneError(f"expected a bundled scene out of {sample_names()}, got {name!r}")
    return SAMPLES / name


def map_tensors(file: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file as read-only memory maps: nothing is read before it is looked at.

    Format: 8 bytes little-endian length of the header, the header in JSON with dtype, shape and data offsets, the data.
    """
    types = {"F64": np.float64, "F32": np.float32, "U16": np.uint16, "U8": np.uint8}
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {
        name: np.asarray(
            np.memmap(file, types[entry["dtype"]], "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"]))
        )
        for name, entry in header.items()
    }


def _bytes_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1
