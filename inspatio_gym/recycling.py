"""Fresh arrays without fresh memory.

The system hands out large arrays as empty pages, and every page's first touch interrupts the program: for a batch of
views that takes a fifth as long as rendering them. So large arrays are kept, and one that nobody looks at any more is
handed out again. Whoever still holds it, or a view of it, keeps it for good.
"""

import math
import sys
from collections import defaultdict, deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE = 128 * 1024  # bytes from which the C library asks the system for an array of its own
KEPT = 4  # arrays of a kind that wait for their next use
UNSEEN = 3  # references to an array that is only ours: the deque's, the loop's, and that of the question


class Recycler:
    """Hands out arrays like `numpy.empty`, in memory that has been used before where possible."""

    def __init__(self) -> None:
        self._kept: defaultdict[tuple[Any, ...], deque[NDArray[Any]]] = defaultdict(lambda: deque(maxlen=KEPT))

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array that nobody else has, of any content."""
        kind = np.dtype(dtype)
        if math.prod(shape) * kind.itemsize < LARGE:
            return np.empty(shape, kind)
        kept = self._kept[shape, kind]
        for array in kept:
            if sys.getrefcount(array) == UNSEEN:
                return array.view()  # refers to the array for as long as it, or a view of it, lives
        array = np.empty(shape, kind)
        kept.append(array)
        return array.view()
