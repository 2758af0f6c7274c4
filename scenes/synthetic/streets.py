"""A street driven through: lane markings, house fronts, parked cars and trees, and three cars in traffic.

The camera drives in the right lane at about 23 km/h. One car comes towards it, one leads at another speed, and one
crosses at the junction ahead, in front of which the lead car has already passed.
"""

import math
from collections.abc import Callable

import numpy as np

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
from inspatio_gym.scenes.synthetic.world import Lighting, SyntheticWorld
from inspatio_gym.types import Pose

ROAD, KERB, PAVEMENT = 11.0, 0.14, 3.2
"""Widths of road and pavement and the height of the kerb, metres; the road's middle is x = 0."""
NEAR, FAR = -60.0, 150.0
JUNCTION, SIDE_ROAD = 40.0, 9.0
"""Where the side road's middle meets the street, and its width."""
LANE = 1.75
_WALLS = (
    ("#8c4a36", "#b8694c"),
    ("#c8b48c", "#e2d2ac"),
    ("#7d8a93", "#a8b4ba"),
    ("#b77a52", "#d6a077"),
    ("#a39a86", "#c9c1ac"),
    ("#6d4438", "#8f5f4c"),
    ("#b9a0a0", "#dcc6c2"),
    ("#6f8570", "#98ac95"),
)
_TRIMS = ("#e6e0d2", "#3d3a36", "#c9b89a", "#f0ece2")
PAINTS = ("#a82a24", "#23508f", "#d9d6cf", "#2b2d31", "#c9962e", "#2f6e52", "#7a8791", "#7d2f4e")


def _ground(rng: np.random.Generator) -> list[Part]:
    """Road, side road, pavements with kerbs and four corners, and the land beyond."""
    seeds = [int(s) for s in rng.integers(1, 10_000, 5)]
    start = JUNCTION - SIDE_ROAD / 2 - 4.6
    asphalt = Material(tx.ROAD, "#3e3f42", "#5d5d5f", c="#e4e2da", length=(4.0, start - NEAR), seed=seeds[0])
    plain = Material(tx.PLASTER, "#3c3d40", "#5e5e60", length=(0.5, 0.5), seed=seeds[1])
    slabs = Material(tx.BRICKS, "#7d7870", "#a8a298", c="#4c4842", length=(0.9, 0.6), seed=seeds[2])
    stone = Material(tx.BRICKS, "#8d8a84", "#b4b0a8", c="#55524c", length=(0.8, 0.3), seed=seeds[3])
    grass = Material(tx.PLASTER, "#3d5428", "#6d8444", length=(1.6, 1.6), seed=seeds[4])
    parts = [
        box((0, (NEAR + FAR) / 2, -0.05), (ROAD, FAR - NEAR, 0.1), asphalt),
        box((0, JUNCTION, -0.054), (240, SIDE_ROAD, 0.1), plain),
        box((0, 0, -0.16), (700, 700, 0.1), grass),
    ]
    for side in (-1, 1):
        for low, high in ((NEAR, JUNCTION - SIDE_ROAD / 2), (JUNCTION + SIDE_ROAD / 2, FAR)):
            middle, length = (low + high) / 2, high - low
            x = side * (ROAD / 2 + PAVEMENT / 2 + 0.08)
            parts.append(box((x, middle, KERB / 2), (PAVEMENT - 0.16, length, KERB), slabs))
            parts.append(box((side * (ROAD / 2 + 0.08), middle, KERB / 2), (0.16, length, KERB + 0.01), stone))
    return parts


def house(side: int, low: float, high: float, rng: np.random.Generator, front: float | None = None) -> list[Part]:
    """A front on one side between two distances: walls, a roof or a cornice, perhaps an awning or balconies."""
    wall = _WALLS[int(rng.integers(len(_WALLS)))]
    trim = _TRIMS[int(rng.integers(len(_TRIMS)))]
    seed, style = int(rng.integers(1, 10_000)), int(rng.integers(6))
    storeys = int(rng.integers(2, 5))
    storey, deep = rng.uniform(2.9, 3.4), 9.0
    tall = storeys * storey + 0.7
    near = (ROAD / 2 + PAVEMENT if front is None else front) + rng.uniform(0.0, 0.35)
    x, y, wide = side * (near + deep / 2), (low + high) / 2, high - low
    facade = Material(tx.FACADE, *wall, c=trim, length=(rng.uniform(1.9, 2.6), storey), seed=seed)
    stone = Material(tx.PLASTER, trim, trim, length=(0.4, 0.4), seed=seed)
    tiles = Material(tx.BRICKS, "#5a2f26", "#8a4a38", c="#33201a", length=(0.5, 0.3), seed=seed)
    parts = [box((x, y, tall / 2), (deep, wide - 0.02, tall), facade)]
    parts.append(box((side * (near + 0.1), y, tall - 0.12), (0.7, wide, 0.26), stone))
    if style < 3:
        parts.append(box((x, y, tall + 1.5), (deep + 0.5, wide, 3.0), tiles, top=(0.0, 1.0)))
        parts.append(box((x + side * 1.5, y + 0.2 * wide, tall + 2.6), (0.8, 0.8, 2.4), tiles))
    if style in (1, 4):
        cloth = Material(tx.STRIPES, PAINTS[seed % len(PAINTS)], "#efe8d8", c="#efe8d8", length=(0.5, 0.5), seed=seed)
        parts.append(box((side * (near - 0.55), y, 2.75), (1.3, 0.75 * wide, 0.5), cloth, top=(0.15, 1.0)))
    if style in (2, 3, 5):
        rail = Material(tx.STRIPES, "#26282b", "#4b4f54", c="#26282b", length=(0.24, 1.0), seed=seed)
        for floor in range(1, storeys):
            high_ = 0.45 + floor * storey
            parts.append(box((side * (near - 0.4), y, high_ + 0.5), (0.9, 2.2, 0.95), rail))
            parts.append(box((side * (near - 0.4), y, high_), (1.0, 2.4, 0.12), stone))
    return parts


def _row(side: int, rng: np.random.Generator) -> list[Thing]:
    """Houses wall to wall along one side, but for the side road, and along the side road's ends."""
    things = []
    for low, high in ((NEAR, JUNCTION - SIDE_ROAD / 2 - PAVEMENT), (JUNCTION + SIDE_ROAD / 2 + PAVEMENT, FAR)):
        y = low
        while y < high - 4:
            end = min(high, y + rng.uniform(8.0, 14.0))
            end = high if high - end < 5 else end
            things.append(Thing("house", tuple(house(side, y, end, rng))))
            y = end
    things.append(Thing("house", tuple(house(side, JUNCTION - 16, JUNCTION + 16, rng, front=52.0))))
    return things


def car(paint: str, seed: int, estate: bool = False) -> tuple[Part, ...]:
    """A car that points along +y with its wheels on z = 0: body, cabin, roof, wheels, bumpers."""
    body = Material(tx.CAR, paint, "#f0e6c0", seed=seed)
    glass = Material(tx.STRIPES, "#141c22", "#33424c", c="#0c0e10", length=(1.45, 1.0), seed=seed)
    rubber = Material(tx.PLASTER, "#111113", "#2e2e32", length=(0.1, 0.1), seed=seed)
    rim = Material(tx.STRIPES, "#8f949a", "#c4c8cc", c="#3c3e42", length=(0.16, 0.16), seed=seed)
    flat = rotation(0, 0, 90)
    back, long, taper = (-0.55, 3.1, (0.8, 0.82)) if estate else (-0.35, 2.5, (0.78, 0.6))
    parts = [
        box((0, 0, 0.56), (1.78, 4.3, 0.62), body, top=(0.96, 0.97)),
        box((0, back, 1.14), (1.62, long, 0.56), glass, top=taper),
        box((0, back, 1.435), (1.62 * taper[0] - 0.02, long * taper[1] - 0.05, 0.05), body),
        box((0, 2.12, 0.42), (1.7, 0.16, 0.2), rubber),
        box((0, -2.12, 0.42), (1.7, 0.16, 0.2), rubber),
    ]
    for sx in (-1, 1):
        for sy in (-1.32, 1.32):
            parts.append(tube((sx * 0.82, sy, 0.33), (0.66, 0.66, 0.2), rubber, turn=flat))
            parts.append(tube((sx * 0.9, sy, 0.33), (0.4, 0.4, 0.06), rim, turn=flat))
    return tuple(parts)


def tree(x: float, y: float, size: float, rng: np.random.Generator) -> Thing:
    bark = Material(tx.PLASTER, "#3a2c20", "#6b5642", length=(0.12, 0.12), seed=int(rng.integers(1000)))
    tone = (("#1f4a1c", "#5d8f38"), ("#2c5a22", "#86a33f"), ("#5d5418", "#a89a3a"))[int(rng.integers(3))]
    leaf = Material(tx.LEAVES, *tone, c="#c2d07a", length=(0.12, 0.12), seed=int(rng.integers(1000)))
    parts = [tube((x, y, 1.5 + KERB), (0.28, 0.28, 3.0), bark, top=(0.7, 0.7))]
    for k in range(26):
        turn, out = k * 2.4 + rng.uniform(0, 1), size * 0.5 * math.sqrt(k / 26)
        tuft = size * rng.uniform(0.26, 0.42)
        high = 3.0 + 0.55 * size + rng.uniform(-0.5, 0.5) * (size - 1.2 * out)
        parts.append(ball((x + out * math.cos(turn), y + out * math.sin(turn), high), (tuft, tuft, 0.85 * tuft), leaf))
    return Thing("tree", tuple(parts))


def _lamp_post(side: int, y: float) -> Thing:
    iron = Material(tx.PLASTER, "#22262a", "#41484e", length=(0.2, 0.2), seed=3)
    x = side * (ROAD / 2 + 0.45)
    return Thing(
        "lamp post",
        (
            tube((x, y, 2.6), (0.14, 0.14, 5.2), iron, top=(0.6, 0.6)),
            tube((x - side * 0.6, y, 5.15), (0.08, 0.08, 1.3), iron, turn=rotation(0, 0, 90)),
            box((x - side * 1.2, y, 5.08), (0.5, 0.22, 0.12), iron, top=(0.8, 0.8)),
            box(
                (x - side * 0.09, y, 2.5),
                (0.03, 0.5, 0.9),
                Material(tx.PICTURE, "#d8a030", "#e8d8b0", c="#2a2a2a", seed=int(abs(y))),
                opaque=False,
            ),
        ),
    )


def _sign(side: int, y: float, seed: int) -> Thing:
    pole = Material(tx.PLAIN, "#7d8286")
    face = Material(tx.CHECKS, ("#b02018", "#1f4f9c", "#c88a18")[seed % 3], "#f2f0e8", length=(0.5, 0.6), seed=seed)
    x = side * (ROAD / 2 + 0.35)
    return Thing(
        "sign",
        (
            tube((x, y, 1.3), (0.07, 0.07, 2.6), pole),
            tube((x, y - 0.05, 2.45), (0.66, 0.66, 0.04), face, turn=rotation(0, 90)),
        ),
    )


def straight(x: float, y: float, yaw_deg: float, speed: float) -> Callable[[float], Pose]:
    """Uniform motion along the car's own +y, with the slight nod of its springs."""
    heading = rotation(yaw_deg)

    def motion(t: float) -> Pose:
        position = np.array([x, y, 0.01]) + heading @ [0.0, speed * t, 0.0]
        return rigid(heading @ rotation(0, 0.35 * math.sin(5.2 * t + x)), position)

    return motion


def _path(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Drives ahead in the right lane: gentle steering, small bumps, a slightly lowered gaze."""
    phase = rng.uniform(0, 2 * math.pi, 4)
    speed, height = 6.3 + rng.uniform(-0.3, 0.3), 1.55

    def across(t: float) -> float:
        return LANE + 0.3 * math.sin(1.5 * t + phase[0]) - 0.3 * math.sin(phase[0])

    def path(t: float) -> Pose:
        along = speed * t + 0.35 * math.sin(1.1 * t)
        bump = 0.022 * math.sin(9.0 * t + phase[1]) + 0.03 * math.sin(3.1 * t + phase[2])
        steer = -math.degrees(math.atan2(0.45 * math.cos(1.5 * t + phase[0]), speed))
        yaw = 0.8 * steer + 2.6 * math.sin(1.25 * t + phase[3])
        pitch = -2.0 + 0.35 * math.sin(9.0 * t + phase[1] + 0.6)
        return looking((across(t), along, height + bump), yaw, pitch, 0.5 * math.sin(4.0 * t + phase[2]))

    return path


def high_street(seed: int = 0) -> SyntheticWorld:
    """A street 19 m from front to front with a junction and three moving cars; 84 frames at 24 frames a second."""
    rng = np.random.default_rng([2, seed])
    things = [Thing("ground", tuple(_ground(rng))), *_row(-1, rng), *_row(1, rng)]
    crossing = (JUNCTION - SIDE_ROAD / 2 - 6.0, JUNCTION + SIDE_ROAD / 2 + 3.0)
    for side in (-1, 1):
        y = -22.0 + rng.uniform(0, 4)
        while y < 110:
            clear = crossing[0] < y + 2.5 and y - 2.5 < crossing[1]
            if not clear and rng.uniform() < 0.62:
                paint, seed_ = PAINTS[int(rng.integers(len(PAINTS)))], int(rng.integers(1, 1000))
                pose = rigid(rotation(180.0 * (side < 0) + rng.uniform(-1.5, 1.5)), (side * (ROAD / 2 - 1.08), y, 0.0))
                things.append(Thing("parked car", tuple(placed(car(paint, seed_, rng.uniform() < 0.4), pose))))
            y += rng.uniform(5.4, 8.0)
        y = -18.0 + rng.uniform(0, 6)
        while y < 105:
            if not (crossing[0] - 1 < y < crossing[1] + 1):
                things.append(tree(side * (ROAD / 2 + rng.uniform(0.9, 1.3)), y, rng.uniform(2.2, 3.2), rng))
            y += rng.uniform(9.0, 15.0)
        things += [
            _lamp_post(side, float(y)) for y in np.arange(-16 + 5 * side, 110, 24) if not crossing[0] < y < crossing[1]
        ]
        things.append(_sign(side, JUNCTION - SIDE_ROAD / 2 - 2.2, int(rng.integers(100))))
    paints = [PAINTS[(k + int(rng.integers(3))) % len(PAINTS)] for k in (0, 3, 4)]
    seeds = [int(s) for s in rng.integers(1, 1000, 3)]
    speeds = rng.uniform(-0.5, 0.5, 3)
    things += [
        Thing("oncoming car", car(paints[0], seeds[0]), straight(-LANE, 38.0, 180.0, 8.0 + speeds[0])),
        Thing("leading car", car(paints[1], seeds[1], True), straight(LANE, 14.5, 0.0, 7.4 + speeds[1])),
        Thing("crossing car", car(paints[2], seeds[2]), straight(-17.0, JUNCTION - 2.0, -90.0, 8.5 + speeds[2])),
    ]
    return SyntheticWorld(
        "street",
        seed,
        caption="Driving down a sunny street of old houses: one car leads, one comes towards us, one crosses ahead.",
        objects=things,
        path=_path(rng),
        duration=3.5,
        fov_deg=66,
        lighting=Lighting(
            sun=(-0.45, -0.5, 0.62),
            sun_colour="#ffe2b4",
            sun_power=1.9,
            sun_radius_deg=0.7,
            sky_axis=(0, 0, 1),
            sky_colour="#c4d8f4",
            ground_colour="#7d7468",
            sky_power=0.75,
            contact=1.2,
        ),
        radius=600.0,
    )
