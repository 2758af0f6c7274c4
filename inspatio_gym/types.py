"""The words for arrays: what each axis means, and in which unit.

Axis letters, everywhere in this project:

    F  frames of the source video       N  worlds in a batch      n  frames of one request
    H  rows, W  columns                 m  frames observed        c2w  camera-to-world, 4x4

A pose is a rigid camera-to-world matrix in OpenCV axes (x right, y down, z forward), float64, the first source camera
being the identity. Pixel centres lie at integer coordinates, so an image of width W spans [-1/2, W - 1/2]. Depth is
z-depth in scene units (the scene's median depth is 1 unless its estimator is metric). Images are RGB uint8.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pose: TypeAlias = NDArray[np.float64]
"""(4, 4) camera-to-world."""
Poses: TypeAlias = NDArray[np.float64]
"""(n, 4, 4) camera-to-world."""
Intrinsics: TypeAlias = NDArray[np.float64]
"""(3, 3) or (F, 3, 3) pinhole matrices in pixels, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."""
Rgb: TypeAlias = NDArray[np.uint8]
"""(H, W, 3)."""
Depth: TypeAlias = NDArray[np.float32]
"""(H, W), z-depth."""
Mask: TypeAlias = NDArray[np.bool_]
"""(H, W)."""
Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""
Arrays: TypeAlias = dict[str, NDArray[Any]]
"""An observation: arrays by name."""
