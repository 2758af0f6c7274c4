"""The network that TorchRL's PPO gets: `ActorCritic`'s parts as operators on tensordicts.

rgb, depth, pose, time, ...  -> features -> loc, scale -> action    or logits -> action
                                         -> state_value
"""

import gymnasium as gym

from inspatio_gym.agents.actor_critic import ActorCritic, as_float
from inspatio_gym.extras import extra

with extra("torchrl"):
    import torch
    from tensordict.nn import TensorDictModule
    from torch import Tensor, nn
    from torchrl.envs import EnvBase
    from torchrl.modules import ActorValueOperator, ProbabilisticActor, TanhNormal, ValueOperator


def actor_value(env: EnvBase, observation_space: gym.Space, action_space: gym.Space) -> ActorValueOperator:
    """An untrained policy and value function on common features. The spaces are those of one world.

    Raises what `ActorCritic` raises.
    """
    net = ActorCritic(observation_space, action_space)
    assert isinstance(observation_space, gym.spaces.Dict)
    keys = list(observation_space.spaces)
    if net.log_std is None:
        heads, distribution = ["logits"], torch.distributions.Categorical
    else:
        heads, distribution = ["loc", "scale"], TanhNormal
    image = next(key for key in keys if key in net.features.images)
    actor = TensorDictModule(_Actor(net), ["features"], heads)
    return ActorValueOperator(
        TensorDictModule(_Features(net, keys, keys.index(image)), keys, ["features"]),
        ProbabilisticActor(
            actor, heads, ["action"], spec=env.action_spec, distribution_class=distribution, return_log_prob=True
        ),
        ValueOperator(net.critic, ["features"]),
    )


class _Features(nn.Module):
    """Observations, one argument each, with any batch axes -> features. image: which of them is one."""

    def __init__(self, net: ActorCritic, keys: list[str], image: int):
        super().__init__()
        self.features, self.keys, self.image = net.features, keys, image

    def forward(self, *observations: Tensor) -> Tensor:
        batch = observations[self.image].shape[:-3]
        flat = [as_float(each).flatten(0, len(batch) - 1) for each in observations]
        return self.features(dict(zip(self.keys, flat, strict=True))).unflatten(0, batch)


class _Actor(nn.Module):
    """Features -> logits, or means and standard deviations."""

    def __init__(self, net: ActorCritic):
        super().__init__()
        self.actor, self.log_std = net.actor, net.log_std

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        out = self.actor(features)
        return out if self.log_std is None else (out, self.log_std.exp().expand_as(out))
