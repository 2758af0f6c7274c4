"""Who acts, and in which world.

random                  actions drawn uniformly, from each episode's seed
scripted:look-around    sweeps the view to and fro
scripted:hold-still     the zero action
runs/clip               what `inspatio-gym train --run runs/clip` has learned, in the world that it was trained in
zoo:moment-ppo          the same of a policy that came with the package
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from inspatio_gym.agents.baselines import Agent, LookAround, Random, hold_still
from inspatio_gym.agents.config import WorldConfig
from inspatio_gym.agents.evaluate import world_of_policy
from inspatio_gym.scenes import sample_names

SCRIPTED: dict[str, Callable[[gym.Space, Sequence[str]], Agent]] = {
    "look-around": LookAround,
    "hold-still": hold_still,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """name: what a dataset calls it. world: arguments of `gymnasium.make`. make: an agent for one world, from its action
    space and the names of the actions. digest: of its weights, "" if it has none.
    """

    name: str
    world: dict[str, Any]
    make: Callable[[gym.Space, Sequence[str]], Agent]
    digest: str = ""


def find_policy(name: str, config: WorldConfig) -> Policy:
    """The policy that `name` says, in the world that `config` asks for.

    Raises ValueError for a name that is none, and what `load_policy` raises; MissingExtra for a trained one without torch.
    """
    if name == "random":
        return Policy(name, from_anywhere(config.world()), lambda space, _: Random(space))
    kind, _, script = name.partition(":")
    if kind == "scripted":
        if script not in SCRIPTED:
            raise ValueError(
                f"expected a script out of {list(SCRIPTED)}, got {script!r}: pass --policy scripted:look-around"
            )
        return Policy(name, from_anywhere(config.world()), SCRIPTED[script])
    if kind != "zoo" and not Path(name).exists():
        raise ValueError(
            f"expected a policy out of random, {', '.join(f'scripted:{one}' for one in SCRIPTED)}, or the folder of a "
            f"training run, got {name!r}: train one with `inspatio-gym train --run {name}`"
        )
    from inspatio_gym.agents.policy import Trained, load_policy, policy_file

    policy, card = load_policy(name)
    digest = hashlib.sha256(policy_file(name).read_bytes()).hexdigest()
    world = world_of_policy(card.world, config, anew=["max_episode_steps"])
    return Policy(f"{card.algo} {digest[:12]}", from_anywhere(world), lambda *_: Trained(policy), digest)


def from_anywhere(world: dict[str, Any]) -> dict[str, Any]:
    """The same world with whole paths, which hold in whatever folder the command is run again."""
    whole = {
        key: [
            one if one in sample_names() or not Path(one).exists() else str(Path(one).absolute()) for one in world[key]
        ]
        for key in ("video", "scene")
        if world[key]
    }
    return world | whole
