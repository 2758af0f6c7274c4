"""Actor and critic in one plain torch network, for trainers that bring none for dictionaries of images and numbers.

    observations, as the environment gives them (uint8 images channels last, numbers)
      -> RgbdFeatures (B, F) -> actor (B, 2A): means and log standard deviations, or (B, n): logits
                             -> critic (B,): values

`inspatio_gym.agents.rllib` wraps it for RLlib, examples/08_torchrl.py for TorchRL. SB3 builds its own on the same features.
"""

import gymnasium as gym

from inspatio_gym.agents.features import RgbdFeatures
from inspatio_gym.agents.recipes import Network
from inspatio_gym.extras import extra

with extra("agents"):
    import torch
    from torch import Tensor, nn


class ActorCritic(nn.Module):
    """See the module's docstring. log_std_init: of a box's actions at first; see `PPORecipe`.

    Raises ValueError for actions that are neither a box nor discrete, or observations without images.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        network: Network | None = None,
        log_std_init: float = -2.0,
    ):
        super().__init__()
        network = network or Network()
        if isinstance(action_space, gym.spaces.Discrete):
            outputs = int(action_space.n)
            self.log_std = None
        elif isinstance(action_space, gym.spaces.Box) and len(action_space.shape) == 1:
            outputs = action_space.shape[0]
            self.log_std = nn.Parameter(torch.full((outputs,), log_std_init))
        else:
            raise ValueError(f"expected actions of a discrete space or a flat box, got {action_space}")
        self.features = RgbdFeatures(observation_space, network)
        self.actor = head(self.features.features_dim, network.hidden, outputs, gain=0.01)
        self.critic = head(self.features.features_dim, network.hidden, 1, gain=1.0)

    def forward(self, observations: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What to draw actions from, (B, 2A) or (B, n), and values (B,)."""
        features = self.features({key: as_float(value) for key, value in observations.items()})
        actions = self.actor(features)
        if self.log_std is not None:
            actions = torch.cat([actions, self.log_std.expand_as(actions)], 1)
        return actions, self.critic(features).squeeze(1)


def as_float(values: Tensor) -> Tensor:
    """Pixels as 0 to 1, other numbers as they are."""
    return values.float() / 255 if values.dtype == torch.uint8 else values.float()


def head(inputs: int, hidden: tuple[int, ...], outputs: int, *, gain: float) -> nn.Sequential:
    """Layers of these widths, the last one orthogonal with this gain: small, and the first actions are alike."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    last = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(last.weight, gain)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
