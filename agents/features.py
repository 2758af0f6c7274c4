"""From an observation to features: colour and depth through a small convolutional net, pose and time beside it.

    rgb    (B, 3, H, W) 0..1     --+
    depth  (B, H, W, 1) 0..10      +-> stack (B, C, H, W) -> patches, strided convolutions -> (B, image_features)  --+
    other images of the same size --+                                                                                +-> concat
    pose (B, 7), time (B, 2), ...  ----> concat -> one layer                              -> (B, state_features)  --+

SB3 hands over uint8 images channels first and divided by 255 (it wraps such environments in `VecTransposeImage`); a
float image like the depth keeps its channels last and its values. Depth enters as 1 / (1 + depth): near things large,
the median depth 1/2, everything beyond the clip at 10 about 0.1.
"""

import gymnasium as gym
import numpy as np

from inspatio_gym.agents.recipes import Network
from inspatio_gym.extras import extra

with extra("agents"):
    import torch
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import Tensor, nn


class RgbdFeatures(BaseFeaturesExtractor):
    """See the module's docstring. Raises ValueError if images of the observation differ in size or none is there."""

    def __init__(self, observation_space: gym.Space, network: Network):
        if not isinstance(observation_space, gym.spaces.Dict):
            raise ValueError(f"expected a dictionary of observations, got {observation_space}")
        spaces = observation_space.spaces
        self.images = {key: _is_channels_first(space) for key, space in spaces.items() if len(space.shape or ()) == 3}
        self.states = [key for key in spaces if key not in self.images]
        super().__init__(observation_space, network.image_features + network.state_features)

        sizes = {_size(spaces[key].shape, first) for key, first in self.images.items()}  # type: ignore[arg-type]
        if len(sizes) != 1:
            raise ValueError(f"expected images of one size in the observation, got {sizes or 'none'} in {spaces}")
        with torch.no_grad():
            blank = {key: torch.zeros(1, *(space.shape or ())) for key, space in spaces.items()}
            channels = self.stack(blank).shape[1]
            layers: list[nn.Module] = [
                nn.Conv2d(channels, network.channels[0], network.patch, network.patch),
                nn.ReLU(),
            ]
            for before, after in zip(network.channels, network.channels[1:], strict=False):
                layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
            self.convolutions = nn.Sequential(*layers, nn.Flatten())
            flat = self.convolutions(self.stack(blank)).shape[1]
        self.image_head = nn.Sequential(nn.Linear(flat, network.image_features), nn.ReLU())
        numbers = sum(int(np.prod(spaces[key].shape or ())) for key in self.states)
        self.state_head = nn.Sequential(nn.Linear(numbers, network.state_features), nn.ReLU())

    def stack(self, observations: dict[str, Tensor]) -> Tensor:
        """All images of a batch as (B, C, H, W)."""
        planes = []
        for key, channels_first in self.images.items():
            image = observations[key] if channels_first else observations[key].permute(0, 3, 1, 2)
            planes.append(1.0 / (1.0 + image) if key == "depth" else image)
        return torch.cat(planes, 1)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        image = self.image_head(self.convolutions(self.stack(observations)))
        state = torch.cat([observations[key].flatten(1) for key in self.states], 1)
        return torch.cat([image, self.state_head(state)], 1)


def _is_channels_first(space: gym.Space) -> bool:
    """Whether an image space is (C, H, W): the channels are the shortest side."""
    assert space.shape is not None
    return space.shape[0] < space.shape[2]


def _size(shape: tuple[int, int, int], channels_first: bool) -> tuple[int, int]:
    return shape[1:] if channels_first else shape[:2]
