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
window       the window of render_mode="human"
sb3          the vector environment for Stable-Baselines3
rllib        ... for RLlib, whose env runners make it
torchrl      ... for TorchRL
tensors      ... with torch tensors on a device in place of arrays
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspatio_gym.envs.ray_env import RayVectorEnv

__all__ = ["RayVectorEnv"]


def __getattr__(name: str) -> Any:
    """`RayVectorEnv`, imported with ray when somebody asks for it."""
    if name == "RayVectorEnv":
        from inspatio_gym.envs.ray_env import RayVectorEnv

        return RayVectorEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
