"""The numbers of each training algorithm, and why; `inspatio-gym train` offers every field as an option.

A step is one action held for `frames_per_step` frames, about half a second of the world. Frames are small and worlds
are cheap, so the recipes are made for a few CPU cores: many worlds, a small network, few passes over the data.
Every rate that "falls" does so linearly, from the given value at the beginning to zero at the end of the steps or minutes.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Network:
    """What looks at an observation; see `inspatio_gym.agents.features`."""

    patch: int = 8
    """Side of the square patches that the first layer cuts the image into, in pixels: one look at every pixel, which
    costs half of overlapping windows on a CPU. With `matching`, the side of a cell, which sees three of them."""
    channels: tuple[int, ...] = (32, 32)
    """Channels of the layers: the first sees patches, each further one halves the grid."""
    matching: int = 0
    """Channels by which the picture and the goal's are compared, see `inspatio_gym.agents.matching`; 0 stacks all images."""
    pairs: int = 1_000_000
    """Pairs of pictures from which that is learned beforehand, in half of a training's minutes at most; a picture serves 24
    pairs and is kept as bytes: a million pairs of 48x80 pixels are 0.5 GB. See `inspatio_gym.agents.odometry`."""
    image_features: int = 128
    """Features of the image, colour and depth together; with `matching`, of the table of cosines."""
    state_features: int = 64
    """Features of pose, time and what the task adds."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the layers above, of the actor and of the critic each."""


@dataclass(frozen=True, slots=True)
class PPORecipe:
    """Proximal policy optimisation (Schulman et al. 2017)."""

    learning_rate: float = 7e-4
    """Of Adam; falls. Higher than the usual 3e-4, because the trainings are short."""
    n_steps: int = 64
    """Steps of every world between two updates."""
    batch_size: int = 256
    """Steps in a minibatch."""
    n_epochs: int = 4
    """Passes over the collected steps; the usual 10 would leave most of the time to the network."""
    gamma: float = 0.97
    """Discount a step: what comes within about 30 steps counts."""
    gae_lambda: float = 0.95
    """Of generalised advantage estimation."""
    clip_range: float = 0.2
    """How far an update may move an action's probability."""
    ent_coef: float = 0.0
    """Weight of the entropy; the Gaussian's own width keeps enough of it."""
    vf_coef: float = 0.5
    """Weight of the critic's error."""
    max_grad_norm: float = 0.5
    """Longest gradient."""
    log_std_init: float = -2.0
    """Logarithm of the first standard deviation of an action's components, which live in [-1, 1]. A full turn is 15 degrees
    a step, so that this is 2 degrees of noise; 5 (-1.0) keep an agent from holding a view near the corridor's edge."""
    network: Network = Network()


@dataclass(frozen=True, slots=True)
class RecurrentPPORecipe:
    """PPO whose actor and critic remember by an LSTM: for tasks in which what was seen must be kept in mind."""

    learning_rate: float = 5e-4
    """Of Adam; falls."""
    n_steps: int = 64
    """Steps of every world between two updates, which is how far gradients reach back in time."""
    batch_size: int = 256
    """Steps in a minibatch."""
    n_epochs: int = 3
    """Passes over the collected steps."""
    gamma: float = 0.97
    """Discount a step."""
    gae_lambda: float = 0.95
    """Of generalised advantage estimation."""
    clip_range: float = 0.2
    """How far an update may move an action's probability."""
    ent_coef: float = 0.0
    """Weight of the entropy."""
    vf_coef: float = 0.5
    """Weight of the critic's error."""
    max_grad_norm: float = 0.5
    """Longest gradient."""
    log_std_init: float = -2.0
    """Logarithm of the first standard deviation of an action's components; wider noise leaves the corridor, see PPO's."""
    lstm_hidden_size: int = 128
    """Width of the memory, of the actor and of the critic each."""
    network: Network = Network()


@dataclass(frozen=True, slots=True)
class SACRecipe:
    """Soft actor-critic (Haarnoja et al. 2018): fewer steps, more computing for each; continuous control only."""

    learning_rate: float = 3e-4
    """Of Adam, for actor, critic and temperature."""
    buffer_size: int = 30_000
    """Steps remembered; at 48x80 pixels a step takes 54 kB (77 with a goal's picture), once as it was and once as it became."""
    learning_starts: int = 1_000
    """Random steps before the first update."""
    batch_size: int = 128
    """Steps in a minibatch."""
    gradient_steps: int = 4
    """Updates after one step of all worlds."""
    gamma: float = 0.97
    """Discount a step."""
    tau: float = 0.005
    """How far the target critic follows the critic with each update."""
    network: Network = Network()


Recipe = PPORecipe | SACRecipe | RecurrentPPORecipe
RECIPES: dict[str, type[Recipe]] = {"ppo": PPORecipe, "sac": SACRecipe, "recurrent-ppo": RecurrentPPORecipe}


def recipe_from_json(algo: str, values: dict[str, Any]) -> Recipe:
    """The recipe whose `asdict` went through JSON. Raises KeyError or TypeError for another."""
    network: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values["network"].items()
    }
    return RECIPES[algo](**{**values, "network": Network(**network)})


# What a training by `inspatio-gym train --env ID` goes by unless told: arguments of `TrainConfig`, one entry for each
# environment that the general numbers above do not serve best.
TUNED: dict[str, dict[str, Any]] = {
    "InSpatioGoal-v0": {
        # The way takes 4 steps, and to hold the view two of them; up to half of the minutes go to learning to see.
        "max_episode_steps": 30,
        "num_envs": 32,
        "steps": 1_000_000,
        "minutes": 8.0,
        "validation_episodes": 50,
        "ppo": PPORecipe(learning_rate=2e-3, batch_size=512, gamma=0.9, gae_lambda=0.9, network=Network(matching=64)),
        "recurrent_ppo": RecurrentPPORecipe(
            learning_rate=1e-3, n_steps=32, batch_size=512, gamma=0.9, gae_lambda=0.9, network=Network(matching=64)
        ),
        "sac": SACRecipe(gamma=0.9, gradient_steps=2, network=Network(matching=64)),
    },
    "InSpatioDriving-v0": {
        "task": "driving-train",
        "max_episode_steps": 40,
        "num_envs": 32,
        "steps": 1_000_000,
        "minutes": 7.0,
        "ppo": PPORecipe(n_steps=32, batch_size=256, gamma=0.9, log_std_init=-1.5),
        "recurrent_ppo": RecurrentPPORecipe(n_steps=32, gamma=0.9, log_std_init=-1.5),
        "sac": SACRecipe(gamma=0.9, gradient_steps=8),
    },
    "InSpatioMoment-v0": {
        # The way across a clip takes 7 to 20 steps, and the pause two.
        "max_episode_steps": 40,
        "num_envs": 32,
        "steps": 1_000_000,
        "minutes": 4.0,
        "validation_episodes": 100,  # 16 tell policies that find 0.8 and 0.95 of the moments apart too poorly
        "ppo": PPORecipe(n_steps=32, batch_size=256, gamma=0.95, log_std_init=-1.0),
        "recurrent_ppo": RecurrentPPORecipe(n_steps=32, gamma=0.95, log_std_init=-1.0),
        "sac": SACRecipe(gamma=0.95, gradient_steps=8),
    },
}
