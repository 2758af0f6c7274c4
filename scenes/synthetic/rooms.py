"""A furnished room filmed by hand: a sideways arc that keeps looking at the middle, while a ball rolls, a toy van
drives and a lamp swings."""

import math
from collections.abc import Callable

import numpy as np

from inspatio_gym.scenes.synthetic import furniture
from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.interiors import interior
from inspatio_gym.scenes.synthetic.solids import Material, Part, Thing, ball, box, looking, rigid, rotation, tube
from inspatio_gym.scenes.synthetic.world import Lighting, SyntheticWorld
from inspatio_gym.types import Pose

LEFT, RIGHT, BACK, FRONT, HEIGHT = -2.8, 2.8, -2.6, 4.6, 2.75
"""The room's inner walls and ceiling, metres; the camera starts near the origin and looks towards FRONT."""
_WALLS = (("#8f9f8c", "#b6c2ac"), ("#b08a6a", "#cfae8c"), ("#7d93a8", "#a9bac8"), ("#c2a36b", "#dcc695"))
_FABRICS = (("#8c3b2e", "#c9705a"), ("#3c5663", "#6b929e"), ("#6b5a2f", "#b09a55"), ("#5b3a66", "#9670a3"))


def _shell(rng: np.random.Generator) -> list[Part]:
    """Floor, ceiling, walls, skirting; none of it throws shadows, so that daylight comes in."""
    wall = _WALLS[int(rng.integers(len(_WALLS)))]
    seeds = [int(s) for s in rng.integers(1, 10_000, 6)]
    plaster = Material(tx.PLASTER, *wall, length=(0.7, 0.7), seed=seeds[0])
    paper = Material(tx.STRIPES, *wall, c="#e8dcc0", length=(0.34, 1.0), seed=seeds[1])
    brick = Material(tx.BRICKS, "#8a4632", "#b5694a", c="#c8b8a4", length=(0.27, 0.09), seed=seeds[2])
    floor = Material(tx.PLANKS, "#7a4b28", "#c08a52", c="#2a1a0e", length=(0.17, 1.3), seed=seeds[3])
    ceiling = Material(tx.PLASTER, "#cfc8ba", "#e6e0d4", length=(1.1, 1.1), seed=seeds[4])
    white = Material(tx.PLASTER, "#cfc9bd", "#e9e4da", length=(0.3, 0.3), seed=seeds[5])
    wide, deep = RIGHT - LEFT, FRONT - BACK
    x, y, thick = (LEFT + RIGHT) / 2, (FRONT + BACK) / 2, 0.2
    shell = [
        box((x, y, -thick / 2), (wide + 0.4, deep + 0.4, thick), floor),
        box((x, y, HEIGHT + thick / 2), (wide + 0.4, deep + 0.4, thick), ceiling),
        box((x, FRONT + thick / 2, HEIGHT / 2), (wide + 0.4, thick, HEIGHT), brick),
        box((x, BACK - thick / 2, HEIGHT / 2), (wide + 0.4, thick, HEIGHT), plaster),
        box((LEFT - thick / 2, y, HEIGHT / 2), (thick, deep, HEIGHT), paper),
        box((RIGHT + thick / 2, y, HEIGHT / 2), (thick, deep, HEIGHT), plaster),
        box((x, FRONT - 0.01, 0.06), (wide, 0.02, 0.12), white),
        box((LEFT + 0.01, y, 0.06), (0.02, deep, 0.12), white),
        box((RIGHT - 0.01, y, 0.06), (0.02, deep, 0.12), white),
    ]
    return [Part(p.shape, p.centre, p.size, p.material, opaque=False) for p in shell]


def _rolling_ball(x0: float, x1: float, y: float, radius: float, speed: float, phase: float, seed: int) -> Thing:
    """Rolls to and fro between two obstacles without slipping."""
    skin = Material(tx.BALL, "#d03a2a", "#f2efe6", c="#2b57a8", seed=seed)

    def motion(t: float) -> Pose:
        span = x1 - x0
        way = (phase * span + speed * t) % (2 * span)
        x = x0 + (way if way < span else 2 * span - way)
        return rigid(rotation(0, 0, math.degrees((x - x0) / radius)), (x, y, radius))

    return Thing("ball", (ball((0, 0, 0), (2 * radius, 2 * radius, 2 * radius), skin),), motion)


def _toy_van(centre: tuple[float, float], radius: float, speed: float, phase: float, paint: str, seed: int) -> Thing:
    """Drives in a circle on the carpet."""
    body = Material(tx.CAR, paint, "#f4e8b0", seed=seed)
    glass = Material(tx.CHECKS, "#20303c", "#46606e", length=(0.14, 0.5), seed=seed)
    rubber = Material(tx.PLASTER, "#16161a", "#3a3a40", length=(0.05, 0.05), seed=seed)
    flat = rotation(0, 0, 90)
    parts = [
        box((0, 0, 0.12), (0.24, 0.5, 0.14), body),
        box((0, -0.04, 0.25), (0.23, 0.38, 0.13), glass, top=(0.85, 0.85)),
        box((0, -0.04, 0.325), (0.2, 0.33, 0.02), body),
        *(
            tube((sx * 0.11, sy * 0.15, 0.06), (0.12, 0.12, 0.05), rubber, turn=flat)
            for sx in (-1, 1)
            for sy in (-1, 1)
        ),
    ]

    def motion(t: float) -> Pose:
        turn = phase + speed * t / radius
        position = (centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn), 0.012)
        return rigid(rotation(math.degrees(turn)), position)

    return Thing("toy van", tuple(parts), motion)


def _swinging_lamp(x: float, y: float, length: float, swing_deg: float, phase: float, shade: str) -> Thing:
    """A lamp on a cord from the ceiling: the small-angle pendulum of that length."""
    cord = Material(tx.PLAIN, "#202020")
    cloth = Material(tx.STRIPES, shade, "#f2e4c0", c="#803020", length=(0.16, 0.2), seed=5, glow=0.35)
    bulb = Material(tx.PLAIN, "#fff0c8", glow=2.0)
    parts = (
        tube((0, 0, -length / 2), (0.015, 0.015, length), cord),
        tube((0, 0, -length - 0.11), (0.46, 0.46, 0.24), cloth, top=(0.35, 0.35)),
        ball((0, 0, -length - 0.22), (0.13, 0.13, 0.13), bulb),
    )
    rate = math.sqrt(9.81 / (length + 0.1))

    def motion(t: float) -> Pose:
        angle = swing_deg * math.sin(rate * t + phase)
        return rigid(rotation(25, 0.35 * angle, angle), (x, y, HEIGHT))

    return Thing("lamp", parts, motion)


def _path(rng: np.random.Generator, duration: float) -> Callable[[float], Pose]:
    """An arc to the right that steps in and turns to keep looking at the middle, with the tremor of a hand."""
    start = np.array([-0.95, -1.05, 1.5]) + rng.uniform(-0.08, 0.08, 3)
    wobble = rng.uniform(0, 2 * math.pi, (5, 2))
    tempo = rng.uniform(0.9, 1.25, 5)

    def tremor(k: int, t: float, size: float) -> float:
        slow = math.sin(2 * math.pi * 0.55 * tempo[k] * t + wobble[k, 0])
        return size * (slow + 0.3 * math.sin(2 * math.pi * 1.7 * tempo[k] * t + wobble[k, 1]))

    def path(t: float) -> Pose:
        s = t / duration
        ease = s * s * (3 - 2 * s)
        position = start + np.array([1.75 * ease, 0.65 * math.sin(math.pi * 0.5 * s), 0.06 * math.sin(math.pi * s)])
        position += [tremor(0, t, 0.012), tremor(1, t, 0.01), tremor(2, t, 0.012)]
        ahead = np.array([0.2 - 0.4 * ease, 2.9, 0.74]) - position
        yaw = math.degrees(math.atan2(-ahead[0], ahead[1])) + 8.0 * math.sin(2 * math.pi * s) + tremor(3, t, 0.35)
        pitch = math.degrees(math.atan2(ahead[2], math.hypot(ahead[0], ahead[1]))) + tremor(4, t, 0.3)
        return looking(position, yaw, pitch, 1.2 * math.sin(2 * math.pi * s + wobble[0, 0]) * s)

    return path


def _furnish(rng: np.random.Generator) -> dict[str, list[Part]]:
    """Everything that stands still, by name; places and materials vary with the seed."""
    jitter = rng.uniform(-0.12, 0.12, 8)
    seeds = [int(k) for k in rng.integers(0, 1000, 16)]
    fabric = _FABRICS[seeds[0] % len(_FABRICS)]
    carpet = Material(tx.RUG, fabric[0], "#d0c2a2", c="#2a343c", seed=seeds[1])
    planks = Material(tx.PLANKS, "#5a3a22", "#86603c", c="#1e120a", length=(0.3, 2.4), seed=seeds[2])
    table_x, table_y, table_high = -0.5 + jitter[0], 2.35 + jitter[1], 0.46
    cabinet_y = 2.75 + jitter[2]
    return {
        "shell": _shell(rng),
        "rug": [box((0.15, 2.0, 0.006), (2.7, 2.2, 0.012), carpet)],
        "table": furniture.table(table_x, table_y, 1.15, 0.65, table_high, seeds[3]),
        "still life": furniture.still_life(table_x, table_y, table_high, seeds[4]),
        "chair": furniture.chair(-1.55 + jitter[3], 1.75, -60 + 90 * jitter[4], seeds[5]),
        "shelf": furniture.shelf(1.4 + jitter[5], FRONT - 0.18, 1.25, 2.1, rng),
        "sofa": furniture.sofa(RIGHT - 0.5, 1.85 + jitter[6], fabric, seeds[6]),
        "plant": furniture.plant(-0.3 + jitter[7], FRONT - 0.5, 0.75, seeds[7]),
        "cabinet": furniture.cabinet(LEFT + 0.26, cabinet_y, seeds[8]),
        "window": furniture.window(RIGHT, 1.9, fabric, seeds[9]),
        "pictures": [
            furniture.picture(-1.75 + jitter[0], FRONT - 0.02, 1.65, 0.9, 0.65, seeds[10], side=False),
            furniture.picture(-0.75, FRONT - 0.02, 1.95, 0.5, 0.62, seeds[11], side=False),
            furniture.picture(0.3, FRONT - 0.02, 1.85, 0.45, 0.45, seeds[12], side=False),
            furniture.picture(LEFT + 0.02, cabinet_y, 1.75, 0.8, 0.6, seeds[13], side=True),
            furniture.picture(RIGHT - 0.02, 0.0, 1.7, 0.9, 0.7, seeds[14], side=True),
            furniture.picture(0.9, BACK + 0.02, 1.6, 1.2, 0.8, seeds[15], side=False),
        ],
        "door": [
            box((-1.2, BACK + 0.03, 1.02), (0.95, 0.08, 2.04), planks),
            ball((-0.82, BACK + 0.1, 1.0), (0.07, 0.07, 0.07), furniture.BRASS),
        ],
        "wardrobe": [box((LEFT + 0.35, -1.7, 1.0), (0.6, 1.1, 2.0), furniture.wood(seeds[2] + 1, True))],
        "small plant": furniture.plant(2.2, BACK + 0.5, 0.6, seeds[7] + 1),
    }


def room(seed: int = 0) -> SyntheticWorld:
    """A room; 84 frames at 24 frames a second. Seeds 3, 7, 11, ... are sitting rooms of one plan, all others drawn by lot."""
    return sitting_room(seed) if seed % 4 == 3 else interior(seed)


def sitting_room(seed: int) -> SyntheticWorld:
    """5.6 x 7.2 m, with a ball, a toy van and a lamp in motion."""
    rng = np.random.default_rng([1, seed])
    still = [Thing(name, tuple(parts)) for name, parts in _furnish(rng).items()]
    phase = rng.uniform(-1, 1, 3)
    tones = [int(k) for k in rng.integers(0, 3, 2)]
    moving = [
        _rolling_ball(-2.0, 1.6, 3.25, 0.19, 1.5, 0.15 + 0.1 * phase[0], seed),
        _toy_van((0.8, 2.3), 0.42, 0.7, 2.5 + phase[1], ("#2a6fb0", "#c84a30", "#3f8a4a")[tones[0]], seed),
        _swinging_lamp(0.1, 2.5, 0.75, 16, 1.0 + phase[2], ("#c87840", "#5a8a80", "#a84848")[tones[1]]),
    ]
    duration = 3.5
    return SyntheticWorld(
        "room",
        seed,
        caption="A sunlit sitting room: a ball rolls over the floor, a toy van circles on the rug and a lamp swings.",
        objects=[*still, *moving],
        path=_path(rng, duration),
        duration=duration,
        fov_deg=72,
        lighting=Lighting(
            sun=(0.62, -0.28, 0.72),
            sun_colour="#ffe6c0",
            sun_power=1.5,
            sun_radius_deg=2.5,
            sky_axis=(0.6, -0.3, 0.6),
            sky_colour="#eef4ff",
            ground_colour="#b09a84",
            sky_power=0.62,
            contact=0.7,
        ),
        radius=30.0,
    )
