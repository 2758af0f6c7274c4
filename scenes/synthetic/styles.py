"""A second family of surfaces and light over the same solids: what style "camera" looks like before its sensor.

    every material   another pattern of `textures` (`_FAMILY`: stone, cloth, chips, cracks, ...), other colours
    light            another sun, warm or cold, low or high, or an overcast sky
    sky              other colours, other clouds

Geometry, motion and cameras are the plain world's. The choice follows from the world's seed alone.
"""

import colorsys
import dataclasses

import numpy as np

from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.solids import Material, Thing
from inspatio_gym.scenes.synthetic.world import Lighting, SyntheticWorld

_FAMILY = (tx.MARBLE, tx.WEAVE, tx.CHIPS, tx.CRACKS, tx.STREAKS, tx.BLOTCHES)
_KEPT = (tx.FACADE, tx.ROAD, tx.PANES, tx.PICTURE, tx.BOOKS)  # what they show is what makes a thing what it is


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
        hue, turn = rng.uniform(0, 1), rng.uniform(-0.5, 0.5)
        colours = [_colour(hue + 0.12 * k * turn, rng) for k in range(3)]
        length = tuple(float(x) for x in rng.uniform(0.5, 1.6) * np.clip(material.length, 0.05, 0.6))
        pattern = material.pattern
        if pattern not in _KEPT:
            pattern, material = int(rng.choice(_FAMILY)), dataclasses.replace(material, length=length)
        seed = int(rng.integers(1, 10_000))
        made[material] = dataclasses.replace(
            material, pattern=pattern, a=colours[0], b=colours[1], c=colours[2], seed=seed
        )
    return made[material]


def _colour(hue: float, rng: np.random.Generator) -> str:
    """Mostly dull, as most things are, now and then vivid."""
    saturation = rng.uniform(0.4, 0.9) if rng.uniform() < 0.2 else rng.uniform(0.03, 0.35)
    rgb = colorsys.hsv_to_rgb(hue % 1, saturation, rng.uniform(0.2, 0.95))
    return "#" + "".join(f"{round(255 * c):02x}" for c in rgb)


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
