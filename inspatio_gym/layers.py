"""What the warp world keeps of a source frame: the frame itself, and a background fused from the other frames.

A frame shows one surface a pixel. Move the camera and gaps open: beside every near thing, and past the picture's edge.
What belongs there was often seen at another moment, so each frame carries a second layer, in the same camera with a
wider picture: static points of frames 4, 8, 16, ... away in time that this frame cannot see, because they lie behind
its surfaces, behind its moving things, or outside its view.

    front  depth, rgbx (H, W)                     the frame
    back   depth, rgbx (H + 2 py, W + 2 px)       same focal lengths, principal point moved by (px, py); depth 0: nothing

Layers depend on the scene, the frame and the size alone. They are made when first asked for and kept in a byte budget,
the least recently used going first; every model of one size in a process shares one store.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry import kernels
from inspatio_gym.settings import whole_number
from inspatio_gym.threads import spread
from inspatio_gym.types import Depth, Intrinsics, Mask, Poses, Rgb, Size

PAD = 0.2
"""How far the background reaches past each side of the picture, as a fraction of its width or height."""
OFFSETS = (4, 8, 16, 32, 64, 128, 256, 512)
"""Frames before and after that contribute to a background."""


class View(Protocol):
    """A scene at one size; `inspatio_gym.scenes.view.SceneView` is one."""

    digest: str
    size: Size
    num_frames: int
    c2w: Poses
    intrinsics: Intrinsics

    def rgb(self, index: int) -> Rgb: ...
    def depth(self, index: int) -> Depth: ...
    def moving(self, index: int) -> Mask: ...


def contributors(frame: int, num_frames: int) -> list[int]:
    """Frames that fill the background of `frame`, nearest in time first."""
    return [j for offset in OFFSETS for j in (frame - offset, frame + offset) if 0 <= j < num_frames]


def pack(rgb: Rgb) -> NDArray[np.uint32]:
    """(H, W, 3) bytes as (H, W) words, red lowest."""
    words = np.zeros((*rgb.shape[:2], 4), np.uint8)
    words[..., :3] = rgb
    return words.view("<u4")[..., 0]


def pinhole(intrinsics: Intrinsics) -> NDArray[np.float64]:
    """(4,) fx, fy, cx, cy."""
    return intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float64)


def grow(mask: Mask) -> Mask:
    """A mask of moving things, widened by about a hundredth of the picture, where their edges blend."""
    radius = max(1, round(mask.shape[1] / 100))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def spread_colours(rgbx: NDArray[np.uint32], known: Mask) -> NDArray[np.uint32]:
    """Colours (H, W) with the unknown ones replaced by the nearest known, for look-ups that fall beside a surface."""
    if known.all() or not known.any():
        return rgbx
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros(nearest.max() + 1, np.uint32)
    colours[nearest[known]] = rgbx[known]
    return colours[nearest]


class LayerStore:
    """Layers of many frames of many scenes at one size, in slots of a few large arrays that kernels index.

    `plan` says where in a slot the two layers lie; see `geometry.kernels`.
    """

    def __init__(self, size: Size, *, background: bool = True, budget: int | None = None):
        height, width = size
        self.size = size
        self.background = background
        pads = (round(PAD * height), round(PAD * width)) if background else (0, 0)
        back = (height + 2 * pads[0], width + 2 * pads[1]) if background else (0, 0)
        self.plan = np.array(
            [
                [height, width, 0, 0, 0, 0],
                [*back, (height + 2) * width, height * _chunks(width), *pads],
            ],
            np.int64,
        )
        cells = (height + 2) * width + ((back[0] + 2) * back[1] if background else 0)
        chunks = height * _chunks(width) + back[0] * _chunks(back[1])
        self.slot_bytes = 8 * (cells + chunks)
        if budget is None:
            budget = whole_number("INSPATIO_GYM_LAYER_MB", 512) * 2**20
        self.capacity = max(2, budget // self.slot_bytes)
        # Address space only: the system hands out memory when a slot is first written.
        self.poses = np.empty((self.capacity, 4, 4))
        self.pinholes = np.empty((self.capacity, 4))
        self.depth = np.empty((self.capacity, cells), np.float32)
        self.rgbx = np.empty((self.capacity, cells), np.uint32)
        self.chunks = np.empty((self.capacity, chunks, 2), np.float32)
        self.lock = threading.RLock()
        self._slots: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._free = list(range(self.capacity))

    @property
    def nbytes(self) -> int:
        """Bytes of the slots in use."""
        return len(self._slots) * self.slot_bytes

    def slots(self, wanted: Sequence[tuple[View, int]]) -> NDArray[np.int64]:
        """Slot of each (view, frame), made where missing. At most `capacity` different ones at a time; hold `lock`."""
        keys = [(view.digest, frame) for view, frame in wanted]
        for key in keys:
            if key in self._slots:
                self._slots.move_to_end(key)
        missing = list({key: k for k, key in enumerate(keys) if key not in self._slots}.items())
        while len(self._free) < len(missing):
            self._free.append(self._slots.popitem(last=False)[1])
        slots = self._free[: len(missing)]

        def build(first: int, last: int) -> None:
            for (_, k), slot in zip(missing[first:last], slots[first:last], strict=True):
                self._build(*wanted[k], slot)

        spread(build, len(missing))
        self._free = self._free[len(missing) :]  # not before: should a building fail, they stay free
        self._slots.update(zip(dict(missing), slots, strict=True))
        return np.array([self._slots[key] for key in keys], np.int64)

    def _build(self, view: View, frame: int, slot: int) -> None:
        self.poses[slot] = view.c2w[frame]
        self.pinholes[slot] = pinhole(view.intrinsics[frame])
        # A copy, here and of poses below, because kernels are compiled anew for what is read-only or strided.
        front = np.array(view.depth(frame), np.float32)
        self._write(slot, 0, front, pack(view.rgb(frame)))
        if self.background:
            self._write(slot, 1, *self._fuse(view, frame, slot, front))

    def _write(self, slot: int, layer: int, depth: NDArray[np.float32], rgbx: NDArray[np.uint32]) -> None:
        """Store a layer, its last row repeated twice, and the depth ranges of its chunks."""
        start = self.plan[layer, 2]
        for stored, image in ((self.depth, depth), (self.rgbx, rgbx)):
            stored[slot, start : start + image.size] = image.reshape(-1)
            stored[slot, start + image.size : start + image.size + 2 * image.shape[1]] = np.tile(image[-1], 2)
        kernels.chunk_ranges(self.depth[slot], self.plan, layer, self.chunks[slot])

    def _fuse(
        self, view: View, frame: int, slot: int, front: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """Depth and colours of the background of a frame."""
        depth = np.zeros(self.plan[1, :2], np.float32)
        rgbx = np.zeros(self.plan[1, :2], np.uint32)
        padded = self.pinholes[slot] + (0, 0, self.plan[1, 5], self.plan[1, 4])
        moving = grow(view.moving(frame))
        for j in contributors(frame, view.num_frames):
            seen = np.where(grow(view.moving(j)), np.float32(0), view.depth(j))
            kernels.fuse_frame(
                seen, pack(view.rgb(j)), np.array(view.c2w[j]), pinhole(view.intrinsics[j]), self.poses[slot], padded,
                front, moving, self.plan, depth, rgbx,
            )  # fmt: skip
        return depth, spread_colours(rgbx, depth > 0)


def _chunks(width: int) -> int:
    return -(-width // kernels.CHUNK)


_stores: WeakValueDictionary[tuple[Any, ...], LayerStore] = WeakValueDictionary()
_stores_lock = threading.Lock()


def shared_store(size: Size, *, background: bool) -> LayerStore:
    """The process's one store for this size; it lives as long as somebody uses it."""
    with _stores_lock:
        store = _stores.get((size, background))
        if store is None:
            store = _stores[(size, background)] = LayerStore(size, background=background)
        return store
