"""Gymnasium's vector info: a dictionary of arrays over worlds, and under `_key` which worlds have the key.

gather   the infos of some worlds, a dictionary each  ->  one vector info
merge    the vector infos of several batches          ->  that of the whole
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.recycling import Recycler

Rows = slice | NDArray[np.int64]


def gather(infos: Mapping[int, Mapping[str, Any]], num_envs: int, recycler: Recycler) -> dict[str, Any]:
    """Infos of some worlds as Gymnasium's vector info: for each key an array over worlds, and under _key who has it.

    Arrays are stacked if all have one shape; those that do not (frames of worlds that begin and of worlds that go on), and
    whatever is no number, make an array of objects. Only "final_info" becomes such a dictionary again.
    """
    batched: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos.values() for key in info):
        having = [k for k, info in infos.items() if key in info]
        values = [infos[k][key] for k in having]
        mask = np.zeros(num_envs, np.bool_)
        mask[having] = True
        if key == "final_info":
            batched[key] = gather(dict(zip(having, values, strict=True)), num_envs, recycler)
            batched[f"_{key}"] = mask
            continue
        if all(isinstance(value, np.ndarray) for value in values) and len({value.shape for value in values}) == 1:
            array = recycler.empty((num_envs, *values[0].shape), values[0].dtype)
            array[~mask] = 0
        elif all(isinstance(value, bool | int | float | np.number | np.bool_) for value in values):
            array = np.zeros(num_envs, np.asarray(values).dtype)
        else:
            array = np.full(num_envs, None, object)
        for k, value in zip(having, values, strict=True):
            array[k] = value
        batched[key], batched[f"_{key}"] = array, mask
    return batched


def merge(parts: Sequence[tuple[Rows, Mapping[str, Any]]], count: int, recycler: Recycler) -> dict[str, Any]:
    """Vector infos of batches as that of all `count` worlds together: what `gather` would have made of them at once.

    parts: the rows of the whole that a batch holds, and its info. Everything is copied.
    """
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for _, infos in parts for key in infos if not key.startswith("_")):
        having = [(rows, infos[key], infos[f"_{key}"]) for rows, infos in parts if key in infos]
        mask = np.zeros(count, np.bool_)
        for rows, _, has in having:
            mask[rows] = has
        if key == "final_info":
            merged[key] = merge([(rows, infos) for rows, infos, _ in having], count, recycler)
        else:
            merged[key] = _stack(having, mask, recycler)
        merged[f"_{key}"] = mask
    return merged


def _stack(
    having: Sequence[tuple[Rows, NDArray[Any], NDArray[np.bool_]]], mask: NDArray[np.bool_], recycler: Recycler
) -> NDArray[Any]:
    """One array over all worlds of arrays over some, of which those in `mask` have a value."""
    arrays = [array for _, array, _ in having]
    kind = np.result_type(*(array.dtype for array in arrays))
    if kind.kind != "O" and len({array.shape[1:] for array in arrays}) == 1:
        whole = recycler.empty((len(mask), *arrays[0].shape[1:]), kind)
        whole[~mask] = 0
        for rows, array, has in having:
            if has.all():
                whole[rows] = array
            else:
                whole[np.arange(len(mask))[rows][has]] = array[has]
        return whole
    whole = np.full(len(mask), None, object)
    for rows, array, has in having:
        for k, row in zip(np.arange(len(mask))[rows][has], np.flatnonzero(has), strict=True):
            whole[k] = copy.deepcopy(array[row])
    return whole
