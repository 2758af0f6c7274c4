"""Worlds made by formula, for samples, training and truth: rendered again from a seed, for any camera and any moment.

from inspatio_gym.scenes.synthetic import from_scene, make_world

world = make_world("room", seed=7)                                         # or "street", "table"; style="camera"
rgb, depth, object_id = world.render(world.path(1.0), 1.0, (240, 416))     # metres, world axes

world = from_scene(load_scene("synthetic:street?seed=3"))                  # the truth behind a synthetic or bundled scene
rgb, depth, object_id = world.render_scene(c2w, 24, (240, 416))            # in the units and axes of that scene
"""

from inspatio_gym.scenes.synthetic.export import (
    STYLES,
    WORLDS,
    from_scene,
    make_world,
    picture,
    room,
    street,
    table,
    write_scene,
    write_video,
)
from inspatio_gym.scenes.synthetic.world import SyntheticWorld, View

__all__ = [
    "STYLES",
    "WORLDS",
    "SyntheticWorld",
    "View",
    "from_scene",
    "make_world",
    "picture",
    "room",
    "street",
    "table",
    "write_scene",
    "write_video",
]
