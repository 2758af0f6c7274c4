"""Things that stand in a room: each function returns the solids of one, at a place on the floor (x, y), in metres."""

import math

import numpy as np

from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.solids import Material, Part, ball, box, rotation, tube

BRASS = Material(tx.PLAIN, "#d8b860")


def wood(seed: int, dark: bool = False) -> Material:
    colours = ("#3b2416", "#6e4526") if dark else ("#8a5a30", "#c99458")
    return Material(tx.PLANKS, *colours, c="#20140c", length=(0.22, 1.4), seed=seed)


def picture(x: float, y: float, z: float, width: float, height: float, seed: int, *, side: bool) -> Part:
    material = Material(tx.PICTURE, ("#2f4858", "#d8c8a0", "#7aa0a8")[seed % 3], "#e8d8b8", c="#3a281a", seed=seed)
    size = (0.04, width, height) if side else (width, 0.04, height)
    return box((x, y, z), size, material)


def table(x: float, y: float, wide: float, deep: float, high: float, seed: int) -> list[Part]:
    legs = [
        box(
            (x + sx * (wide / 2 - 0.06), y + sy * (deep / 2 - 0.06), high / 2 - 0.02),
            (0.07, 0.07, high - 0.04),
            wood(seed, True),
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    return [box((x, y, high - 0.02), (wide, deep, 0.05), wood(seed)), *legs]


def shelf(x: float, y: float, wide: float, high: float, rng: np.random.Generator) -> list[Part]:
    """A bookcase against the front wall, with books and a few pots."""
    deep, boards = 0.32, 5
    frame = wood(int(rng.integers(1000)), True)
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
            glaze = Material(tx.STRIPES, "#3f6a70", "#d2c6a8", c="#a0604c", length=(0.12, 0.1), seed=seed)
            parts.append(tube((free, y, base + 0.1), (0.14, 0.14, 0.2), glaze, top=(0.6, 0.6)))
    return parts


def sofa(x: float, y: float, fabric: tuple[str, str], seed: int) -> list[Part]:
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


def chair(x: float, y: float, yaw_deg: float, seed: int) -> list[Part]:
    """A wooden chair that faces +y before it is turned."""
    turn = rotation(yaw_deg)

    def bar(centre: tuple[float, float, float], size: tuple[float, float, float]) -> Part:
        place = turn @ np.array(centre) + [x, y, 0.0]
        return box(place, size, wood(seed, True), turn=turn)

    legs = [bar((sx * 0.18, 0.18, 0.22), (0.045, 0.045, 0.44)) for sx in (-1, 1)]
    posts = [bar((sx * 0.18, -0.18, 0.46), (0.045, 0.045, 0.92)) for sx in (-1, 1)]
    slats = [bar((0, -0.18, z), (0.32, 0.03, 0.09)) for z in (0.58, 0.72, 0.86)]
    return [bar((0, 0, 0.455), (0.43, 0.42, 0.035)), *legs, *posts, *slats]


def plant(x: float, y: float, size: float, seed: int) -> list[Part]:
    """A potted tree: a stem and a crown of overlapping tufts, `size` metres across."""
    rng = np.random.default_rng(seed)
    pot = Material(tx.STRIPES, "#b0603c", "#c98058", c="#e0c8a0", length=(0.2, 0.2), seed=seed)
    leaf = Material(tx.LEAVES, "#12300f", "#4f8a34", c="#a8c860", length=(0.04, 0.04), seed=seed)
    parts = [tube((x, y, 0.2), (0.3, 0.3, 0.4), pot), tube((x, y, 0.65), (0.05, 0.05, 0.9), wood(seed, True))]
    for k in range(22):
        turn, out, high = k * 2.4, 0.42 * size * math.sqrt((k + 0.3) / 22), rng.uniform(-0.5, 0.5)
        tuft = size * rng.uniform(0.2, 0.32)
        crown = 1.05 + 0.5 * size + high * (size - 1.1 * out)
        parts.append(ball((x + out * math.cos(turn), y + out * math.sin(turn), crown), (tuft, tuft, tuft), leaf))
    return parts


def cabinet(x: float, y: float, seed: int) -> list[Part]:
    """A low cabinet along the left wall, its doors towards +x, with a vase and boxes on it."""
    glaze = Material(tx.STRIPES, "#3f6a70", "#d2c6a8", c="#a0604c", length=(0.12, 0.1), seed=seed)
    paper = [
        Material(tx.STRIPES, a, b, c="#e8d890", length=(0.3, 0.3), seed=seed)
        for a, b in (("#6b5a2f", "#b09a55"), ("#5b3a66", "#9670a3"))
    ]
    parts = [
        box((x, y, 0.42), (0.48, 1.5, 0.8), wood(seed)),
        box((x, y, 0.84), (0.54, 1.58, 0.05), wood(seed, True)),
        tube((x + 0.02, y - 0.45, 1.02), (0.2, 0.2, 0.32), glaze, top=(0.5, 0.5)),
        box((x - 0.01, y + 0.4, 0.98), (0.22, 0.3, 0.22), paper[0], turn=rotation(15)),
        box((x - 0.01, y + 0.4, 1.12), (0.16, 0.22, 0.06), paper[1], turn=rotation(-10)),
    ]
    for k, dy in enumerate((-0.49, 0.0, 0.49)):
        parts.append(box((x + 0.25, y + dy, 0.42), (0.02, 0.44, 0.68), wood(seed + k, True)))
        parts.append(ball((x + 0.28, y + dy + 0.17, 0.5), (0.05, 0.05, 0.05), BRASS))
    return parts


def still_life(x: float, y: float, z: float, seed: int) -> list[Part]:
    """On a table top at height z: a vase of flowers, a bowl of oranges, two books."""
    glaze = Material(tx.CHECKS, "#35506b", "#e6dfcf", length=(0.06, 0.06), seed=seed)
    fruit = Material(tx.PLASTER, "#c8641e", "#f0a040", length=(0.06, 0.06), seed=seed)
    bloom = Material(tx.LEAVES, "#6a1c38", "#d86a80", c="#f6dcc0", length=(0.04, 0.04), seed=seed)
    covers = [
        Material(tx.STRIPES, a, b, c="#e8d890", length=(0.3, 0.3), seed=seed)
        for a, b in (("#8c3b2e", "#c9705a"), ("#2f5a6b", "#5b93a3"))
    ]
    oranges = [(x + 0.02 + 0.07 * math.cos(a), y + 0.1 + 0.07 * math.sin(a), z + 0.1) for a in (0.3, 2.4, 4.5)]
    petals = [
        (x - 0.36 + 0.11 * math.cos(a), y + 0.1 + 0.11 * math.sin(a), z + 0.34 + 0.05 * (a % 1)) for a in range(6)
    ]
    return [
        tube((x - 0.36, y + 0.1, z + 0.13), (0.15, 0.15, 0.26), glaze, top=(0.55, 0.55)),
        *(ball(place, (0.15, 0.15, 0.14), bloom) for place in [*petals, (x - 0.36, y + 0.1, z + 0.42)]),
        box((x + 0.3, y - 0.08, z + 0.03), (0.3, 0.22, 0.05), covers[0], turn=rotation(20)),
        box((x + 0.31, y - 0.07, z + 0.075), (0.26, 0.2, 0.04), covers[1], turn=rotation(-8)),
        tube((x + 0.02, y + 0.1, z + 0.04), (0.28, 0.28, 0.07), glaze),
        *(ball(place, (0.1, 0.1, 0.1), fruit) for place in oranges),
    ]


def window(x: float, y: float, fabric: tuple[str, str], seed: int) -> list[Part]:
    """A bright window in the right wall with curtains on a rod."""
    view = Material(tx.PANES, "#e4eef2", "#8fbce0", c="#d8d2c6", seed=seed, glow=0.55)
    curtain = Material(tx.STRIPES, fabric[1], "#e4d6b8", c=fabric[0], length=(0.13, 1.0), seed=seed)
    return [
        box((x - 0.02, y, 1.55), (0.05, 1.5, 1.25), view, opaque=False),
        box((x - 0.08, y - 0.88, 1.45), (0.1, 0.3, 1.9), curtain),
        box((x - 0.08, y + 0.88, 1.45), (0.1, 0.3, 1.9), curtain),
        tube((x - 0.08, y, 2.42), (0.03, 0.03, 2.3), Material(tx.PLAIN, "#3a2c20"), turn=rotation(0, 90)),
    ]
