"""What a synthetic world is made of: solids with a material, grouped into things that may move by formula.

World axes are x right, y ahead, z up, in metres. `Solids` turns things into the arrays that the tracer reads, at any
moment; what stands still is prepared once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.scenes.synthetic.rays import Tables
from inspatio_gym.scenes.synthetic.shapes import BOX, CYLINDER, ELLIPSOID
from inspatio_gym.scenes.synthetic.textures import MATERIAL_WIDTH
from inspatio_gym.scenes.synthetic.tree import trees
from inspatio_gym.types import Pose, Poses

Vector = NDArray[np.float64]
Times = Sequence[float] | NDArray[np.float64]
"""Seconds of film."""


@lru_cache(maxsize=4096)
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
    """Parts that belong together. `motion` gives the pose at a time in seconds, (4, 4) of the whole thing or (parts, 4, 4)
    of each part; None stands still."""

    name: str
    parts: tuple[Part, ...]
    motion: Callable[[float], Pose | Poses] | None = None


def placed(parts: Sequence[Part], pose: Pose) -> list[Part]:
    """Parts that stand still somewhere else."""
    return [
        replace(
            part,
            centre=pose[:3, :3] @ np.asarray(part.centre, float) + pose[:3, 3],
            turn=pose[:3, :3] if part.turn is None else pose[:3, :3] @ part.turn,
        )
        for part in parts
    ]


def box(centre: Sequence[float], size: Sequence[float], material: Material, **options) -> Part:
    """A box-shaped `Part`."""
    return Part(BOX, centre, size, material, **options)


def ball(centre: Sequence[float], size: Sequence[float], material: Material, **options) -> Part:
    """An ellipsoidal `Part`."""
    return Part(ELLIPSOID, centre, size, material, **options)


def tube(centre: Sequence[float], size: Sequence[float], material: Material, **options) -> Part:
    """A cylindrical `Part` along z."""
    return Part(CYLINDER, centre, size, material, **options)


class Solids:
    """The parts of some things as arrays, at any moment: what stands still first, what moves last."""

    def __init__(self, things: Sequence[Thing]):
        self.things = tuple(things)
        owned = [(1 + k, part) for k, thing in enumerate(things) if not thing.motion for part in thing.parts]
        still = len(owned)
        owned += [(1 + k, part) for k, thing in enumerate(things) if thing.motion for part in thing.parts]
        parts = [part for _, part in owned]
        turn = np.stack([np.eye(3) if part.turn is None else part.turn for part in parts])
        centre = np.array([part.centre for part in parts], float)
        self.still = _tables(turn[:still], centre[:still], _looks(owned[:still]))
        self._turn, self._centre, self._look = turn[still:], centre[still:], _looks(owned[still:])

    def moving(self, times_s: Times) -> Tables:
        """What moves at T moments: T times its M parts, T times its 2 M - 1 nodes, moment by moment."""
        count, moments = len(self._centre), len(times_s)
        if not count:
            return _tables(self._turn, self._centre, self._look)
        poses = np.empty((moments, count, 4, 4))
        first = 0
        for thing in self.things:
            if thing.motion:
                last = first + len(thing.parts)
                for k, time_s in enumerate(times_s):
                    poses[k, first:last] = thing.motion(float(time_s))
                first = last
        turn = poses[..., :3, :3] @ self._turn
        centre = (poses[..., :3, :3] @ self._centre[:, :, None])[..., 0] + poses[..., :3, 3]
        looks = {name: np.concatenate([value] * moments) for name, value in self._look.items()}
        return _tables(turn.reshape(-1, 3, 3), centre.reshape(-1, 3), looks, moments)


def _looks(owned: Sequence[tuple[int, Part]]) -> dict[str, NDArray]:
    """What of parts does not change with time, one row for each, by the fields of `Tables`."""
    parts = [part for _, part in owned]
    return {
        "shape": np.array([part.shape for part in parts], np.int64),
        "half": np.array([part.size for part in parts], float).reshape(-1, 3) / 2,
        "top": np.array([part.top for part in parts], float).reshape(-1, 2),
        "opaque": np.array([part.opaque for part in parts], bool),
        "material": np.array([part.material.row() for part in parts]).reshape(-1, MATERIAL_WIDTH),
        "owner": np.array([owner for owner, _ in owned], np.int32),
    }


def _tables(turn: Vector, centre: Vector, looks: dict[str, NDArray], moments: int = 1) -> Tables:
    """Rows for parts at their places, and a tree around those of each moment."""
    reach = (np.abs(turn) @ looks["half"][:, :, None])[:, :, 0] + 1e-6
    low, high, skip, leaf = trees(centre - reach, centre + reach, moments)
    return Tables(rotation=turn, centre=centre, low=low, high=high, skip=skip, leaf=leaf, **looks)


def join(pieces: Sequence[Tables]) -> Tables:
    """Tables one after the other, as one: places in trees and parts are counted on."""
    nodes = np.cumsum([0, *(len(piece.skip) for piece in pieces)])
    parts = np.cumsum([0, *(len(piece.shape) for piece in pieces)])
    joined = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in Tables._fields}
    joined["skip"] += np.repeat(nodes[:-1], np.diff(nodes))
    joined["leaf"] += np.where(joined["leaf"] >= 0, np.repeat(parts[:-1], np.diff(nodes)), 0)
    return Tables(**joined)
