"""What indoor worlds share: walls drawn by lot, a hand that holds the camera, and rooms that are furnished by lot.

`interior(seed)` is a room of any size: furniture along the walls and in the middle, each where nothing else stands; balls
roll, toy vans circle, lamps swing and somebody may walk to and fro. The camera stands near the front wall and films along
an arc. `rooms.room` takes one of these for most seeds.
"""

import math
from collections.abc import Callable

import numpy as np

from inspatio_gym.scenes.synthetic import furniture
from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.solids import (
    Material,
    Part,
    Thing,
    ball,
    box,
    looking,
    placed,
    rigid,
    rotation,
    tube,
)
from inspatio_gym.scenes.synthetic.walkers import to_and_fro, walker
from inspatio_gym.scenes.synthetic.world import Lighting, SyntheticWorld
from inspatio_gym.types import Pose

_WALLS = (
    ("#8f9f8c", "#b6c2ac"), ("#b08a6a", "#cfae8c"), ("#7d93a8", "#a9bac8"), ("#c2a36b", "#dcc695"),
    ("#a4a09a", "#d2cec6"), ("#9c7f86", "#c4a8ac"), ("#6f8577", "#9fb3a2"), ("#d2ccc0", "#ece8de"),
)  # fmt: skip
_FLOORS = (("#7a4b28", "#c08a52", "#2a1a0e"), ("#4a3a30", "#7a6450", "#1a1410"), ("#a08a6a", "#cdb894", "#5a4a36"))
_CLOTHS = (("#8c3b2e", "#c9705a"), ("#3c5663", "#6b929e"), ("#6b5a2f", "#b09a55"), ("#5b3a66", "#9670a3"))
_BALLS = (("#d03a2a", "#f2efe6", "#2b57a8"), ("#e0a020", "#303438", "#f0f0e8"), ("#2f7a4a", "#e8e0c8", "#c04030"))


def wall_material(rng: np.random.Generator) -> Material:
    """Plaster, wallpaper, brick or panels."""
    kind, pair, seed = int(rng.integers(4)), _WALLS[int(rng.integers(len(_WALLS)))], int(rng.integers(1, 10_000))
    if kind == 0:
        return Material(tx.PLASTER, *pair, length=(0.7, 0.7), seed=seed)
    if kind == 1:
        return Material(tx.STRIPES, *pair, c="#e8dcc0", length=(rng.uniform(0.15, 0.5), 1.0), seed=seed)
    if kind == 2:
        return Material(tx.BRICKS, "#8a4632", "#b5694a", c="#c8b8a4", length=(0.27, 0.09), seed=seed)
    return Material(tx.CHECKS, *pair, length=(rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)), seed=seed)


def floor_material(rng: np.random.Generator) -> Material:
    """Boards, tiles or carpet."""
    kind, tone, seed = int(rng.integers(3)), _FLOORS[int(rng.integers(len(_FLOORS)))], int(rng.integers(1, 10_000))
    if kind == 0:
        return Material(tx.PLANKS, *tone, length=(rng.uniform(0.1, 0.25), 1.3), seed=seed)
    if kind == 1:
        return Material(tx.BRICKS, tone[1], "#d8d0c4", c=tone[2], length=(rng.uniform(0.4, 0.7), 0.45), seed=seed)
    return Material(tx.CHECKS, *_CLOTHS[int(rng.integers(len(_CLOTHS)))], length=(0.4, 0.4), seed=seed)


def shell(low: tuple[float, float], high: tuple[float, float], tall: float, rng: np.random.Generator) -> Thing:
    """Floor, ceiling and four walls around the rectangle low..high; none throws a shadow, so that daylight comes in."""
    (x0, y0), (x1, y1) = low, high
    x, y, wide, deep, thick = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0 + 0.4, y1 - y0 + 0.4, 0.2
    ceiling = Material(tx.PLASTER, "#cfc8ba", "#e6e0d4", length=(1.1, 1.1), seed=int(rng.integers(1, 10_000)))
    parts = [
        box((x, y, -thick / 2), (wide, deep, thick), floor_material(rng), opaque=False),
        box((x, y, tall + thick / 2), (wide, deep, thick), ceiling, opaque=False),
        box((x, y1 + thick / 2, tall / 2), (wide, thick, tall), wall_material(rng), opaque=False),
        box((x, y0 - thick / 2, tall / 2), (wide, thick, tall), wall_material(rng), opaque=False),
        box((x0 - thick / 2, y, tall / 2), (thick, y1 - y0, tall), wall_material(rng), opaque=False),
        box((x1 + thick / 2, y, tall / 2), (thick, y1 - y0, tall), wall_material(rng), opaque=False),
    ]
    return Thing("shell", tuple(parts))


def daylight(rng: np.random.Generator) -> Lighting:
    """From a side and above, with the walls' reflections."""
    azimuth, height = rng.uniform(-0.8, 0.8), rng.uniform(0.6, 1.1)
    return Lighting(
        sun=(math.cos(azimuth) * (1 if rng.uniform() < 0.5 else -1), math.sin(azimuth), height),
        sun_colour=("#ffe6c0", "#fff2e0", "#ffd8a8")[int(rng.integers(3))],
        sun_power=rng.uniform(1.0, 1.6),
        sun_radius_deg=rng.uniform(1.5, 4.0),
        sky_axis=(rng.uniform(-0.6, 0.6), -0.3, 0.6),
        sky_colour="#eef4ff",
        ground_colour="#b09a84",
        sky_power=rng.uniform(0.55, 0.8),
        contact=0.6,
    )


def hand(rng: np.random.Generator, still: float = 1.0) -> Callable[[float], tuple[np.ndarray, float, float]]:
    """The tremor of a hand at a time: metres (3,), and degrees of yaw and pitch."""
    phase, tempo = rng.uniform(0, 2 * math.pi, (5, 2)), rng.uniform(0.9, 1.25, 5)
    sizes = np.array([0.012, 0.010, 0.012, 0.35, 0.3]) * still

    def tremor(t: float) -> tuple[np.ndarray, float, float]:
        swing = np.sin(2 * math.pi * 0.55 * tempo * t + phase[:, 0])
        shake = sizes * (swing + 0.3 * np.sin(2 * math.pi * 1.7 * tempo * t + phase[:, 1]))
        return shake[:3], float(shake[3]), float(shake[4])

    return tremor


def arc(
    centre: np.ndarray,
    start: np.ndarray,
    sweep_deg: float,
    duration: float,
    rng: np.random.Generator,
    still: float = 1.0,
) -> Callable[[float], Pose]:
    """A camera carried by hand around a point from a start, that keeps looking about there."""
    tremor, away = hand(rng, still), start - centre
    rise, drift = rng.uniform(-0.08, 0.08) * away[1], rng.uniform(-6, 6)

    def path(t: float) -> Pose:
        s = min(max(t / duration, -0.5), 1.5)
        ease = s * s * (3 - 2 * s) if 0 < s < 1 else max(0.0, min(1.0, s))
        shake, yaw, pitch = tremor(t)
        position = centre + rotation(sweep_deg * ease) @ away + [0, 0, rise * math.sin(math.pi * ease)] + shake
        ahead = centre - position
        yaw += math.degrees(math.atan2(-ahead[0], ahead[1])) + drift * math.sin(2 * math.pi * ease)
        pitch += math.degrees(math.atan2(ahead[2], math.hypot(ahead[0], ahead[1])))
        return looking(position, yaw, pitch, 0.8 * math.sin(2 * math.pi * ease))

    return path


def rolling_ball(x0: float, x1: float, y: float, radius: float, speed: float, phase: float, skin: Material) -> Thing:
    """Rolls to and fro between two obstacles without slipping."""

    def motion(t: float) -> Pose:
        span = x1 - x0
        way = (phase * span + speed * t) % (2 * span)
        x = x0 + (way if way < span else 2 * span - way)
        return rigid(rotation(0, 0, math.degrees((x - x0) / radius)), (x, y, radius))

    return Thing("ball", (ball((0, 0, 0), (2 * radius,) * 3, skin),), motion)


def ball_skin(rng: np.random.Generator) -> Material:
    """Sectors of two colours with a band of a third."""
    a, b, c = _BALLS[int(rng.integers(len(_BALLS)))]
    return Material(tx.BALL, a, b, c=c, seed=int(rng.integers(1, 1000)))


def _swinging_lamp(x: float, y: float, tall: float, rng: np.random.Generator) -> Thing:
    """The small-angle pendulum of its cord's length."""
    length, swing_deg, phase = rng.uniform(0.5, 0.9), rng.uniform(6, 16), rng.uniform(0, 6.28)
    shade = ("#c87840", "#5a8a80", "#a84848", "#d0c090")[int(rng.integers(4))]
    cloth = Material(tx.STRIPES, shade, "#f2e4c0", c="#803020", length=(0.16, 0.2), seed=5, glow=0.35)
    parts = (
        tube((0, 0, -length / 2), (0.015, 0.015, length), Material(tx.PLAIN, "#202020")),
        tube((0, 0, -length - 0.11), (0.46, 0.46, 0.24), cloth, top=(0.35, 0.35)),
        ball((0, 0, -length - 0.22), (0.13, 0.13, 0.13), Material(tx.PLAIN, "#fff0c8", glow=2.0)),
    )
    rate = math.sqrt(9.81 / (length + 0.1))

    def motion(t: float) -> Pose:
        angle = swing_deg * math.sin(rate * t + phase)
        return rigid(rotation(25, 0.35 * angle, angle), (x, y, tall))

    return Thing("lamp", parts, motion)


def _at_wall(rng: np.random.Generator) -> tuple[str, float, float, list[Part]]:
    """Something that stands with its back to a wall at y = 0 and faces -y: name, width, depth, parts."""
    kind, seed = int(rng.integers(6)), int(rng.integers(1000))
    cloth = _CLOTHS[int(rng.integers(len(_CLOTHS)))]
    if kind == 0:
        wide, high = rng.uniform(0.9, 1.8), rng.uniform(1.2, 2.3)
        return "shelf", wide, 0.4, furniture.shelf(0, -0.2, wide, high, rng)
    if kind == 1:
        turned = placed(furniture.sofa(0.0, 0.0, cloth, seed), rigid(rotation(90), (0, -0.5, 0)))
        return "sofa", 2.2, 1.0, turned
    if kind == 2:
        return "cabinet", 1.7, 0.6, placed(furniture.cabinet(0, 0, seed), rigid(rotation(-90), (0, -0.3, 0)))
    if kind == 3:
        size = rng.uniform(0.5, 0.9)
        return "plant", size, size, furniture.plant(0, -0.55 * size, size, seed)
    if kind == 4:
        wide, high = rng.uniform(0.8, 1.6), rng.uniform(1.6, 2.2)
        return (
            "wardrobe",
            wide,
            0.65,
            [box((0, -0.32, high / 2), (wide, 0.6, high), furniture.wood(seed, seed % 2 == 0))],
        )
    wide = rng.uniform(0.9, 1.5)
    parts = furniture.table(0, -0.35, wide, 0.6, 0.75, seed)
    return "desk", wide, 0.7, [*parts, *furniture.chair(0, -0.9, rng.uniform(-20, 20), seed + 1)]


def _in_the_middle(rng: np.random.Generator) -> tuple[str, float, list[Part]]:
    """Something to walk around: name, radius, parts about the origin."""
    kind, seed = int(rng.integers(4)), int(rng.integers(1000))
    if kind == 0:
        high = rng.uniform(0.4, 0.75)
        parts = furniture.table(0, 0, rng.uniform(0.9, 1.3), rng.uniform(0.6, 0.8), high, seed)
        return "table", 0.8, [*parts, *furniture.still_life(0, 0, high, seed)]
    if kind == 1:
        return "chair", 0.4, furniture.chair(0, 0, rng.uniform(-180, 180), seed)
    if kind == 2:
        return "plant", 0.4, furniture.plant(0, 0, rng.uniform(0.5, 0.8), seed)
    side = rng.uniform(0.3, 0.6)
    paper = Material(tx.STRIPES, "#8a6a40", "#b09060", c="#5a4428", length=(0.3, 0.3), seed=seed)
    boxes = [box((0, 0, side / 2), (side, side, side), paper, turn=rotation(rng.uniform(0, 90)))]
    return "boxes", side, [*boxes, box((0.05, 0, 1.3 * side), (0.7 * side, 0.6 * side, 0.6 * side), paper)]


def _furnish(half: float, front: float, tall: float, rng: np.random.Generator) -> list[Thing]:
    """Along the front and side walls until they are full, then in the middle where it is free, and pictures above."""
    things = []
    walls = (
        (0.0, (0.0, front), half - 0.4),
        (90.0, (-half, front / 2), front / 2 - 0.9),
        (-90.0, (half, front / 2), front / 2 - 0.9),
    )
    for yaw_deg, middle, reach in walls:
        along = -reach
        while along < reach:
            name, wide, _, parts = _at_wall(rng)
            if along + wide > reach:
                break
            pose = rigid(rotation(yaw_deg), (*middle, 0)) @ rigid(np.eye(3), (along + wide / 2, 0, 0))
            things.append(Thing(name, tuple(placed(parts, pose))))
            along += wide + rng.uniform(0.1, 0.9)
        for _ in range(int(rng.integers(1, 4))):
            width, height = rng.uniform(0.4, 1.0), rng.uniform(0.4, 0.7)
            where = (rng.uniform(-reach, reach), -0.02, rng.uniform(1.55, tall - 0.55))
            frame = furniture.picture(*where, width, height, int(rng.integers(1000)), side=False)
            things.append(Thing("picture", tuple(placed([frame], rigid(rotation(yaw_deg), (*middle, 0))))))
    return things


def interior(seed: int) -> SyntheticWorld:
    """A room drawn by lot, 4.5 to 8 m wide and 5 to 8 m deep; 84 frames at 24 frames a second."""
    rng = np.random.default_rng([4, seed])
    half, front, tall, duration = rng.uniform(2.25, 4.0), rng.uniform(4.0, 6.0), rng.uniform(2.5, 3.2), 3.5
    things = [shell((-half, -2.6), (half, front), tall, rng), *_furnish(half, front, tall, rng)]
    if rng.uniform() < 0.7:
        cloth = _CLOTHS[int(rng.integers(len(_CLOTHS)))]
        carpet = Material(tx.RUG, cloth[0], "#d0c2a2", c="#2a343c", seed=int(rng.integers(1000)))
        things.append(Thing("rug", (box((0, 0.5 * front, 0.006), (half, 0.4 * front, 0.012), carpet),)))
    lanes = list(rng.permutation(np.linspace(0.25 * front, 0.78 * front, 4)))
    for y in lanes[:2]:  # things in two lanes across the room, what moves in the other two
        name, radius, parts = _in_the_middle(rng)
        x = rng.uniform(-1, 1) * max(0.1, half - 1.3 - radius)
        things.append(Thing(name, tuple(placed(parts, rigid(rotation(rng.uniform(-30, 30)), (x, y, 0))))))
    reach = half - 1.3
    radius, speed = rng.uniform(0.1, 0.24), rng.uniform(0.7, 1.8)
    things.append(rolling_ball(-reach, reach, lanes[2], radius, speed, rng.uniform(0, 2), ball_skin(rng)))
    if rng.uniform() < 0.6:
        things.append(walker(to_and_fro((-reach, lanes[3]), (reach, lanes[3]), rng.uniform(0.7, 1.3), rng), rng))
    else:
        radius, speed = rng.uniform(0.1, 0.2), rng.uniform(0.7, 1.8)
        things.append(rolling_ball(-reach, reach, lanes[3], radius, speed, rng.uniform(0, 2), ball_skin(rng)))
    if rng.uniform() < 0.6:
        things.append(_swinging_lamp(rng.uniform(-0.8, 0.8), 0.6 * front, tall, rng))
    centre = np.array([rng.uniform(-0.4, 0.4), 0.55 * front, rng.uniform(0.7, 1.0)])
    start = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-1.6, -0.9), rng.uniform(1.3, 1.7)])
    sweep = rng.uniform(12, 28) * (1 if start[0] < 0 else -1)
    return SyntheticWorld(
        "room",
        seed,
        caption="A furnished room filmed by hand, in which balls roll, lamps swing or somebody walks.",
        objects=things,
        path=arc(centre, start, sweep, duration, rng),
        duration=duration,
        fov_deg=float(rng.uniform(62, 80)),
        lighting=daylight(rng),
        radius=30.0,
    )
