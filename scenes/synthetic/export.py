"""A synthetic world as a bundled scene, or as a plain video such as a camera would leave.

write_scene(room(7), folder)            # with the true depth, masks and cameras; `from_scene` rebuilds the world
write_video(street(1), "clip.mp4")      # frames alone, for whoever must find the geometry
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from inspatio_gym.scenes import Scene, SceneGeometry, SceneWriter, save_video
from inspatio_gym.scenes.synthetic.rooms import room
from inspatio_gym.scenes.synthetic.sensor import film
from inspatio_gym.scenes.synthetic.styles import restyled
from inspatio_gym.scenes.synthetic.tables import table
from inspatio_gym.scenes.synthetic.towns import street
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Rgb, Size

WORLDS: dict[str, Callable[[int], SyntheticWorld]] = {"room": room, "street": street, "table": table}
STYLES = ("plain", "camera")
"""As drawn, or as if filmed: other surfaces and light (`styles`), and a sensor that shakes, blurs and rustles (`sensor`)."""
VERSION = 2
"""Of the generator: raised whenever a world or its film looks different from before, the bundled samples excepted."""
METHOD = "synthetic-truth"
SAMPLE_SIZE = (240, 416)
"""Frames and depth of the bundled samples: small enough for a repository, and every stored pixel is exact."""


def make_world(name: str, seed: int, style: str = "plain") -> SyntheticWorld:
    """A world by name, 0 or a larger whole seed, and style. Raises ValueError for what there is not."""
    if name not in WORLDS:
        raise ValueError(f"expected a world out of {sorted(WORLDS)}, got {name!r}")
    if style not in STYLES:
        raise ValueError(f"expected a style out of {sorted(STYLES)}, got {style!r}")
    if seed < 0:
        raise ValueError(f"expected a seed of 0 or more, got {seed}")
    world = WORLDS[name](seed)
    return world if style == "plain" else restyled(world)


def from_scene(scene: Scene) -> SyntheticWorld:
    """The world that a scene was written from. Raises ValueError for a scene that is not synthetic."""
    record = scene.provenance
    if scene.geometry.method != METHOD or "world" not in record or "seed" not in record:
        raise ValueError(f"expected a scene of a synthetic world, got {scene!r}: only write_scene makes those")
    return make_world(record["world"], record["seed"], record.get("style", "plain"))


def write_scene(
    world: SyntheticWorld,
    target: str | Path,
    *,
    size: Size = SAMPLE_SIZE,
    samples: int = 3,
    on_frame: Callable[[], object] = lambda: None,
) -> Scene:
    """Render a whole world into a scene folder that does not exist yet; `on_frame` is called after each frame.

    The scene has the true depth and masks at `size` (height, width), even numbers, the first camera as the identity and
    `world.scale` units a metre. A world of style "camera" is filmed through its sensor; depth, masks and cameras stay
    exact. Raises what `SceneWriter` raises.
    """
    cameras = world.scene_path.copy()
    cameras[:, :3, 3] /= world.scale  # metres, like the depth; the writer scales both
    with SceneWriter(
        Path(target), fps=world.fps, size=size, depth_size=size, name=world.name, caption=world.caption
    ) as out:
        for k in range(world.num_frames):
            time_s = k / world.fps
            depth, object_id = world.depth(world.path(time_s), time_s, size)
            out.write_frame(picture(world, k, size, samples))
            out.write_depth(depth, world.moving(object_id))
            on_frame()
        return out.finish(
            c2w=cameras,
            intrinsics=np.repeat(world.intrinsics(size)[None], world.num_frames, axis=0),
            geometry=SceneGeometry(
                method=METHOD,
                confidence=1.0,
                reason="rendered from a formula, so that depth and cameras are known",
                licence="none",
                metres_per_unit=None,
            ),
            scale=world.scale,
            provenance={
                "generator": "inspatio_gym.scenes.synthetic",
                "world": world.name,
                "seed": world.seed,
                "style": world.style,
                "version": VERSION,
                "samples": samples,
            },
        )


def write_video(world: SyntheticWorld, path: str | Path, size: Size = SAMPLE_SIZE, *, samples: int = 2) -> Path:
    """Film a world along its path into an H.264 file, even (height, width), and give back its path."""
    return save_video(path, (picture(world, k, size, samples) for k in range(world.num_frames)), world.fps)


def picture(world: SyntheticWorld, frame: int, size: Size, samples: int = 2) -> Rgb:
    """What the recorded camera shows at a frame: the plain truth, or in style "camera" what a sensor makes of it."""
    if world.style == "camera":
        return film(world, frame, size, samples)
    return world.render(world.path(frame / world.fps), frame / world.fps, size, samples=samples).rgb
