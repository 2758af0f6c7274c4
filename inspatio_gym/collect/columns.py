"""Arrays as columns of a table."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.extras import extra

with extra("datasets"):
    import pyarrow as pa


def column(array: NDArray[Any], rows: int | None = None) -> "pa.Array":
    """A column of an array (n, ...): numbers if it is (n,), else lists of equal length, row by row in C order.

    rows: of the column, nulls after the first n; n by default.
    """
    count = len(array)
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    if array.ndim > 1:
        flat = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(array.shape[1:])))
    if rows is None or rows == count:
        return flat
    if array.ndim > 1:
        flat = flat.cast(pa.list_(flat.type.value_type))  # old readers take nulls among lists of a fixed length amiss
    return pa.concat_arrays([flat, pa.nulls(rows - count, flat.type)])
