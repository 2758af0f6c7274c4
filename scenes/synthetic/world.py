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
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.shading import Light
from inspatio_gym.scenes.synthetic.solids import Solids, Thing, Times, Vector, join, linear
from inspatio_gym.scenes.synthetic.tracer import Shots, cast, trace
from inspatio_gym.types import Depth, Intrinsics, Pose, Poses, Rgb, Size

_MEASURE_LONG_SIDE = 128
"""Depth maps of this size are enough for the median that sets a world's scale."""


class View(NamedTuple):
    """What one camera sees."""

    rgb: Rgb
    depth: Depth
    object_id: NDArray[np.int32]
    """(H, W), 0 for the backdrop, else 1 + the position of the object in `SyntheticWorld.objects`."""


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
        """A row of light, the lamp's disc spread over the rays of a pixel."""
        axis = np.asarray(self.sun, float) / np.linalg.norm(self.sun)
        side = np.cross(axis, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side)
        k = np.arange(samples**2)
        spread = np.sqrt((k + 0.5) / len(k)) * math.tan(math.radians(self.sun_radius_deg))
        turn = k * math.pi * (3 - math.sqrt(5)) if samples > 1 else k * 0.0
        sun = axis + spread[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(side, axis))
        colours = {
            "sun_colour": self.sun_power * np.array(linear(self.sun_colour)),
            "sky_axis": np.asarray(self.sky_axis, float) / np.linalg.norm(self.sky_axis),
            "sky_colour": self.sky_power * np.array(linear(self.sky_colour)),
            "ground_colour": self.sky_power * np.array(linear(self.ground_colour)),
            "zenith": np.array(linear(self.zenith)),
            "horizon": np.array(linear(self.horizon)),
        }
        return Light(
            sun=(sun / np.linalg.norm(sun, axis=1, keepdims=True))[None],
            contact=np.array([self.contact], float),
            dome=dome[None],
            seed=np.array([seed], np.int64),
            **{name: colour[None] for name, colour in colours.items()},
        )


class SyntheticWorld:
    """A world made by formula; see the module's docstring. Built by `room` and `street`.

    name, seed, style: what it was made from. objects: its things, ids 1, 2, ... path: seconds -> c2w in world axes.
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
        style: str = "plain",
    ):
        self.name, self.seed, self.style, self.caption = name, seed, style, caption
        self.objects = tuple(objects)
        self.path = path
        self.duration, self.fps, self.fov_deg = duration, fps, fov_deg
        self.lighting = lighting
        self.dome = np.array([*path(0.0)[:3, 3], radius])
        self.moving_ids = np.array([1 + k for k, thing in enumerate(self.objects) if thing.motion], np.int32)

    @cached_property
    def solids(self) -> Solids:
        """Its things as arrays."""
        return Solids(self.objects)

    @property
    def address(self) -> str:
        """The name that `load_scene` knows this world by."""
        return f"synthetic:{self.name}?seed={self.seed}" + ("" if self.style == "plain" else f"&style={self.style}")

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
        view = trace(self.shots(c2w, [time_s], self._matrix(size, intrinsics), samples), size, samples)
        return View(*(image[0] for image in view))

    def depth(
        self, c2w: Pose, time_s: float, size: Size, intrinsics: Intrinsics | None = None
    ) -> tuple[Depth, NDArray[np.int32]]:
        """Depth and object ids alone, as `render` gives them, at a small part of its cost."""
        depth, object_id = cast(self.shots(c2w, [time_s], self._matrix(size, intrinsics), 1), size)
        return depth[0], object_id[0]

    def shots(self, c2w: Poses, times_s: Times, intrinsics: Intrinsics, samples: int) -> Shots:
        """What the tracer reads for N cameras (N, 4, 4), moments and pinhole matrices (N, 3, 3), or one for all."""
        count = len(times_s)
        still, moving = self.solids.still, self.solids.moving(times_s)
        each = len(moving.skip) // count
        first = len(still.skip) + each * np.arange(count)
        light = self.lighting.tables(samples, self.dome, self.seed)
        return Shots(
            tables=join([still, moving]),
            light=Light._make(np.repeat(field, count, axis=0) for field in light),
            walk=np.stack([np.zeros_like(first), np.full_like(first, len(still.skip)), first, first + each], axis=1),
            c2w=np.array(np.broadcast_to(c2w, (count, 4, 4)), np.float64),
            intrinsics=np.array(np.broadcast_to(intrinsics, (count, 3, 3)), np.float64),
        )

    def _matrix(self, size: Size, intrinsics: Intrinsics | None) -> Intrinsics:
        return self.intrinsics(size) if intrinsics is None else np.asarray(intrinsics, np.float64)

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
