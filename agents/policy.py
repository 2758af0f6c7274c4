"""A trained policy in one file that is safe to open: weights in safetensors, and in its header how to rebuild it.

    policy, card = load_policy("runs/clip")                     # or "zoo:moment-ppo"
    env = gym.make(**card.world)
    observation, _ = env.reset()
    action, _ = policy.predict(observation, deterministic=True)

SB3's own archives hold pickled Python, which runs whatever its author liked; this file holds numbers and JSON alone. The
`Card` names the algorithm and its recipe, from which the network is built again, the world's arguments, and the spaces.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.agents.devices import find_device
from inspatio_gym.agents.features import RgbdFeatures
from inspatio_gym.agents.matching import MatchingFeatures
from inspatio_gym.agents.recipes import PPORecipe, Recipe, RecurrentPPORecipe, recipe_from_json
from inspatio_gym.agents.spaces import space_from_json, space_to_json
from inspatio_gym.agents.zoo import PREFIX, zoo_file
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_model, save
    from sb3_contrib.common.recurrent.policies import RecurrentMultiInputActorCriticPolicy
    from stable_baselines3.common.policies import BasePolicy, MultiInputActorCriticPolicy
    from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
    from stable_baselines3.common.vec_env import VecTransposeImage
    from stable_baselines3.sac.policies import MultiInputPolicy as SACPolicy

FORMAT = "inspatio-gym policy 1"
POLICY_FILE = "policy.safetensors"
POLICIES: dict[str, type[BasePolicy]] = {
    "ppo": MultiInputActorCriticPolicy,
    "sac": SACPolicy,
    "recurrent-ppo": RecurrentMultiInputActorCriticPolicy,
}


@dataclass(frozen=True, slots=True)
class Card:
    """What rebuilds a policy, beside its weights.

    algo: name of the algorithm. recipe: its numbers. world: arguments of `gymnasium.make`. observation_space,
    action_space: the environment's. steps: how long it was trained. seed: of its training. validation: its mean return from
    the start states of the validation, None if it was kept without one.
    """

    algo: str
    recipe: Recipe
    world: dict[str, Any]
    observation_space: gym.Space
    action_space: gym.Space
    steps: int
    seed: int
    validation: float | None = None

    def to_json(self) -> str:
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record |= {
            "recipe": asdict(self.recipe),
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
        }
        return json.dumps({"format": FORMAT, **record})

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Raises ValueError, KeyError or TypeError for anything but what `to_json` wrote."""
        record = json.loads(text)
        if (form := record.pop("format")) != FORMAT:
            raise ValueError(f"expected the format {FORMAT!r}, got {form!r}")
        record["recipe"] = recipe_from_json(record["algo"], record["recipe"])
        for end in ("observation_space", "action_space"):
            record[end] = space_from_json(record[end])
        return cls(**record)


def policy_arguments(recipe: Recipe) -> dict[str, Any]:
    """SB3's `policy_kwargs` for a recipe."""
    network = recipe.network
    arguments: dict[str, Any] = {
        "features_extractor_class": MatchingFeatures if network.matching else RgbdFeatures,
        "features_extractor_kwargs": {"network": network},
        "net_arch": list(network.hidden),
    }
    if isinstance(recipe, PPORecipe | RecurrentPPORecipe):
        arguments["log_std_init"] = recipe.log_std_init
    else:
        arguments["share_features_extractor"] = True  # the critic trains what looks at the image
    if isinstance(recipe, RecurrentPPORecipe):
        arguments["lstm_hidden_size"] = recipe.lstm_hidden_size
    return arguments


def make_policy(card: Card) -> BasePolicy:
    """An untrained policy of the card's shape."""
    assert isinstance(card.observation_space, gym.spaces.Dict)
    # SB3 hands images to networks channels first.
    seen = {
        key: VecTransposeImage.transpose_space(space, key)  # type: ignore[arg-type]
        if is_image_space(space) and not is_image_space_channels_first(space)  # type: ignore[arg-type]
        else space
        for key, space in card.observation_space.spaces.items()
    }
    rate = card.recipe.learning_rate
    return POLICIES[card.algo](
        gym.spaces.Dict(seen), card.action_space, lambda _: rate, **policy_arguments(card.recipe)
    )


def save_policy(path: Path, policy: BasePolicy, card: Card) -> None:
    """Write a policy's file, whole or not at all; equal policies make equal files."""
    # One name for each tensor: safetensors' own `save_model` notes the others in an order that varies.
    named = {tensor.data_ptr(): (name, tensor.contiguous()) for name, tensor in policy.state_dict().items()}
    with written_whole(path) as partial:
        partial.write_bytes(save(dict(named.values()), {"card": card.to_json()}))  # `save_file` hides it from others


def load_policy(path: str | Path, device: str = "cpu") -> tuple[BasePolicy, Card]:
    """The policy of a run's folder, of a file, or of the zoo ("zoo:NAME"), on that device ("auto": the GPU if there is one).

    Raises FileNotFoundError, ValueError for a file that is none of ours, a name that the zoo has not, or a device that is
    not there.
    """
    file = policy_file(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"expected a run's folder with a {POLICY_FILE}, or such a file, got {str(path)!r}: "
            "train one with `inspatio-gym train --run runs/NAME`"
        )
    try:
        with safe_open(str(file), "pt") as stored:
            card = Card.from_json((stored.metadata() or {})["card"])
        policy = make_policy(card)
        load_model(policy, str(file), strict=True)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ValueError(
            f"expected a policy that `inspatio-gym train` wrote, got {str(file)!r} ({reason}): train it again with this "
            "version, or give the run's folder"
        ) from problem
    policy.set_training_mode(False)
    return policy.to(find_device(device)), card


def policy_file(path: str | Path) -> Path:
    """The file that a run's folder, a file or "zoo:NAME" stands for; it may not be there, unless it is the zoo's."""
    if str(path).startswith(PREFIX):
        return zoo_file(str(path))
    return Path(path) / POLICY_FILE if Path(path).is_dir() else Path(path)


class Trained:
    """A policy as an agent of `inspatio_gym.agents.baselines`: takes the most likely action, or draws if `sampled`."""

    name = "trained policy"

    def __init__(self, policy: BasePolicy, *, sampled: bool = False):
        self.policy, self.sampled = policy, sampled

    def begin(self, seeds: Sequence[int]) -> None:
        self._memory: Any = None
        self._starts = np.ones(len(seeds), bool)

    def act(self, observations: dict[str, NDArray[Any]], infos: dict[str, Any]) -> NDArray[Any]:
        actions, self._memory = self.policy.predict(
            observations, self._memory, self._starts, deterministic=not self.sampled
        )
        self._starts = np.zeros_like(self._starts)
        return actions
