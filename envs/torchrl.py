"""A Gymnasium vector environment as a TorchRL environment of batch size (N,).

TorchRL itself asks for a reset of the worlds that are done, by a mask, before the next step:

    env.rollout, a collector, ...  ->  _step, _step, _reset({"_reset": mask}), _step, ...
                                           |            |
    envs.step(actions)          <----------+            +---------->   envs.reset(options={"reset_mask": mask})

That is Gymnasium's autoreset mode DISABLED, and NEXT_STEP as long as nobody steps an ended world; so `("next", key)` is the
last observation of the old episode, `key` the first of the new one, and `terminated` and `truncated` stay apart. SAME_STEP
resets too early and is refused.

    env = to_torchrl(gym.make_vec("InSpatio-v0", num_envs=16, scene="room", vectorization_mode="vector_entry_point"))

A tensordict holds the observation's keys as they are (rgb uint8 (N, H, W, 3), ...), `reward`, `done`, `terminated` and
`truncated` (N, 1) and `action` (N, A), or (N,) for named moves. Infos are left out.

Ref: https://docs.pytorch.org/rl/stable/reference/envs.html
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from inspatio_gym.extras import extra

with extra("torchrl"):
    import torch
    from tensordict import TensorDict, TensorDictBase
    from torch import Tensor
    from torchrl.data import Binary, Bounded, Categorical, Composite, TensorSpec, Unbounded
    from torchrl.envs import EnvBase


def to_torchrl(envs: VectorEnv, device: str = "cpu") -> "TorchRLEnv":
    """`envs` as a TorchRL environment whose tensors are on `device`.

    Raises ValueError unless its autoreset mode is NEXT_STEP or DISABLED and its spaces are boxes and discrete ones.
    """
    return TorchRLEnv(envs, device)


class TorchRLEnv(EnvBase):
    """See the module's docstring. `envs` is the vector environment within."""

    def __init__(self, envs: VectorEnv, device: str = "cpu"):
        mode = envs.metadata.get("autoreset_mode")
        if mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
            raise ValueError(
                f"expected autoreset mode NEXT_STEP or DISABLED, got {mode}: TorchRL resets the worlds that are done, "
                "so make them with autoreset_mode='Disabled'"
            )
        batch = torch.Size([envs.num_envs])
        super().__init__(device=torch.device(device), batch_size=batch)
        self.envs = envs
        self._seed: int | None = None
        observations = envs.single_observation_space
        if not isinstance(observations, gym.spaces.Dict):
            raise ValueError(f"expected observations of a dictionary of boxes, got {observations}")
        specs = {key: as_spec(space, batch, self.device) for key, space in observations.spaces.items()}
        self.observation_spec = Composite(specs, shape=batch, device=self.device)
        self.action_spec = as_spec(envs.single_action_space, batch, self.device)
        self.reward_spec = Unbounded((*batch, 1), device=self.device)
        ends = {key: Binary(shape=(*batch, 1), dtype=torch.bool, device=self.device) for key in ENDS}
        self.done_spec = Composite(ends, shape=batch, device=self.device)

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        options = None if mask is None else {"reset_mask": mask.reshape(-1).cpu().numpy()}
        observations, _ = self.envs.reset(seed=self._seed, options=options)
        self._seed = None
        return self._tensors(observations)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        observations, rewards, terminations, truncations, _ = self.envs.step(tensordict["action"].cpu().numpy())
        out = self._tensors(observations)
        ends = (terminations | truncations, terminations, truncations)
        for key, values in (("reward", rewards.astype(np.float32)), *zip(ENDS, ends, strict=True)):
            out[key] = torch.from_numpy(values)[:, None]
        return out

    def _tensors(self, observations: dict[str, np.ndarray]) -> TensorDict:
        """Observations on the device; on a CPU they are the same memory, which nobody else has."""
        return TensorDict(
            {key: torch.from_numpy(values) for key, values in observations.items()}, self.batch_size, device=self.device
        )

    def _set_seed(self, seed: int | None) -> None:
        """World k begins with the number + k at the next reset."""
        self._seed = seed

    def close(self, **_: Any) -> None:
        super().close()
        self.envs.close()


ENDS = ("done", "terminated", "truncated")


def as_spec(space: gym.Space, batch: torch.Size, device: torch.device) -> TensorSpec:
    """A Gymnasium space of one world as the spec of all. Raises ValueError for what is neither a box nor discrete."""
    if isinstance(space, gym.spaces.Discrete) and space.start == 0:
        return Categorical(int(space.n), shape=batch, device=device)
    if not isinstance(space, gym.spaces.Box):
        raise ValueError(f"expected a box or a discrete space that begins at 0, got {space}: flatten it with a wrapper")

    def bound(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values).expand(*batch, *space.shape)

    return Bounded(bound(space.low), bound(space.high), dtype=bound(space.low).dtype, device=device)
