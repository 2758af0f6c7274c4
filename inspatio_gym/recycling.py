"""Fresh arrays without fresh memory.

The system hands out large arrays as empty pages, and every page's first touch interrupts the program: for a batch of
views that takes a fifth as long as rendering them. So the memory of large arrays is kept, and what nobody looks at any
more is handed out again. Whoever still holds an array, or a view of it, keeps it for good.
"""

import math
import sys
import threading
from collections import defaultdict, deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE = 128 * 1024  # bytes from which the C library asks the system for an array of its own
KEPT = 8  # buffers of a size that wait for their next use; sizes are powers of two, as batches come in all sizes
UNSEEN = 3  # references to a buffer that is only ours: the deque's, the loop's, and that of the question


class Recycler:
    """Hands out arrays like `numpy.empty`, in memory that has been used before where possible."""

    def __init__(self) -> None:
        self._kept: defaultdict[int, deque[NDArray[np.uint8]]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array that nobody else has, of any content."""
        kind = np.dtype(dtype)
        nbytes = math.prod(shape) * kind.itemsize
        if nbytes < LARGE:
            return np.empty(shape, kind)
        # An array's base is the buffer: it counts as a reference for as long as the array, or a view of it, lives.
        with self._lock:
            size = 1 << (nbytes - 1).bit_length()
            kept = self._kept[size]
            for buffer in kept:
                if sys.getrefcount(buffer) == UNSEEN:
                    return np.ndarray(shape, kind, buffer)
            buffer = np.empty(size, np.uint8)
            kept.append(buffer)
            return np.ndarray(shape, kind, buffer)
