"""Random numbers that are a function of where they are used, never of what was drawn before.

A generator is made from numbers that name the place, such as (seed, step, task). So nothing of chance has to be kept
in a checkpoint: whoever knows the step draws the same numbers again.
"""

import numpy as np
import torch


def generator(device: torch.device | str, *place: int) -> torch.Generator:
    """A generator on `device` for the place that these numbers (>= 0) name. On another kind of device, other numbers."""
    counted = len(place), *place  # a sequence of numbers and the same with zeros behind are one seed to numpy
    seed = int(np.random.SeedSequence(counted).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(seed)


def lots(*place: int) -> torch.Generator:
    """A generator on the CPU, of other numbers than `generator`'s, for what the CPU has to know: which clips are drawn."""
    return generator("cpu", *place, 0)
