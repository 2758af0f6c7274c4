"""Worlds made by formula, for samples and for truth: rendered again from a seed, for any camera and any moment.

from inspatio_gym.scenes.synthetic import room, street

world = room(seed=0)
rgb, depth, object_id = world.render(world.path(1.0), 1.0, (240, 416))     # metres, world axes
rgb, depth, object_id = world.render_scene(c2w, 24, (240, 416))            # the units and axes of its Scene
"""

from inspatio_gym.scenes.synthetic.rooms import room
from inspatio_gym.scenes.synthetic.streets import street
from inspatio_gym.scenes.synthetic.world import SyntheticWorld, View

__all__ = ["SyntheticWorld", "View", "room", "street"]
