"""A synthetic world: solids that move by formula, a camera path, and the truth from any camera at any moment.

    World axes    metres, x right, y ahead, z up, right-handed; the floor or road is z = 0.
    Scene axes    what a `Scene` of this world uses: the first camera is the identity, the median depth is 1.
    x_scene = scale * inverse(path(0)) x_world       (`SyntheticWorld.scale`, `.to_scene`, `.to_world`)

Everything a world is follows from its name and seed; everything it shows from those, a camera and a time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.scenes.synthetic import textures
from inspatio_gym.scenes.synthetic.tracer import BOX, CYLINDER, ELLIPSOID, Light, Tables, cast, paint
from inspatio_gym.types import Depth, Intrinsics, Pose, Poses, Rgb, Size

Vector = NDArray[np.float64]
BACKDROP = 0
"""The object id of the dome around a world."""
_MEASURE_LONG_SIDE = 64
"""Depth maps of this size are enough for the median that sets a world's scale."""


class View(NamedTuple):
    """What one camera sees."""

    rgb: Rgb
    depth: Depth
    object_id: NDArray[np.int32]
    """(H, W), 0 for the backdrop, else 1 + the position of the object in `SyntheticWorld.objects`."""


def linear(colour: str) -> tuple[float, float, float]:
    """'#rrggbb' in sRGB as linear RGB in [0, 1]."""
    srgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb)
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Material:
    """A pattern of `textures` and what it takes: up to three sRGB colours, two lengths in metres, a seed, a glow."""

    pattern: int
    a: str
    b: str = "#000000"
    c: str = "#000000"
    length: tuple[float, float] = (1.0, 1.0)
    seed: int = 0
    glow: float = 0.0

    def row(self) -> list[float]:
        colours = (*linear(self.a), *linear(self.b), *linear(self.c))
        return [float(self.pattern), *colours, *self.length, float(self.seed), self.glow]


def rotation(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Vector:
    """(3, 3): turn left by yaw about z, then lift the y axis by pitch, then roll about y."""
    y, p, r = np.radians([yaw_deg, pitch_deg, roll_deg])
    turn = np.array([[math.cos(y), -math.sin(y), 0], [math.sin(y), math.cos(y), 0], [0, 0, 1]])
    lift = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    lean = np.array([[math.cos(r), 0, math.sin(r)], [0, 1, 0], [-math.sin(r), 0, math.cos(r)]])
    return turn @ lift @ lean


def rigid(turn: ArrayLike, position: ArrayLike) -> Pose:
    """(4, 4) from a rotation (3, 3) and a translation (3,)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, position
    return pose


def looking(position: ArrayLike, yaw_deg: float, pitch_deg: float, roll_deg: float = 0.0) -> Pose:
    """The c2w of a camera (x right, y down, z forward) that looks along +y of the world after the given turns."""
    upright = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # columns: camera right, down, forward in world axes
    return rigid(rotation(yaw_deg, pitch_deg, roll_deg) @ upright, position)


@dataclass(frozen=True, slots=True)
class Part:
    """A solid: a box, ellipsoid or cylinder (along its z) of full extents `size` around `centre`, in metres.

    `top` shrinks its upper face in x and y: a roof is a box with top (0, 1), a cone a cylinder with top (0, 0).
    """

    shape: int
    centre: Sequence[float]
    size: Sequence[float]
    material: Material
    turn: Vector | None = None
    top: tuple[float, float] = (1.0, 1.0)
    opaque: bool = True


@dataclass(frozen=True, slots=True)
class Thing:
    """Parts that belong together. `motion` gives the thing's pose at a time in seconds; None stands still."""

    name: str
    parts: tuple[Part, ...]
    motion: Callable[[float], Pose] | None = None


def box(centre: Sequence[float], size: Sequence[float], material: Material, **options) -> Part:
    """A box-shaped `Part`."""
    return Part(BOX, centre, size, material, **options)


def ball(centre: Sequence[float], size: Sequence[float], material: Material, **options) -> Part:
    """An ellipsoidal `Part`."""
    return Part(ELLIPSOID, centre, size, material, **options)


def tube(centre: Sequence[float], size: Sequence[float], material: Material, **options) -> Part:
    """A cylindrical `Part` along z."""
    return Part(CYLINDER, centre, size, material, **options)


@dataclass(frozen=True, slots=True)
class Lighting:
    """One distant lamp and a sky. Directions point towards the light, in world axes; colours are sRGB, times a power."""

    sun: Sequence[float]
    sun_colour: str
    sun_power: float
    sun_radius_deg: float
    sky_axis: Sequence[float]
    sky_colour: str
    ground_colour: str
    sky_power: float
    contact: float = 0.6
    zenith: str = "#4f86c6"
    horizon: str = "#cfdce6"

    def tables(self, samples: int, dome: Vector, seed: int) -> Light:
        """Spread the lamp's disc over the rays of a pixel."""
        axis = np.asarray(self.sun, float) / np.linalg.norm(self.sun)
        side = np.cross(axis, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side)
        k = np.arange(samples**2)
        spread = np.sqrt((k + 0.5) / len(k)) * math.tan(math.radians(self.sun_radius_deg))
        turn = k * math.pi * (3 - math.sqrt(5)) if samples > 1 else k * 0.0
        sun = axis + spread[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(side, axis))
        return Light(
            sun=sun / np.linalg.norm(sun, axis=1, keepdims=True),
            sun_colour=self.sun_power * np.array(linear(self.sun_colour)),
            sky_axis=np.asarray(self.sky_axis, float) / np.linalg.norm(self.sky_axis),
            sky_colour=self.sky_power * np.array(linear(self.sky_colour)),
            ground_colour=self.sky_power * np.array(linear(self.ground_colour)),
            contact=self.contact,
            zenith=np.array(linear(self.zenith)),
            horizon=np.array(linear(self.horizon)),
            dome=dome,
            seed=seed,
        )


def _tree(low: Vector, high: Vector) -> tuple[Vector, Vector, NDArray[np.int64], NDArray[np.int64]]:
    """Halve the boxes along their longest spread of centres until each stands alone; nodes in depth-first order."""
    nodes: list[tuple[Vector, Vector, int, int]] = []

    def grow(members: NDArray[np.int64]) -> None:
        place = len(nodes)
        corner, opposite = low[members].min(axis=0), high[members].max(axis=0)
        nodes.append((corner, opposite, 0, int(members[0]) if len(members) == 1 else -1))
        if len(members) > 1:
            centres = low[members] + high[members]
            order = np.argsort(centres[:, np.ptp(centres, axis=0).argmax()], kind="stable")
            grow(members[order[: len(order) // 2]])
            grow(members[order[len(order) // 2 :]])
        nodes[place] = (*nodes[place][:2], len(nodes), nodes[place][3])

    grow(np.arange(len(low)))
    corners, opposites, skips, leaves = zip(*nodes, strict=True)
    return np.array(corners), np.array(opposites), np.array(skips), np.array(leaves)


class SyntheticWorld:
    """A world made by formula; see the module's docstring. Built by `room` and `street`.

    name, seed: what it was made from. objects: its things, ids 1, 2, ... path: seconds -> c2w in world axes.
    duration: seconds of film; fps: frames a second; fov_deg: horizontal field of view. centre, radius: its dome, metres.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        caption: str,
        objects: Sequence[Thing],
        path: Callable[[float], Pose],
        duration: float,
        fov_deg: float,
        lighting: Lighting,
        radius: float,
        fps: float = 24.0,
    ):
        self.name, self.seed, self.caption = name, seed, caption
        self.objects = tuple(objects)
        self.path = path
        self.duration, self.fps, self.fov_deg = duration, fps, fov_deg
        self.lighting = lighting
        self.dome = np.array([*path(0.0)[:3, 3], radius])
        self.moving_ids = np.array([1 + k for k, thing in enumerate(self.objects) if thing.motion], np.int32)

    @property
    def num_frames(self) -> int:
        return round(self.duration * self.fps)

    def intrinsics(self, size: Size) -> Intrinsics:
        """(3, 3) of a camera with this world's horizontal field of view and square pixels."""
        height, width = size
        focal = width / 2 / math.tan(math.radians(self.fov_deg) / 2)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    def render(
        self, c2w: Pose, time_s: float, size: Size, intrinsics: Intrinsics | None = None, samples: int = 2
    ) -> View:
        """The truth from a camera in world axes at a moment.

        rgb: uint8 (H, W, 3), samples x samples rays a pixel. depth: float32 (H, W), z-depth in metres at the pixel
        centres. object_id: int32 (H, W) there. Penumbras and contact shadows are as fine as the antialiasing.
        """
        tables, owner = self._tables(time_s)
        matrix = self.intrinsics(size) if intrinsics is None else np.asarray(intrinsics, np.float64)
        pose = np.ascontiguousarray(c2w, np.float64)
        light = self.lighting.tables(samples, self.dome, self.seed)
        depth, part = cast(tables, self.dome, pose, matrix, *size)
        return View(paint(tables, light, pose, matrix, *size, samples), depth, owner[part])

    def depth(
        self, c2w: Pose, time_s: float, size: Size, intrinsics: Intrinsics | None = None
    ) -> tuple[Depth, NDArray[np.int32]]:
        """Depth and object ids alone, as `render` gives them, at a small part of its cost."""
        tables, owner = self._tables(time_s)
        matrix = self.intrinsics(size) if intrinsics is None else np.asarray(intrinsics, np.float64)
        depth, part = cast(tables, self.dome, np.ascontiguousarray(c2w, np.float64), matrix, *size)
        return depth, owner[part]

    def moving(self, object_id: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which pixels of an id map belong to things that move."""
        return np.isin(object_id, self.moving_ids)

    @cached_property
    def scale(self) -> float:
        """Scene units a metre: one over the median depth of all recorded frames, the dome included."""
        size = (_MEASURE_LONG_SIDE * 9 // 16, _MEASURE_LONG_SIDE)
        times = np.arange(self.num_frames) / self.fps
        depths = [self.depth(self.path(float(t)), float(t), size)[0] for t in times]
        return 1.0 / float(np.median(depths))

    def to_scene(self, c2w: Poses) -> Poses:
        """World cameras (..., 4, 4) as scene cameras."""
        local = np.linalg.inv(self.path(0.0)) @ c2w
        local[..., :3, 3] *= self.scale
        return local

    def to_world(self, c2w: Poses) -> Poses:
        """Scene cameras (..., 4, 4) as world cameras."""
        metric = np.array(c2w, np.float64)
        metric[..., :3, 3] /= self.scale
        return self.path(0.0) @ metric

    @cached_property
    def scene_path(self) -> Poses:
        """(F, 4, 4) the recorded cameras in scene coordinates, the first one the identity exactly."""
        poses = self.to_scene(np.stack([self.path(k / self.fps) for k in range(self.num_frames)]))
        poses[0] = np.eye(4)
        return poses

    def render_scene(
        self, c2w: Pose, frame: float, size: Size, intrinsics: Intrinsics | None = None, samples: int = 2
    ) -> View:
        """`render` in the coordinates of the bundled scene: c2w and depth in scene units, time as a frame index."""
        view = self.render(self.to_world(c2w), frame / self.fps, size, intrinsics, samples)
        return view._replace(depth=view.depth * np.float32(self.scale))

    def _tables(self, time_s: float) -> tuple[Tables, NDArray[np.int32]]:
        """The solids at a moment, and the object id of each part, that of the dome last (index -1)."""
        rotations, centres, owner = [], [], []
        for k, thing in enumerate(self.objects):
            pose = thing.motion(time_s) if thing.motion else np.eye(4)
            for part in thing.parts:
                rotations.append(pose[:3, :3] if part.turn is None else pose[:3, :3] @ part.turn)
                centres.append(pose[:3, :3] @ np.asarray(part.centre, float) + pose[:3, 3])
                owner.append(1 + k)
        shape, half, top, opaque, material = self._fixed
        rotation_, centre = np.array(rotations), np.array(centres)
        reach = (np.abs(rotation_) @ half[:, :, None])[:, :, 0] + 1e-6
        tree = _tree(centre - reach, centre + reach)
        tables = Tables(shape, rotation_, centre, half, top, opaque, material, *tree)
        return tables, np.array([*owner, BACKDROP], np.int32)

    @cached_property
    def _fixed(self) -> tuple[NDArray[np.int64], Vector, Vector, NDArray[np.bool_], Vector]:
        """What of the parts does not depend on time."""
        parts = [part for thing in self.objects for part in thing.parts]
        material = np.array([part.material.row() for part in parts])
        if material.shape[1] != textures.MATERIAL_WIDTH:
            raise ValueError(f"expected materials of {textures.MATERIAL_WIDTH} numbers, got {material.shape[1]}")
        return (
            np.array([part.shape for part in parts]),
            np.array([part.size for part in parts], float) / 2,
            np.array([part.top for part in parts], float),
            np.array([part.opaque for part in parts]),
            material,
        )
