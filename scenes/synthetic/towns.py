"""Streets drawn by lot: of any width, with houses wall to wall or apart, trees, parked cars, traffic both ways and people
on the pavements, filmed from a car or by somebody on foot."""

import math
from collections.abc import Callable

import numpy as np

from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.interiors import hand
from inspatio_gym.scenes.synthetic.solids import Material, Part, Thing, box, looking, placed, rigid, rotation
from inspatio_gym.scenes.synthetic.streets import FAR, KERB, NEAR, PAINTS, car, high_street, house, straight, tree
from inspatio_gym.scenes.synthetic.walkers import to_and_fro, walker
from inspatio_gym.scenes.synthetic.world import Lighting, SyntheticWorld
from inspatio_gym.types import Pose

_DURATION = 3.5
_GREENS = (("#3d5428", "#6d8444"), ("#4a5a30", "#8a9450"), ("#6a6040", "#9a9060"), ("#c8ccd2", "#e8ecf0"))
_ASPHALTS = (("#3e3f42", "#5d5d5f"), ("#4a4844", "#6e6a64"), ("#2e3034", "#48494c"), ("#6a645c", "#8e867a"))


def street(seed: int = 0) -> SyntheticWorld:
    """A street; 84 frames at 24 frames a second. Seeds 0, 4, 8, ... are high streets of one plan, all others by lot."""
    return high_street(seed) if seed % 4 == 0 else town(seed)


def _ground(road: float, pavement: float, rng: np.random.Generator) -> Thing:
    seeds = [int(s) for s in rng.integers(1, 10_000, 4)]
    asphalt, green = _ASPHALTS[int(rng.integers(len(_ASPHALTS)))], _GREENS[int(rng.integers(len(_GREENS)))]
    lines = Material(tx.ROAD, *asphalt, c="#e4e2da", length=(rng.uniform(3, 6), rng.uniform(70, 100)), seed=seeds[0])
    slabs = Material(tx.BRICKS, "#7d7870", "#a8a298", c="#4c4842", length=(rng.uniform(0.5, 1.1), 0.6), seed=seeds[1])
    stone = Material(tx.BRICKS, "#8d8a84", "#b4b0a8", c="#55524c", length=(0.8, 0.3), seed=seeds[2])
    grass = Material(tx.PLASTER, *green, length=(1.6, 1.6), seed=seeds[3])
    middle, long = (NEAR + FAR) / 2, FAR - NEAR
    parts = [box((0, middle, -0.05), (road, long, 0.1), lines), box((0, 0, -0.16), (700, 700, 0.1), grass)]
    for side in (-1, 1):
        x = side * (road / 2 + pavement / 2 + 0.08)
        parts.append(box((x, middle, KERB / 2), (pavement - 0.16, long, KERB), slabs))
        parts.append(box((side * (road / 2 + 0.08), middle, KERB / 2), (0.16, long, KERB + 0.01), stone))
    return Thing("ground", tuple(parts))


def _hedge(side: int, front: float, low: float, high: float, rng: np.random.Generator) -> list[Part]:
    """Along a garden's edge, where there is no house."""
    leaf = Material(tx.LEAVES, "#1f4a1c", "#5d8f38", c="#c2d07a", length=(0.12, 0.12), seed=int(rng.integers(1000)))
    tall = rng.uniform(0.8, 1.6)
    return [box((side * (front + 0.3), (low + high) / 2, tall / 2), (0.5, high - low, tall), leaf)]


def _side(side: int, front: float, rng: np.random.Generator) -> list[Thing]:
    """Houses along one side, wall to wall or with gardens between them."""
    things, y, apart = [], NEAR, rng.uniform() < 0.5
    while y < FAR - 6:
        end = min(FAR, y + rng.uniform(7.0, 15.0))
        things.append(Thing("house", tuple(house(side, y, end, rng, front=front + apart * rng.uniform(0, 3)))))
        y = end
        if apart and rng.uniform() < 0.7:
            end = y + rng.uniform(3, 9)
            things.append(Thing("hedge", tuple(_hedge(side, front, y, end, rng))))
            y = end
    return things


def _traffic(lane: float, begin: float, rng: np.random.Generator) -> list[Thing]:
    """Cars both ways; those ahead of the camera keep clear of each other for as long as the film lasts."""
    things, y = [], begin + rng.uniform(11, 16)
    for _ in range(int(rng.integers(1, 3))):
        speed = rng.uniform(7.0, 11.0)
        things.append(
            Thing(
                "car", car(_paint(rng), int(rng.integers(1, 1000)), rng.uniform() < 0.4), straight(lane, y, 0.0, speed)
            )
        )
        y += rng.uniform(12, 20) + 4 * _DURATION
    y = rng.uniform(25, 40)
    for _ in range(int(rng.integers(1, 4))):
        parts = car(_paint(rng), int(rng.integers(1, 1000)), rng.uniform() < 0.4)
        things.append(Thing("car", parts, straight(-lane, y, 180.0, rng.uniform(7.5, 9.5))))
        y += rng.uniform(14, 25)
    return things


def _paint(rng: np.random.Generator) -> str:
    return PAINTS[int(rng.integers(len(PAINTS)))]


def _people(road: float, pavement: float, begin: float, rng: np.random.Generator) -> list[Thing]:
    """On both pavements, and now and then across the road ahead."""
    things = []
    for side in (-1, 1):
        for _ in range(int(rng.integers(0, 4))):
            x, y = side * (road / 2 + rng.uniform(0.45, 0.75) * pavement), begin + rng.uniform(6, 35)
            far = (x, y + rng.uniform(12, 20))
            things.append(walker(to_and_fro((x, y), far, rng.uniform(0.9, 1.8), rng, ground=KERB), rng))
    if rng.uniform() < 0.6:
        y, x = begin + rng.uniform(38, 50), road / 2 + 0.8
        things.append(walker(to_and_fro((-x, y), (x, y), rng.uniform(1.0, 1.8), rng, ground=0.02), rng))
    return things


def _path(x: float, high: float, speed: float, begin: float, rng: np.random.Generator) -> Callable[[float], Pose]:
    """Along the street at a speed: gentle steering or, on foot, a hand's tremor and the step's bounce."""
    walks, phase, tremor = speed < 2.5, rng.uniform(0, 2 * math.pi, 4), hand(rng)
    gaze = rng.uniform(-14, 14) if walks else rng.uniform(-3, 3)

    def path(t: float) -> Pose:
        sway = 0.05 if walks else 0.25
        across = x + sway * (math.sin(1.5 * t + phase[0]) - math.sin(phase[0]))
        steer = -math.degrees(math.atan2(1.5 * sway * math.cos(1.5 * t + phase[0]), max(speed, 4.0)))
        bounce = 0.025 * math.sin(11.0 * t + phase[1]) if walks else 0.03 * math.sin(3.1 * t + phase[1])
        shake, yaw, pitch = tremor(t) if walks else (np.zeros(3), 0.0, 0.3 * math.sin(9.0 * t + phase[2]))
        yaw += gaze + 0.8 * steer + 2.6 * math.sin(1.25 * t + phase[3])
        return looking(
            np.array([across, begin + speed * t, high + bounce]) + shake,
            yaw,
            pitch - 2.0,
            0.5 * math.sin(4.0 * t + phase[2]),
        )

    return path


def _daylight(rng: np.random.Generator) -> Lighting:
    azimuth, height = rng.uniform(-math.pi, math.pi), np.radians(rng.uniform(25, 65))
    low = height < 0.65
    return Lighting(
        sun=(math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)),
        sun_colour="#ffcf90" if low else "#fff0d8",
        sun_power=rng.uniform(1.4, 2.1),
        sun_radius_deg=0.7,
        sky_axis=(0, 0, 1),
        sky_colour=("#c4d8f4", "#d8e0ec", "#b0c8f0")[int(rng.integers(3))],
        ground_colour="#7d7468",
        sky_power=rng.uniform(0.65, 0.95),
        contact=1.2,
        zenith=("#4f86c6", "#3c70b8", "#7f9cc4")[int(rng.integers(3))],
        horizon="#f0d8b8" if low else "#cfdce6",
    )


def town(seed: int) -> SyntheticWorld:
    """A street drawn by lot, with cars and people in motion."""
    rng = np.random.default_rng([5, seed])
    road, pavement = rng.uniform(8.5, 14.0), rng.uniform(2.2, 4.5)
    front, lane = road / 2 + pavement, road / 2 - 3.6 if road > 10.5 else 1.75
    parking = road > 10.5
    things = [_ground(road, pavement, rng), *_side(-1, front, rng), *_side(1, front, rng)]
    walks = rng.uniform() < 0.4
    begin = rng.uniform(-6, 6)
    if walks:
        side = 1 if rng.uniform() < 0.5 else -1
        path = _path(side * (road / 2 + 0.7 * pavement), 1.6 + KERB, rng.uniform(1.0, 2.0), begin, rng)
    else:
        path = _path(lane, rng.uniform(1.35, 2.2), rng.uniform(3.0, 7.0), begin, rng)
    for side in (-1, 1):
        y = -25.0 + rng.uniform(0, 4)
        share = rng.uniform(0.2, 0.8) if parking else 0.0
        while y < 100:
            if rng.uniform() < share:
                pose = rigid(rotation(180.0 * (side < 0) + rng.uniform(-1.5, 1.5)), (side * (road / 2 - 1.08), y, 0.0))
                parts = car(_paint(rng), int(rng.integers(1, 1000)), rng.uniform() < 0.4)
                things.append(Thing("parked car", tuple(placed(parts, pose))))
            y += rng.uniform(5.4, 8.0)
        y, gap = -18.0 + rng.uniform(0, 6), rng.uniform(8, 22)
        while y < 95:
            things.append(tree(side * (road / 2 + 0.5), y, rng.uniform(1.8, 3.2), rng))
            y += gap * rng.uniform(0.8, 1.4)
    things += _traffic(lane, begin, rng) + _people(road, pavement, begin, rng)
    return SyntheticWorld(
        "street",
        seed,
        caption="Along a street of houses "
        + ("on foot" if walks else "in a car")
        + ": cars pass both ways, people walk.",
        objects=things,
        path=path,
        duration=_DURATION,
        fov_deg=float(rng.uniform(58, 76)),
        lighting=_daylight(rng),
        radius=600.0,
    )
