"""Where a network computes."""

from inspatio_gym.extras import extra

with extra("agents"):
    import torch
    from stable_baselines3.common.utils import get_device


def find_device(name: str) -> torch.device:
    """The device of that name, or the GPU if there is one for "auto".

    Raises ValueError for a name that is none, or a device that is not there: SB3 would take the CPU in its place and say
    nothing.
    """
    if name == "auto":
        return get_device(name)
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as problem:
        reason = str(problem).splitlines()[0]
        raise ValueError(
            f"expected a device such as cpu or cuda, got {name!r} ({reason}): pass --device cpu"
        ) from problem
