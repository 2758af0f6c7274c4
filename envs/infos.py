"""Gymnasium's vector info: a dictionary of arrays over worlds, and under `_key` which worlds have the key.

gather   the infos of some worlds, a dictionary each  ->  one vector info
merge    the vector infos of several batches          ->  that of the whole
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from inspatio_gym.recycling import Recycler


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
