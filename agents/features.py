"""From an observation to features: what the pictures show through a small convolutional net, pose and time beside it.

    rgb    (B, 3, H, W) 0..1     --+
    depth  (B, H, W, 1) 0..10      +-> patches (B, c, h, w), strided convolutions -> (B, image_features)  --+
    other images of the same size --+                                                                        +-> concat
    pose (B, 7), time (B, 2), ...  ----> concat -> one layer              -> (B, state_features)  -----------+

SB3 hands over uint8 images channels first and divided by 255 (it wraps such environments in `VecTransposeImage`); a
float image like the depth keeps its channels last and its values. Depth enters as 1 / (1 + depth): near things large,
the median depth 1/2, everything beyond the clip at 10 about 0.1.

A picture of the goal is matched with what is seen, because where things must go tells more than either picture alone, and
is the same in every scene. Every patch of what is seen looks for its like among all patches of the goal:

    p[i, j] = softmax over j of SHARPNESS cos(e(seen i), e(goal j))       e: 16 learned features of a patch
    flow[i] = sum over j of p[i, j] (place of j) - (place of i)           2 channels; and max over j of p[i, j], 1 channel

Ref: Xu et al. 2022, "GMFlow: Learning Optical Flow via Global Matching".
"""

import gymnasium as gym
import numpy as np

from inspatio_gym.agents.recipes import Network
from inspatio_gym.extras import extra

with extra("agents"):
    import torch
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import Tensor, nn

SEEN, GOAL = "rgb", "goal_rgb"
MATCHED = 16  # features of a patch that is matched
SHARPNESS = 20.0


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
        self.compares = {SEEN, GOAL} <= set(self.images)
        with torch.no_grad():
            blank = {key: torch.zeros(1, *(space.shape or ())) for key, space in spaces.items()}
            first = network.channels[0]
            self.patches = nn.Conv2d(self.stack(blank).shape[1], first, network.patch, network.patch)
            if self.compares:
                self.eye = nn.Conv2d(3, MATCHED, network.patch, network.patch)
            layers: list[nn.Module] = [nn.ReLU()]
            before = self.look(blank).shape[1]
            for after in network.channels[1:]:
                layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
                before = after
            self.convolutions = nn.Sequential(*layers, nn.Flatten())
            flat = self.convolutions(self.look(blank)).shape[1]
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

    def look(self, observations: dict[str, Tensor]) -> Tensor:
        """What the first layer makes of a batch, (B, c, h, w): patches of all images, and where the goal has its like."""
        seen = self.patches(self.stack(observations))
        if not self.compares:
            return seen
        return torch.cat([seen, flow(self.eye(observations[SEEN] - 0.5), self.eye(observations[GOAL] - 0.5))], 1)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        image = self.image_head(self.convolutions(self.look(observations)))
        state = torch.cat([observations[key].flatten(1) for key in self.states], 1)
        return torch.cat([image, self.state_head(state)], 1)


def flow(here: Tensor, there: Tensor) -> Tensor:
    """Where each place of a grid (B, c, h, w) has its like in another: right, down (in half grids), how surely, (B, 3, h, w)."""
    height, width = here.shape[2:]
    rows, cols = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    places = torch.stack([cols.repeat(height), rows.repeat_interleave(width)], 1).to(here)
    here, there = (nn.functional.normalize(grid.flatten(2), dim=1) for grid in (here, there))
    likely = torch.softmax(SHARPNESS * here.transpose(1, 2) @ there, 2)
    moved = likely @ places - places
    return torch.cat([moved, likely.amax(2, keepdim=True)], 2).transpose(1, 2).unflatten(2, (height, width))


def _is_channels_first(space: gym.Space) -> bool:
    """Whether an image space is (C, H, W): the channels are the shortest side."""
    assert space.shape is not None
    return space.shape[0] < space.shape[2]


def _size(shape: tuple[int, int, int], channels_first: bool) -> tuple[int, int]:
    return shape[1:] if channels_first else shape[:2]
