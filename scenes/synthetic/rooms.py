"""A furnished room filmed by hand: a sideways arc that looks at a sitting corner, while a ball rolls, a toy van drives
and a lamp swings."""

import math

import numpy as np

from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.world import (
    Lighting,
    Material,
    Part,
    SyntheticWorld,
    Thing,
    ball,
    box,
    looking,
    rigid,
    rotation,
    tube,
)
from inspatio_gym.types import Pose

LEFT, RIGHT, BACK, FRONT, HEIGHT = -2.9, 2.9, -2.4, 4.3, 2.75
"""The room's inner walls and ceiling, metres; the camera starts near the origin and looks towards FRONT."""
_WALLS = (("#8f9f8c", "#b6c2ac"), ("#b08a6a", "#cfae8c"), ("#7d93a8", "#a9bac8"), ("#c2a36b", "#dcc695"))
_FABRICS = (("#8c3b2e", "#c9705a"), ("#2f5a6b", "#5b93a3"), ("#6b5a2f", "#b09a55"), ("#5b3a66", "#9670a3"))


def _wood(seed: int, dark: bool = False) -> Material:
    colours = ("#3b2416", "#6e4526") if dark else ("#8a5a30", "#c99458")
    return Material(tx.PLANKS, *colours, c="#20140c", length=(0.22, 1.4), seed=seed)


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


def _picture(x: float, y: float, z: float, width: float, height: float, seed: int, *, side: bool) -> Part:
    material = Material(tx.PICTURE, ("#2f4858", "#d8c8a0", "#7aa0a8")[seed % 3], "#e8d8b8", c="#3a281a", seed=seed)
    size = (0.04, width, height) if side else (width, 0.04, height)
    return box((x, y, z), size, material)


def _table(x: float, y: float, wide: float, deep: float, high: float, seed: int) -> list[Part]:
    legs = [
        box(
            (x + sx * (wide / 2 - 0.06), y + sy * (deep / 2 - 0.06), high / 2 - 0.02),
            (0.07, 0.07, high - 0.04),
            _wood(seed, True),
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    return [box((x, y, high - 0.02), (wide, deep, 0.05), _wood(seed)), *legs]


def _shelf(x: float, y: float, wide: float, high: float, rng: np.random.Generator) -> list[Part]:
    """A bookcase against the front wall, with books and a few pots."""
    deep, boards = 0.32, 5
    frame = _wood(int(rng.integers(1000)), True)
    parts = [box((x + s * wide / 2, y, high / 2), (0.04, deep, high), frame) for s in (-1, 1)]
    parts.append(box((x, y + deep / 2 - 0.01, high / 2), (wide, 0.02, high), frame))
    for k in range(boards + 1):
        parts.append(box((x, y, 0.08 + k * (high - 0.1) / boards), (wide, deep, 0.03), frame))
    gap = (high - 0.1) / boards
    for k in range(boards):
        base, seed = 0.095 + k * gap, int(rng.integers(1000))
        length = wide * rng.uniform(0.5, 0.9)
        start = x - wide / 2 + 0.03 + (wide - 0.06 - length) * (k % 2)
        books = Material(tx.BOOKS, "#000000", c="#4a3020", length=(rng.uniform(0.035, 0.05), 1.0), seed=seed)
        parts.append(box((start + length / 2, y + 0.03, base + gap * 0.42), (length, deep - 0.12, gap * 0.84), books))
        free = x + wide / 2 - 0.12 if k % 2 == 0 else x - wide / 2 + 0.12
        if wide - length > 0.25:
            glaze = Material(tx.STRIPES, "#2b6f77", "#d9c9a0", c="#b5523b", length=(0.12, 0.1), seed=seed)
            parts.append(tube((free, y, base + 0.1), (0.14, 0.14, 0.2), glaze, top=(0.6, 0.6)))
    return parts


def _sofa(x: float, y: float, fabric: tuple[str, str], seed: int) -> list[Part]:
    """A sofa along the right wall, its back towards +x, with two cushions."""
    cloth = Material(tx.CHECKS, *fabric, length=(0.16, 0.16), seed=seed)
    plain = Material(tx.PLASTER, *fabric, length=(0.2, 0.2), seed=seed + 1)
    cushion = Material(tx.CHECKS, "#d8b45a", "#f0e0b0", length=(0.09, 0.09), seed=seed + 2)
    return [
        box((x, y, 0.26), (0.85, 1.8, 0.3), cloth),
        box((x + 0.34, y, 0.6), (0.24, 1.8, 0.5), cloth, top=(0.6, 1.0)),
        box((x, y - 0.98, 0.36), (0.85, 0.2, 0.5), plain),
        box((x, y + 0.98, 0.36), (0.85, 0.2, 0.5), plain),
        box((x + 0.1, y - 0.55, 0.62), (0.14, 0.42, 0.42), cushion, turn=rotation(8, 0, 20)),
        box((x + 0.1, y + 0.5, 0.62), (0.14, 0.4, 0.4), cushion, turn=rotation(-12, 0, 18)),
    ]


def _plant(x: float, y: float, size: float, seed: int) -> list[Part]:
    """A pot with a dozen overlapping tufts."""
    rng = np.random.default_rng(seed)
    pot = Material(tx.STRIPES, "#b0603c", "#c98058", c="#e0c8a0", length=(0.2, 0.2), seed=seed)
    leaf = Material(tx.LEAVES, "#173d17", "#4f8a34", c="#a8c860", length=(0.09, 0.09), seed=seed)
    parts = [
        tube((x, y, 0.2), (0.3, 0.3, 0.4), pot, top=(1.0, 1.0)),
        tube((x, y, 0.5), (0.05, 0.05, 0.5), _wood(seed, True)),
    ]
    for k in range(9):
        turn, out = k * 2.4, size * 0.33 * math.sqrt((k + 0.3) / 9)
        high = 0.62 + size * (0.75 - 0.6 * out / size) + rng.uniform(-0.1, 0.1)
        tuft = size * rng.uniform(0.28, 0.42)
        parts.append(ball((x + out * math.cos(turn), y + out * math.sin(turn), high), (tuft, tuft, tuft * 1.3), leaf))
    return parts


def _rolling_ball(x0: float, x1: float, y: float, radius: float, speed: float, phase: float, seed: int) -> Thing:
    """Rolls to and fro between two obstacles without slipping."""
    skin = Material(tx.BALL, "#d03a2a", "#f2efe6", c="#2b57a8", seed=seed)

    def motion(t: float) -> Pose:
        span = x1 - x0
        way = (phase * span + speed * t) % (2 * span)
        x = x0 + (way if way < span else 2 * span - way)
        return rigid(rotation(0, 0, math.degrees((x - x0) / radius)), (x, y + 0.15 * (x - x0), radius))

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


def _path(rng: np.random.Generator, duration: float):
    """An arc to the right that steps in and turns to keep looking at the middle, with the tremor of a hand."""
    start = np.array([-0.75, -0.55, 1.5]) + rng.uniform(-0.08, 0.08, 3)
    wobble = rng.uniform(0, 2 * math.pi, (5, 2))
    tempo = rng.uniform(0.9, 1.25, 5)

    def tremor(k: int, t: float, size: float) -> float:
        slow = math.sin(2 * math.pi * 0.55 * tempo[k] * t + wobble[k, 0])
        return size * (slow + 0.3 * math.sin(2 * math.pi * 1.7 * tempo[k] * t + wobble[k, 1]))

    def path(t: float) -> Pose:
        s = t / duration
        ease = s * s * (3 - 2 * s)
        position = start + np.array([1.55 * ease, 0.55 * math.sin(math.pi * 0.5 * s), 0.06 * math.sin(math.pi * s)])
        position += [tremor(0, t, 0.012), tremor(1, t, 0.01), tremor(2, t, 0.012)]
        aim = np.array([0.15 - 0.35 * ease, 3.1, 0.95])
        ahead = aim - position
        yaw = math.degrees(math.atan2(-ahead[0], ahead[1])) + 7.0 * math.sin(2 * math.pi * s) + tremor(3, t, 0.35)
        pitch = math.degrees(math.atan2(ahead[2], math.hypot(ahead[0], ahead[1]))) + tremor(4, t, 0.3)
        return looking(position, yaw, pitch, 1.2 * math.sin(2 * math.pi * s + wobble[0, 0]) * s)

    return path


def room(seed: int = 0) -> SyntheticWorld:
    """A sitting room, 5.8 x 6.7 m, with a ball, a toy van and a lamp in motion; 84 frames at 24 frames a second."""
    rng = np.random.default_rng([1, seed])
    jitter = rng.uniform(-1, 1, 16)
    picks = [int(k) for k in rng.integers(0, 1000, 16)]
    fabric = _FABRICS[picks[0] % len(_FABRICS)]
    rug = Material(tx.RUG, fabric[0], "#d9c08a", c="#23323d", seed=picks[1])
    glaze = Material(tx.CHECKS, "#35506b", "#e6dfcf", length=(0.06, 0.06), seed=picks[2])
    fruit = Material(tx.PLASTER, "#c8641e", "#f0a040", length=(0.06, 0.06), seed=picks[3])
    covers = [Material(tx.STRIPES, a, b, c="#e8d890", length=(0.3, 0.3), seed=k) for k, (a, b) in enumerate(_FABRICS)]
    view = Material(tx.PANES, "#e4eef2", "#8fbce0", c="#d8d2c6", seed=picks[4], glow=0.55)
    curtain = Material(tx.STRIPES, fabric[1], "#e4d6b8", c=fabric[0], length=(0.13, 1.0), seed=picks[5])
    door = Material(tx.PLANKS, "#5a3a22", "#86603c", c="#1e120a", length=(0.3, 2.4), seed=picks[6])
    tx_, ty = -0.55 + 0.12 * jitter[0], 2.35 + 0.12 * jitter[1]
    cabinet_y = 2.6 + 0.2 * jitter[2]
    high = 0.46
    static = [
        ("shell", _shell(rng)),
        ("rug", [box((0.15, 2.0, 0.006), (2.7, 2.2, 0.012), rug)]),
        ("table", _table(tx_, ty, 1.15, 0.65, high, picks[7])),
        (
            "on the table",
            [
                tube((tx_ - 0.36, ty + 0.1, high + 0.13), (0.15, 0.15, 0.26), glaze, top=(0.55, 0.55)),
                ball(
                    (tx_ - 0.36, ty + 0.1, high + 0.36),
                    (0.3, 0.3, 0.26),
                    Material(tx.LEAVES, "#7a2440", "#d86a80", c="#f0d0b0", length=(0.05, 0.05), seed=picks[8]),
                ),
                box((tx_ + 0.3, ty - 0.08, high + 0.03), (0.3, 0.22, 0.05), covers[0], turn=rotation(20)),
                box((tx_ + 0.31, ty - 0.07, high + 0.075), (0.26, 0.2, 0.04), covers[1], turn=rotation(-8)),
                tube((tx_ + 0.02, ty + 0.1, high + 0.04), (0.28, 0.28, 0.07), glaze),
                *(
                    ball(
                        (tx_ + 0.02 + 0.07 * math.cos(a), ty + 0.1 + 0.07 * math.sin(a), high + 0.1),
                        (0.1, 0.1, 0.1),
                        fruit,
                    )
                    for a in (0.3, 2.4, 4.5)
                ),
            ],
        ),
        ("shelf", _shelf(1.35 + 0.15 * jitter[3], FRONT - 0.18, 1.25, 2.1, rng)),
        ("sofa", _sofa(RIGHT - 0.5, 1.75 + 0.15 * jitter[4], fabric, picks[9])),
        ("plant", _plant(-0.35 + 0.1 * jitter[5], FRONT - 0.4, 0.95, picks[10])),
        (
            "cabinet",
            [
                box((LEFT + 0.26, cabinet_y, 0.42), (0.48, 1.5, 0.8), _wood(picks[11])),
                box((LEFT + 0.26, cabinet_y, 0.84), (0.54, 1.58, 0.05), _wood(picks[11], True)),
                *(
                    box((LEFT + 0.51, cabinet_y + dy, 0.42), (0.02, 0.44, 0.68), _wood(picks[12] + k, True))
                    for k, dy in enumerate((-0.49, 0.0, 0.49))
                ),
                *(
                    ball((LEFT + 0.54, cabinet_y + dy, 0.5), (0.05, 0.05, 0.05), Material(tx.PLAIN, "#d8b860"))
                    for dy in (-0.32, 0.17, 0.32)
                ),
                tube((LEFT + 0.28, cabinet_y - 0.45, 1.02), (0.2, 0.2, 0.32), glaze, top=(0.5, 0.5)),
                box((LEFT + 0.25, cabinet_y + 0.4, 0.98), (0.22, 0.3, 0.22), covers[2], turn=rotation(15)),
                box((LEFT + 0.25, cabinet_y + 0.4, 1.12), (0.16, 0.22, 0.06), covers[3], turn=rotation(-10)),
            ],
        ),
        (
            "pictures",
            [
                _picture(-1.75 + 0.1 * jitter[6], FRONT - 0.02, 1.65, 0.9, 0.65, picks[13], side=False),
                _picture(-0.55, FRONT - 0.02, 1.95, 0.5, 0.62, picks[14], side=False),
                _picture(0.2, FRONT - 0.02, 1.8, 0.4, 0.4, picks[15], side=False),
                _picture(LEFT + 0.02, cabinet_y, 1.75, 0.8, 0.6, picks[13] + 1, side=True),
                _picture(RIGHT - 0.02, 0.0, 1.7, 0.9, 0.7, picks[14] + 1, side=True),
                _picture(0.9, BACK + 0.02, 1.6, 1.2, 0.8, picks[15] + 1, side=False),
            ],
        ),
        (
            "window",
            [
                box((RIGHT - 0.02, 1.9, 1.55), (0.05, 1.5, 1.25), view, opaque=False),
                box((RIGHT - 0.08, 1.02, 1.45), (0.1, 0.3, 1.9), curtain),
                box((RIGHT - 0.08, 2.78, 1.45), (0.1, 0.3, 1.9), curtain),
                tube((RIGHT - 0.08, 1.9, 2.42), (0.03, 0.03, 2.3), Material(tx.PLAIN, "#3a2c20"), turn=rotation(0, 90)),
            ],
        ),
        (
            "behind",
            [
                box((-1.2, BACK + 0.03, 1.02), (0.95, 0.08, 2.04), door),
                ball((-0.82, BACK + 0.1, 1.0), (0.07, 0.07, 0.07), Material(tx.PLAIN, "#d8b860")),
                *_plant(2.3, BACK + 0.5, 0.8, picks[2] + 3),
                box((LEFT + 0.35, -0.6, 1.0), (0.6, 1.1, 2.0), _wood(picks[3], True)),
            ],
        ),
    ]
    moving = [
        _rolling_ball(-2.2, 0.9, 1.15, 0.15, 1.15, 0.1 + 0.2 * abs(jitter[8]), picks[5]),
        _toy_van((0.75, 2.0), 0.42, 0.7, 2.5 + jitter[9], ("#2a6fb0", "#c84a30", "#3f8a4a")[picks[6] % 3], picks[7]),
        _swinging_lamp(0.1, 2.6, 0.75, 16, 1.0 + jitter[10], ("#c87840", "#5a8a80", "#a84848")[picks[8] % 3]),
    ]
    duration = 3.5
    return SyntheticWorld(
        "room",
        seed,
        caption="A sunlit sitting room: a ball rolls over the floor, a toy van circles on the rug and a lamp swings.",
        objects=[*(Thing(name, tuple(parts)) for name, parts in static), *moving],
        path=_path(rng, duration),
        duration=duration,
        fov_deg=68,
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
