"""The environments: a world as a Gymnasium environment, alone (`InSpatioEnv`) or many in one process.

env          one world as a Gymnasium environment
vector_env   many, as one batch
worlds       what vector environments of worlds have in common: the verbs and their checks
infos        the infos of many worlds as one
ray_env      many in other processes and machines (`RayVectorEnv`); its parts are ray_shard, ray_worker, ray_slab,
             ray_mail, ray_cluster, ray_pulse
slot         one world's rig, clock, task and random numbers
stage        what all worlds of an environment share: scenes, model, control
actions      controls: how an action becomes a camera motion and a rate of time
spaces       what is observed
sight        what of the measured geometry a camera sees: the judge of corridors and rewards
tasks        rewards
videos       folders of videos, and which of them are held out for the test (`split`)
wrappers     what makes every episode look different: light, noise, delay
window       the window of render_mode="human"
sb3          the vector environment for Stable-Baselines3
rllib        ... for RLlib, whose env runners make it
torchrl      ... for TorchRL
tensors      ... with torch tensors on a device in place of arrays
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspatio_gym.envs.ray_env import RayVectorEnv
    from inspatio_gym.envs.videos import split

__all__ = ["RayVectorEnv", "split"]

HOMES = {"RayVectorEnv": "ray_env", "split": "videos"}


def __getattr__(name: str) -> Any:
    """What the package exports, imported when somebody asks for it, and with it what it needs (ray, a decoder)."""
    if name in HOMES:
        return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
