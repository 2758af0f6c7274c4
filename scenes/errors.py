"""What can go wrong with a video or a stored scene, said in one line: what was expected, what came, the way out."""


class SceneError(ValueError):
    """A scene that cannot be read: no such scene, a folder that is not one, another schema version, a damaged file."""


class VideoError(SceneError):
    """A file that cannot become a world: not a video, too small, too short, or with nothing in it to see."""


class CacheError(SceneError):
    """A place where a scene cannot be written: a full disk, a folder that is not one or may not be written to."""


class GeometryWarning(UserWarning):
    """The geometry of a scene is a stated assumption, not a measurement."""
