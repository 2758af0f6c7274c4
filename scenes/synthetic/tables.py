"""A table top filmed from close by: balls, blocks and cans fall on it, roll, tumble and bump into each other and into what
stands there. `physics.bake` makes their poses once, when the world is made.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from inspatio_gym.scenes.synthetic import furniture, physics
from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.interiors import arc, ball_skin, daylight, shell
from inspatio_gym.scenes.synthetic.shapes import BOX, CYLINDER, ELLIPSOID
from inspatio_gym.scenes.synthetic.solids import Material, Part, Thing, Vector, ball, box, placed, rigid, rotation, tube
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Pose

_PAINTS = ("#c8402e", "#2f6fb0", "#e0b030", "#3f8a4a", "#e8e2d4", "#7a4a8c", "#30343a", "#d87838")
_NAMES = {ELLIPSOID: "ball", BOX: "block", CYLINDER: "can"}
_DURATION = 3.5
_TALLEST = 0.32  # metres that no still life exceeds


def _paint(rng: np.random.Generator) -> str:
    return _PAINTS[int(rng.integers(len(_PAINTS)))]


def _top(rng: np.random.Generator) -> Material:
    """Wood, a cloth or stone."""
    kind, seed = int(rng.integers(3)), int(rng.integers(1000))
    if kind == 0:
        return furniture.wood(seed, seed % 3 == 0)
    if kind == 1:
        return Material(tx.CHECKS, _paint(rng), "#ece4d4", length=(rng.uniform(0.05, 0.15),) * 2, seed=seed)
    return Material(tx.PLASTER, "#8d8a84", "#d4d0c8", length=(0.2, 0.2), seed=seed)


def _standing(rng: np.random.Generator) -> Part:
    """Something on the table that stays where it is, around the origin with its foot at z = 0: a book, a mug, a box."""
    kind, seed = int(rng.integers(4)), int(rng.integers(1000))
    glaze = Material(tx.STRIPES, _paint(rng), "#efe8d8", c=_paint(rng), length=(rng.uniform(0.03, 0.1), 0.1), seed=seed)
    turn = rotation(rng.uniform(-90, 90))
    if kind == 0:
        size = (rng.uniform(0.13, 0.2), rng.uniform(0.18, 0.26), rng.uniform(0.02, 0.09))
        return box((0, 0, size[2] / 2), size, glaze, turn=turn)
    if kind == 1:
        wide, high = rng.uniform(0.07, 0.1), rng.uniform(0.08, 0.3)
        return tube((0, 0, high / 2), (wide, wide, high), glaze)
    if kind == 2:
        wide = rng.uniform(0.1, 0.16)
        fruit = Material(tx.PLASTER, _paint(rng), "#f0a040", length=(0.05, 0.05), seed=seed)
        return ball((0, 0, wide / 2), (wide, wide, wide), fruit)
    size = (rng.uniform(0.06, 0.14), rng.uniform(0.06, 0.14), rng.uniform(0.1, 0.26))
    return box((0, 0, size[2] / 2), size, Material(tx.RUG, _paint(rng), "#e8d8b8", c=_paint(rng), seed=seed), turn=turn)


def _body(rng: np.random.Generator) -> Part:
    """Something that falls or rolls, around the origin."""
    kind, seed = int(rng.integers(5)), int(rng.integers(1000))
    coat = Material(tx.CHECKS, _paint(rng), _paint(rng), length=(rng.uniform(0.015, 0.05),) * 2, seed=seed)
    if kind < 2:
        wide = rng.uniform(0.05, 0.13)
        return ball((0, 0, 0), (wide, wide, wide), ball_skin(rng))
    if kind == 2:
        side = rng.uniform(0.04, 0.09)
        return box((0, 0, 0), (side, side, side), coat)
    if kind == 3:
        return box((0, 0, 0), tuple(rng.uniform(0.03, 0.14, 3)), coat)
    wide = rng.uniform(0.05, 0.09)
    label = Material(tx.STRIPES, _paint(rng), "#e8e2d4", c=_paint(rng), length=(0.05, 0.1), seed=seed)
    return tube((0, 0, 0), (wide, wide, rng.uniform(0.06, 0.15)), label)


class _Start(NamedTuple):
    """A solid as the simulation begins: where it is, how it is turned (a quaternion) and how fast it is."""

    part: Part
    place: Vector
    turn: Vector
    speed: Vector


def _standing_still(part: Part, at: Vector) -> _Start:
    """An obstacle, turned about z alone, in a frame at a place."""
    yaw = 0.0 if part.turn is None else math.atan2(part.turn[1, 0], part.turn[0, 0])
    return _Start(part, at + part.centre, _quaternion(yaw), np.zeros(3))


def _quaternion(yaw: float) -> Vector:
    return np.array([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)])


def _rows(starts: Sequence[_Start], rng: np.random.Generator) -> physics.Bodies:
    return physics.Bodies(
        shape=np.array([start.part.shape for start in starts]),
        half=np.array([start.part.size for start in starts], float) / 2,
        place=np.stack([start.place for start in starts]),
        turn=np.stack([start.turn for start in starts]),
        speed=np.stack([start.speed for start in starts]),
        spin=np.zeros((len(starts), 3)),
        bounce=rng.uniform(0.15, 0.6, len(starts)),
        grip=rng.uniform(0.3, 0.7, len(starts)),
    )


def _free(place: Vector, reach: float, taken: list[tuple[Vector, float]]) -> bool:
    """Whether a ball there touches none of the others; all in the plane of the table, or all in space."""
    return all(np.linalg.norm(place - other) > reach + radius + 0.005 for other, radius in taken)


def _begin(size: Vector, surface: float, taken: list[tuple[Vector, float]], rng: np.random.Generator) -> list[_Start]:
    """6 to 11 bodies: some balls roll over the table from the start, the rest is about to fall on it."""
    starts: list[_Start] = []
    around: list[tuple[Vector, float]] = []
    while len(starts) < 6 or (len(starts) < 11 and rng.uniform() < 0.7):
        part = _body(rng)
        half = np.array(part.size) / 2
        reach = float(half[0] if part.shape == ELLIPSOID else np.linalg.norm(half))
        place, speed = np.array([*(rng.uniform(-0.4, 0.4, 2) * size), surface + half[2] + 1e-4]), np.zeros(3)
        if part.shape == ELLIPSOID and rng.uniform() < 0.5:
            turn, free = _quaternion(rng.uniform(0, 6.28)), _free(place[:2], reach, taken)
            speed[:2] = rng.uniform(0.3, 1.0) * rotation(rng.uniform(-40, 40))[:2, 0] * (1 if place[0] < 0 else -1)
        else:
            place[2] = surface + reach + rng.uniform(_TALLEST, 0.9)
            turn, free = rng.uniform(-1, 1, 4), True
            turn /= math.sqrt(float(turn @ turn))
        if free and _free(place, reach, around):
            around.append((place, reach))
            starts.append(_Start(part, place, turn, speed))
    return starts


def _path(surface: float, rng: np.random.Generator) -> Callable[[float], Pose]:
    """An arc around the middle of the table, about a metre away."""
    centre = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), surface + 0.06])
    away, lift, side = rng.uniform(0.95, 1.35), np.radians(rng.uniform(22, 42)), np.radians(rng.uniform(-25, 25))
    ahead = np.array([math.sin(side) * math.cos(lift), -math.cos(side) * math.cos(lift), math.sin(lift)])
    sweep = rng.uniform(15, 35) * (1 if side < 0 else -1)
    return arc(centre, centre + away * ahead, sweep, _DURATION, rng, still=0.4)


def table(seed: int = 0) -> SyntheticWorld:
    """A table in a room with 6 to 11 bodies in motion; 84 frames at 24 frames a second."""
    rng = np.random.default_rng([3, seed])
    high, size = rng.uniform(0.6, 0.8), rng.uniform([1.1, 0.8], [1.7, 1.2])
    wall, front = rng.uniform(1.6, 2.6), rng.uniform(1.2, 2.4)
    surface, nowhere = high + 0.005, np.zeros(3)
    top = box((0, 0, high - 0.02), (*size, 0.05), _top(rng))
    legs = furniture.table(0, 0, size[0], size[1], high, int(rng.integers(1000)))[1:]
    chair = furniture.chair(rng.uniform(-0.5, 0.5), 0.5 * size[1] + 0.35, 180, int(rng.integers(1000)))
    still = [
        shell((-wall, -3.0), (wall, front), rng.uniform(2.4, 2.9), rng),
        Thing("table", (top, *legs)),
        Thing("chair", tuple(chair)),
        Thing("shelf", tuple(furniture.shelf(rng.uniform(-0.8, 0.8), front - 0.18, 1.3, rng.uniform(1.3, 2.0), rng))),
    ]
    for x in rng.uniform(0.9, 1.4, 2) * [-1, 1]:
        frame = furniture.picture(x, front - 0.02, 1.5, 0.5, 0.6, int(rng.integers(1000)), side=False)
        still.append(Thing("picture", (frame,)))
    floor = box((0, 0, -0.5), (2 * wall, 8.0, 1.0), top.material)
    obstacles = [_standing_still(part, nowhere) for part in (floor, top, *legs, *chair)]
    taken: list[tuple[Vector, float]] = []
    for _ in range(int(rng.integers(2, 6))):
        part = _standing(rng)
        place, reach = np.array([*(rng.uniform(-0.42, 0.42, 2) * size), surface]), math.hypot(*part.size[:2]) / 2
        if _free(place[:2], reach, taken):
            taken.append((place[:2], reach))
            still.append(Thing("still life", tuple(placed([part], rigid(np.eye(3), place)))))
            obstacles.append(_standing_still(part, place))
    starts = _begin(size, surface, taken, rng)
    poses = physics.bake(_rows(starts, rng), _rows(obstacles, rng), round(_DURATION * physics.RATE) + 1)
    moving = [
        Thing(_NAMES[start.part.shape], (start.part,), partial(physics.pose_at, poses, k))
        for k, start in enumerate(starts)
    ]
    return SyntheticWorld(
        "table",
        seed,
        caption="A table top filmed from close by: balls, blocks and cans fall on it, roll, tumble and collide.",
        objects=[*still, *moving],
        path=_path(surface, rng),
        duration=_DURATION,
        fov_deg=float(rng.uniform(52, 66)),
        lighting=daylight(rng),
        radius=30.0,
    )
