"""From an observation with a goal picture to features: the way from the one picture to the other.

    rgb       (B, 3, H, W) 0..1  --+-> the same convolutions -> (B, C, h, w), less their mean over the cells, to length 1
    goal_rgb  (B, 3, H, W)       --+                                          |
                             cosines of all pairs of cells (B, hw * hw) -> layers -> the way: right, up, forward,
                                                                            yaw, pitch, roll (B, 6)          --+-> concat
    pose (B, 7), time (B, 2), ... -> concat -> one layer                        -> (B, state_features)       --+

A camera's motion moves what it sees, and the table of cosines holds where everything has gone, so that layers upon it see
turns and moves, where a stack of both pictures must first learn to compare. A cell is a patch, and knows three patches
around it on every side: with patches alone many look the same.

What sees (`sight`) is learned beforehand from the agent's own motion (`odometry`) and is kept; gradients of what is learned
upon it do not reach it.

Ref: the table of all pairs is that of optical flow networks, e.g. Teed and Deng 2020, "RAFT".
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
GREY = 0.45  # about the mean of a picture
HIDDEN = 64
WAY = 6


class MatchingFeatures(BaseFeaturesExtractor):
    """See the module's docstring. Raises ValueError for an observation without the two pictures."""

    def __init__(self, observation_space: gym.Space, network: Network):
        if not isinstance(observation_space, gym.spaces.Dict) or not all(
            key in observation_space.spaces for key in PAIR
        ):
            raise ValueError(f"expected observations with {' and '.join(PAIR)}, got {observation_space}")
        spaces = observation_space.spaces
        super().__init__(observation_space, WAY + network.state_features)
        channels, patch = network.matching, network.patch
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, channels, 3 * patch, patch, patch),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
        )
        shape = spaces["rgb"].shape
        assert shape is not None
        with torch.no_grad():
            cells = self.convolutions(torch.zeros(1, *shape)).flatten(2).shape[2]
        self.way_head = nn.Sequential(
            nn.Linear(cells * cells, network.image_features),
            nn.ReLU(),
            nn.Linear(network.image_features, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, WAY),
        )
        self.sight = (self.convolutions, self.way_head)
        for part in self.sight:
            part.requires_grad_(False)
        self.states = [key for key, space in spaces.items() if len(space.shape or ()) == 1]
        numbers = sum(int(np.prod(spaces[key].shape or ())) for key in self.states)
        self.state_head = nn.Sequential(nn.Linear(numbers, network.state_features), nn.ReLU())

    def cells(self, pictures: Tensor) -> Tensor:
        """What is in each cell of pictures (B, 3, H, W): vectors of length 1, (B, C, hw)."""
        cells = self.convolutions(pictures - GREY).flatten(2)
        return functional.normalize(cells - cells.mean(2, keepdim=True), dim=1)

    def way(self, here: Tensor, there: Tensor) -> Tensor:
        """The way (B, 6) from one picture to another, by their `cells`, in the axes of the first camera: right, up, forward in
        units of half a median depth; yaw, pitch, roll in units of 30 degrees."""
        return self.way_head(torch.bmm(here.transpose(1, 2), there).flatten(1))

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        cells = self.cells(torch.cat([observations[key] for key in PAIR]))
        way = self.way(*cells.chunk(2))
        state = torch.cat([observations[key] for key in self.states], 1)
        return torch.cat([way, self.state_head(state)], 1)
