"""From an observation with a goal picture to features: what of the one picture is where in the other.

    rgb       (B, 3, H, W) 0..1   --+-> the same convolutions -> (B, C, h, w), less their mean over the cells, to length 1
    goal_rgb  (B, 3, H, W)        --+                                          |
                                                        cosines of all pairs of cells (B, hw * hw) -> (B, image_features)
    pose (B, 7), time (B, 2), ... -> concat -> one layer                                           -> (B, state_features)

A camera's motion moves what it sees, and the table of cosines holds where everything has gone. A layer upon it sees turns and
moves at once, where a stack of both pictures must first learn to compare: supervised by the true way to the goal for 35
seconds of one core, in the bundled room at 48x80, the tables left errors of 1.8 degrees and 0.03 median depths, the stack of
`features` 3.6 degrees and 0.07 (as much as not looking). What it learns is of pictures, not of one room. Depth is left out;
it changed nothing.

Ref: the layer of all pairs is that of optical flow networks, e.g. Teed and Deng 2020, "RAFT".
"""

import gymnasium as gym
import numpy as np

from inspatio_gym.agents.recipes import Network
from inspatio_gym.extras import extra

with extra("agents"):
    import torch
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import Tensor, nn
    from torch.nn import functional

PAIR = ("rgb", "goal_rgb")
PATCH, STRIDE = 8, 4  # pixels; another layer halves the grid, so a cell is 8 pixels wide
GREY = 0.45  # about the mean of a picture


class MatchingFeatures(BaseFeaturesExtractor):
    """See the module's docstring. Raises ValueError for an observation without the two pictures."""

    def __init__(self, observation_space: gym.Space, network: Network):
        if not isinstance(observation_space, gym.spaces.Dict) or not all(
            key in observation_space.spaces for key in PAIR
        ):
            raise ValueError(f"expected observations with {' and '.join(PAIR)}, got {observation_space}")
        spaces = observation_space.spaces
        super().__init__(observation_space, network.image_features + network.state_features)
        channels = network.matching
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, channels, PATCH, STRIDE, (PATCH - STRIDE) // 2),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 2, 1),
        )
        shape = spaces["rgb"].shape
        assert shape is not None
        with torch.no_grad():
            cells = self.convolutions(torch.zeros(1, *shape)).flatten(2).shape[2]
        self.image_head = nn.Sequential(nn.Linear(cells * cells, network.image_features), nn.ReLU())
        self.states = [key for key, space in spaces.items() if len(space.shape or ()) == 1]
        numbers = sum(int(np.prod(spaces[key].shape or ())) for key in self.states)
        self.state_head = nn.Sequential(nn.Linear(numbers, network.state_features), nn.ReLU())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        here, there = PAIR
        both = self.convolutions(torch.cat([observations[here], observations[there]]) - GREY).flatten(2)
        both = functional.normalize(both - both.mean(2, keepdim=True), dim=1)
        count = len(observations[here])
        cosines = torch.bmm(both[:count].transpose(1, 2), both[count:]).flatten(1)
        state = torch.cat([observations[key] for key in self.states], 1)
        return torch.cat([self.image_head(cosines), self.state_head(state)], 1)
