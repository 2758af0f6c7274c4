"""A vector environment that takes and gives torch tensors on a device, for learners that would convert them anyway.

    envs = TorchVectorEnv(gym.make_vec("InSpatio-v0", 64, vectorization_mode="vector_entry_point", scene="room"), "cuda")
    observations, infos = envs.reset(seed=0)              # {"rgb": uint8 (64, H, W, 3) on the GPU, ...}
    observations, rewards, terminations, truncations, infos = envs.step(actions)       # a tensor (64, ...), anywhere

Observations keep their types, rewards are float32 and ends bool, each (N,); the observations in infos["final_obs"] are
tensors too, whatever else is in infos stays NumPy's. One copy a key goes to a GPU; on a CPU a tensor is the memory that the
array was. All other attributes and methods are those of the environment within.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from inspatio_gym.envs.worlds import WorldsVectorEnv
from inspatio_gym.extras import extra

with extra("agents"):
    import torch
    from torch import Tensor

Tensors = dict[str, Tensor]
Results = tuple[Tensors, Tensor, Tensor, Tensor, dict[str, Any]]


class TorchVectorEnv(VectorWrapper):
    """See the module's docstring. envs: an environment of worlds; device: where tensors are handed out."""

    def __init__(self, envs: VectorEnv, device: str = "cpu"):
        worlds = envs.unwrapped
        if not isinstance(worlds, WorldsVectorEnv):
            raise TypeError(f"expected a vector environment of worlds, got {envs}: make an InSpatioVectorEnv")
        super().__init__(envs)
        self.device = torch.empty(0, device=device).device
        self._worlds = worlds

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensors, dict[str, Any]]:
        """As the environment's; options["reset_mask"] may be a tensor."""
        options = dict(options or {})
        if isinstance(options.get("reset_mask"), Tensor):
            options["reset_mask"] = as_array(options["reset_mask"])
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        return self._tensors(observations), infos

    def step(self, actions: Any) -> Results:
        """As the environment's."""
        return self._results(self.env.step(as_array(actions)))

    def step_slots(self, indices: Any, actions: Any) -> Results:
        """As the environment's."""
        return self._results(self._worlds.step_slots(as_array(indices), as_array(actions)))

    def restore(self, world: int, snapshot: Mapping[str, Any]) -> Tensors:
        """As the environment's."""
        return self._tensors(self._worlds.restore(world, snapshot))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._worlds, name)

    def _results(self, results: Any) -> Results:
        observations, rewards, terminations, truncations, infos = results
        if "final_obs" in infos:
            for k in np.flatnonzero(infos["_final_obs"]):
                infos["final_obs"][k] = self._tensors(infos["final_obs"][k])
        rewards, terminations, truncations = (
            torch.from_numpy(each).to(self.device) for each in (rewards.astype(np.float32), terminations, truncations)
        )
        return self._tensors(observations), rewards, terminations, truncations, infos

    def _tensors(self, observations: Mapping[str, NDArray[Any]]) -> Tensors:
        return {key: torch.from_numpy(value).to(self.device) for key, value in observations.items()}


def as_array(values: Any) -> Any:
    """A tensor as an array in the memory of the CPU, anything else as it is."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values
