"""People who walk: a body, a head, and arms and legs that swing with the stride.

A walker is one thing, so one object id; its motion gives a pose for each part. Feet stay on the ground by half the stride
they take: the stride's length follows from the speed, so that fast walkers swing wide.
"""

import math
from collections.abc import Callable

import numpy as np

from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.solids import Material, Thing, ball, box, rigid, rotation, tube
from inspatio_gym.types import Pose, Poses

_CLOTHES = ("#303848", "#8c3b2e", "#2f6e52", "#c9962e", "#e0dcd0", "#5b3a66", "#22262a", "#7a8791", "#3f5f9a")
_SKINS = ("#e0b090", "#c08a64", "#8a5a3c", "#5c3a28", "#f0c8a8")
Way = Callable[[float], tuple[Pose, float]]
"""Where a walker is at a time, facing its +y, and how many metres it has walked."""


def to_and_fro(
    start: tuple[float, float], end: tuple[float, float], speed: float, rng: np.random.Generator, ground: float = 0.0
) -> Way:
    """Between two places at a speed, from somewhere along the way on; turning round takes a moment."""
    first, last = np.array(start, float), np.array(end, float)
    span = float(np.linalg.norm(last - first))
    ahead = math.degrees(math.atan2(-(last - first)[0], (last - first)[1]))
    phase = rng.uniform(0, 2)

    def way(t: float) -> tuple[Pose, float]:
        walked = phase * span + speed * t
        there = walked % (2 * span)
        along = there if there < span else 2 * span - there
        # Half a metre before an end the turn begins, half a metre after it ends.
        turned = np.interp(
            there, [0, 0.5, span - 0.5, span + 0.5, 2 * span - 0.5, 2 * span], [-90, 0, 0, 180, 180, 270]
        )
        place = first + (last - first) * along / span
        return rigid(rotation(ahead + float(turned)), (*place, ground)), walked

    return way


def walker(way: Way, rng: np.random.Generator) -> Thing:
    """Somebody of 1.5 to 1.9 m who goes that way."""
    tall = rng.uniform(1.5, 1.9)
    coat, trousers, skin = (
        Material(tx.CHECKS, a, b, length=(0.2, 0.12), seed=int(rng.integers(1000)))
        for a, b in (
            (_CLOTHES[int(rng.integers(len(_CLOTHES)))], _CLOTHES[int(rng.integers(len(_CLOTHES)))]),
            (_CLOTHES[int(rng.integers(len(_CLOTHES)))],) * 2,
            (_SKINS[int(rng.integers(len(_SKINS)))],) * 2,
        )
    )
    hip, shoulder = 0.5 * tall, 0.82 * tall
    hair = Material(tx.PLASTER, "#1c1410", "#5a4030", length=(0.03, 0.03), seed=int(rng.integers(1000)))
    parts = (
        box((0, 0, (hip + shoulder) / 2), (0.42, 0.24, shoulder - hip), coat, turn=rotation(180, 180), top=(0.75, 0.8)),
        ball((0, 0, 0.92 * tall), (0.17, 0.21, 0.15 * tall), skin),
        ball((0, -0.02, 0.95 * tall), (0.18, 0.2, 0.12 * tall), hair),
        *(tube((0, 0, -hip / 2), (0.16, 0.16, hip), trousers, turn=rotation(0, 180), top=(0.7, 0.7)) for _ in range(2)),
        *(tube((0, 0, -0.19 * tall), (0.1, 0.1, 0.38 * tall), coat) for _ in range(2)),
    )
    limbs = np.repeat(np.eye(4)[None], len(parts), axis=0)
    limbs[3:, :3, 3] = [(-0.1, 0, hip), (0.1, 0, hip), (-0.25, 0, shoulder), (0.25, 0, shoulder)]
    swings = np.array([0, 0, 0, 1, -1, -0.7, 0.7])
    stride = 0.42 * tall  # metres a step

    def motion(t: float) -> Poses:
        body, walked = way(t)
        beat = math.pi * walked / stride
        swing = swings * math.atan(0.5 * stride / hip) * math.sin(beat)
        poses = limbs.copy()
        poses[:, 1, 1] = poses[:, 2, 2] = np.cos(swing)
        poses[:, 2, 1] = np.sin(swing)
        poses[:, 1, 2] = -poses[:, 2, 1]
        poses[:, 2, 3] += 0.012 * math.cos(2 * beat)
        return body @ poses

    return Thing("walker", parts, motion)
