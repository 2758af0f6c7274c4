"""Scenes: a video anchored in space, with depth and cameras, stored once and read lazily.

scene = anchor("clip.mp4")        # any video; the second call finds it in the cache
scene = load_scene("room")        # bundled, "synthetic:street?seed=3", or a folder
view = scene.view((96, 160))      # at the size somebody looks at
"""

from inspatio_gym.scenes.anchor import anchor
from inspatio_gym.scenes.errors import CacheError, GeometryWarning, SceneError, VideoError
from inspatio_gym.scenes.footage import save_video
from inspatio_gym.scenes.scene import Scene, SceneGeometry, load_scene, sample_names, sample_path
from inspatio_gym.scenes.store import SceneWriter
from inspatio_gym.scenes.view import SceneView

__all__ = [
    "CacheError",
    "GeometryWarning",
    "Scene",
    "SceneError",
    "SceneGeometry",
    "SceneView",
    "SceneWriter",
    "VideoError",
    "anchor",
    "load_scene",
    "sample_names",
    "sample_path",
    "save_video",
]
