"""Poses, projection and splatting: the geometry that every floor above stands on.

`splat` (torch), the modules `poses` (numpy) and `logdepth` (16-bit depth codes) are imported when first named, so that
`import inspatio_gym` and everything that only needs poses stay free of torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspatio_gym.geometry.splatting import splat

__all__ = ["splat"]


def __getattr__(name: str) -> Any:
    if name == "splat":
        return importlib.import_module("inspatio_gym.geometry.splatting").splat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
