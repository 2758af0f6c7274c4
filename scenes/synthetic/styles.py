"""A second family of surfaces and light over the same solids: what style "camera" looks like before its sensor.

    surfaces         another pattern of `textures` (`_FAMILY`: stone, cloth, chips, cracks, ...), other colours; house
                     fronts, roads, books and leaves keep their pattern in shifted colours
    light            another sun, warm or cold, low or high, or an overcast sky
    sky              other colours, other clouds

Geometry, motion and cameras are the plain world's. The choice follows from the world's seed alone.
"""

import colorsys
import dataclasses

import numpy as np

from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.solids import Material, Thing
from inspatio_gym.scenes.synthetic.surfaces import BLOTCHES, CHIPS, CRACKS, MARBLE, STREAKS, WEAVE
from inspatio_gym.scenes.synthetic.world import Lighting, SyntheticWorld

_FAMILY = (MARBLE, WEAVE, CHIPS, CRACKS, STREAKS, BLOTCHES)
_KEPT = (tx.FACADE, tx.ROAD, tx.PANES, tx.PICTURE, tx.BOOKS, tx.LEAVES)  # what they show makes a thing what it is
_HUES = (0.02, 0.06, 0.08, 0.1, 0.12, 0.16, 0.3, 0.45, 0.57, 0.6, 0.64, 0.95)  # of earth, wood, skin, plants, cloth


def restyled(world: SyntheticWorld) -> SyntheticWorld:
    """The same world in the second family."""
    rng = np.random.default_rng([7, world.seed])
    made: dict[Material, Material] = {}
    things = []
    for thing in world.objects:
        parts = tuple(dataclasses.replace(part, material=_other(part.material, made, rng)) for part in thing.parts)
        things.append(Thing(thing.name, parts, thing.motion))
    return SyntheticWorld(
        world.name,
        world.seed,
        caption=world.caption,
        objects=things,
        path=world.path,
        duration=world.duration,
        fov_deg=world.fov_deg,
        lighting=_light(world.lighting, rng),
        radius=float(world.dome[3]),
        fps=world.fps,
        style="camera",
    )


def _other(material: Material, made: dict[Material, Material], rng: np.random.Generator) -> Material:
    """Another material for each, the same one wherever the same one was."""
    if material not in made:
        seed = int(rng.integers(1, 10_000))
        if material.pattern in _KEPT:
            shift, wash, shade = rng.uniform(-0.06, 0.06), rng.uniform(0.4, 1.1), rng.uniform(0.75, 1.2)
            colours = [_shifted(colour, shift, wash, shade) for colour in (material.a, material.b, material.c)]
            pattern, length = material.pattern, material.length
        else:
            hue = _HUES[int(rng.integers(len(_HUES)))] + rng.uniform(-0.03, 0.03)
            colours = [_colour(hue, rng) for _ in range(3)]
            pattern, length = int(rng.choice(_FAMILY)), _lengths(material, rng)
        a, b, c = colours
        made[material] = dataclasses.replace(material, pattern=pattern, a=a, b=b, c=c, length=length, seed=seed)
    return made[material]


def _lengths(material: Material, rng: np.random.Generator) -> tuple[float, float]:
    """About as fine as before."""
    u, v = rng.uniform(0.5, 1.6) * np.clip(material.length, 0.05, 0.6)
    return float(u), float(v)


def _colour(hue: float, rng: np.random.Generator) -> str:
    """Mostly dull, as most things are, now and then vivid."""
    saturation = rng.uniform(0.45, 0.85) if rng.uniform() < 0.12 else rng.uniform(0.03, 0.3)
    return _hex(hue, saturation, rng.uniform(0.2, 0.95))


def _shifted(colour: str, shift: float, wash: float, shade: float) -> str:
    """The same colour turned a little, washed out and darker or brighter."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    return _hex(hue + shift, min(1.0, saturation * wash), min(1.0, value * shade))


def _hex(hue: float, saturation: float, value: float) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _light(light: Lighting, rng: np.random.Generator) -> Lighting:
    """Another sun, from where daylight may come in: turned by up to 70 degrees and as high as it likes."""
    warm = rng.uniform(-1, 1)
    overcast = rng.uniform() < 0.35
    turn, height = np.radians(rng.uniform(-70, 70)), np.radians(rng.uniform(25, 65))
    azimuth = np.arctan2(light.sun[1], light.sun[0]) + turn
    sun = (np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height))
    tint = [round(255 * min(1.0, 1.0 + gain * warm)) for gain in (0.1, -0.02, -0.35)]
    return dataclasses.replace(
        light,
        sun=tuple(float(x) for x in sun),
        sun_colour="#" + "".join(f"{min(255, x):02x}" for x in tint),
        sun_power=light.sun_power * (0.25 if overcast else rng.uniform(0.7, 1.3)),
        sun_radius_deg=6.0 if overcast else light.sun_radius_deg,
        sky_power=light.sky_power * (1.7 if overcast else rng.uniform(0.6, 1.0)),
        sky_colour=("#dfe3e8", "#b8ccf0", "#f0e0d0")[int(rng.integers(3))],
        zenith=("#9aa4b0", "#3f6fb8", "#7a86a8")[0 if overcast else int(rng.integers(1, 3))],
        horizon=("#c8ccd0", "#e8d8c0", "#d8e0e8")[int(rng.integers(3))],
    )
