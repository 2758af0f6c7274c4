"""What a synthetic world is made of: solids with a material, grouped into things that may move by formula.

World axes are x right, y ahead, z up, in metres. `Solids` turns things into the arrays that the tracer reads, at any
moment; what stands still is prepared once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.scenes.synthetic.tracer import BOX, CYLINDER, ELLIPSOID, Tables
from inspatio_gym.types import Pose

Vector = NDArray[np.float64]
BACKDROP = 0
"""The object id of the dome around a world."""


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


class _Tree(NamedTuple):
    """Boxes around boxes, in depth-first order; see `Tables`."""

    low: Vector
    high: Vector
    skip: NDArray[np.int64]
    leaf: NDArray[np.int64]


def _area(low: Vector, high: Vector) -> Vector:
    x, y, z = np.moveaxis(high - low, -1, 0)
    return x * y + y * z + z * x


def _tree(low: Vector, high: Vector, members: NDArray[np.int64]) -> _Tree:
    """Split boxes (P, 3) where the surface area times the number of members of both halves is least, down to one each.

    Ref: Goldsmith and Salmon, Automatic creation of object hierarchies for ray tracing, 1987.
    """
    nodes: list[tuple[Vector, Vector, int, int]] = []

    def cut(members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        best = (np.inf, members[:1], members[1:])
        count = np.arange(1, len(members))
        for axis in range(3):
            order = members[np.argsort(low[members, axis] + high[members, axis], kind="stable")]
            first = _area(np.minimum.accumulate(low[order]), np.maximum.accumulate(high[order]))[:-1]
            back = order[::-1]
            second = _area(np.minimum.accumulate(low[back]), np.maximum.accumulate(high[back]))[::-1][1:]
            cost = first * count + second * count[::-1]
            k = int(cost.argmin())
            if cost[k] < best[0]:
                best = (float(cost[k]), order[: k + 1], order[k + 1 :])
        return best[1], best[2]

    def grow(members: NDArray[np.int64]) -> None:
        place = len(nodes)
        leaf = int(members[0]) if len(members) == 1 else -1
        nodes.append((low[members].min(axis=0), high[members].max(axis=0), 0, leaf))
        if leaf < 0:
            for half in cut(members):
                grow(half)
        nodes[place] = (*nodes[place][:2], len(nodes), leaf)

    if len(members):
        grow(members)
    return _Tree(*(np.array([node[k] for node in nodes]) for k in range(4)))


class Solids:
    """The parts of some things as arrays, at any moment."""

    def __init__(self, things: Sequence[Thing]):
        self.things = tuple(things)
        parts = [part for thing in things for part in thing.parts]
        self.owner = np.array([*(1 + k for k, thing in enumerate(things) for _ in thing.parts), BACKDROP], np.int32)
        """(P + 1,) the object id of each part, that of the dome last, where index -1 finds it."""
        moves = np.array([thing.motion is not None for thing in things])[self.owner[:-1] - 1]
        self._moving = np.flatnonzero(moves)
        self._turn = np.stack([np.eye(3) if part.turn is None else part.turn for part in parts])
        self._centre = np.array([part.centre for part in parts], float)
        self._half = np.array([part.size for part in parts], float) / 2
        self._fixed = {
            "shape": np.array([part.shape for part in parts]),
            "half": self._half,
            "top": np.array([part.top for part in parts], float),
            "opaque": np.array([part.opaque for part in parts]),
            "material": np.array([part.material.row() for part in parts]),
        }
        self._still = _tree(*self._bounds(self._turn, self._centre), np.flatnonzero(~moves))

    def at(self, time_s: float) -> Tables:
        """The arrays at a moment: the tree of what stands still, and after it that of what moves."""
        turn, centre = self._turn.copy(), self._centre.copy()
        poses = [thing.motion(time_s) if thing.motion else np.eye(4) for thing in self.things]
        for k in self._moving:
            pose = poses[self.owner[k] - 1]
            turn[k] = pose[:3, :3] @ turn[k]
            centre[k] = pose[:3, :3] @ centre[k] + pose[:3, 3]
        still, moving = self._still, _tree(*self._bounds(turn, centre), self._moving)
        return Tables(
            rotation=turn,
            centre=centre,
            low=np.concatenate([still.low.reshape(-1, 3), moving.low.reshape(-1, 3)]),
            high=np.concatenate([still.high.reshape(-1, 3), moving.high.reshape(-1, 3)]),
            skip=np.concatenate([still.skip, moving.skip + len(still.skip)]).astype(np.int64),
            leaf=np.concatenate([still.leaf, moving.leaf]).astype(np.int64),
            **self._fixed,
        )

    def _bounds(self, turn: Vector, centre: Vector) -> tuple[Vector, Vector]:
        reach = (np.abs(turn) @ self._half[:, :, None])[:, :, 0] + 1e-6
        return centre - reach, centre + reach
