"""Gymnasium spaces as JSON values and back, so that a policy file says what it observes and does.

Box       {"type": "box", "shape": [7], "dtype": "float32", "low": -1.0, "high": [..]}   a number where all are equal
Discrete  {"type": "discrete", "n": 13}
Dict      {"type": "dict", "spaces": {key: space, ...}}
"""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


def space_to_json(space: gym.Space) -> dict[str, Any]:
    """Raises ValueError for a space that is none of the three."""
    match space:
        case gym.spaces.Box():
            bounds = {"low": _brief(space.low), "high": _brief(space.high)}
            return {"type": "box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
        case gym.spaces.Discrete(start=0):
            return {"type": "discrete", "n": int(space.n)}
        case gym.spaces.Dict():
            return {"type": "dict", "spaces": {key: space_to_json(part) for key, part in space.spaces.items()}}
    raise ValueError(f"expected a Box, a Discrete from 0, or a Dict of them, got {space}")


def space_from_json(value: dict[str, Any]) -> gym.Space:
    """The space that `space_to_json` has described. Raises ValueError or KeyError if `value` describes none."""
    match value["type"]:
        case "box":
            shape, dtype = tuple(value["shape"]), np.dtype(value["dtype"])
            low, high = (np.broadcast_to(np.asarray(value[end], dtype), shape) for end in ("low", "high"))
            return gym.spaces.Box(low.copy(), high.copy(), shape, dtype.type)
        case "discrete":
            return gym.spaces.Discrete(value["n"])
        case "dict":
            return gym.spaces.Dict({key: space_from_json(part) for key, part in value["spaces"].items()})
    raise ValueError(f"expected a space of type box, discrete or dict, got {value['type']!r}")


def _brief(bound: NDArray[Any]) -> Any:
    return bound.flat[0].item() if (bound == bound.flat[0]).all() else bound.tolist()
