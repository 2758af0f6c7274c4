"""Any video in, equal frames at a constant rate out.

`Clip` is what a geometry estimator sees; a `Scene` is one too.
"""

from typing import Protocol

from inspatio_gym.scenes.errors import VideoError
from inspatio_gym.types import Rgb, Size

__all__ = ["Clip", "VideoError"]


class Clip(Protocol):
    """Frames at working size (long side at most 832). Cheap to walk in order; random access is cached."""

    @property
    def num_frames(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def size(self) -> Size:
        """(H, W)."""
        ...

    def rgb(self, i: int) -> Rgb:
        """Frame i, uint8 (H, W, 3), read-only. Raises IndexError outside 0..num_frames-1."""
        ...
