"""Worlds made by formula, for samples and for truth: rendered again from a seed, for any camera and any moment.

from inspatio_gym.scenes.synthetic import from_scene, room, street

world = room(seed=7)
rgb, depth, object_id = world.render(world.path(1.0), 1.0, (240, 416))     # metres, world axes

world = from_scene(load_scene("street"))                                   # the truth behind a bundled scene
rgb, depth, object_id = world.render_scene(c2w, 24, (240, 416))            # in the units and axes of that scene
"""

from inspatio_gym.scenes.synthetic.export import WORLDS, from_scene, make_world, room, street, write_scene, write_video
from inspatio_gym.scenes.synthetic.world import SyntheticWorld, View

__all__ = [
    "WORLDS",
    "SyntheticWorld",
    "View",
    "from_scene",
    "make_world",
    "room",
    "street",
    "write_scene",
    "write_video",
]
