"""Noise that is known before it is drawn: a function of (episode key, block, draw), never of what was drawn before.

Philox is a counter-based generator: its state is a key and a counter, so any block's numbers can be had without those of
the blocks before, in any order, in any batch. They are drawn on the CPU and sent to the device, so a GPU gets the same.

Ref: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3".
"""

from collections.abc import Sequence

import numpy as np

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    from torch import Tensor


def block_noise(key: int, block: int, draws: int, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers float32 (draws, *shape): draw 0 begins the block, the others follow its steps.

    key: 64-bit, of the episode. block: number of the block in it.
    """
    out = np.empty((draws, *shape), np.float32)
    for draw in range(draws):
        # The lowest of the counter's four words counts within a draw, so neighbouring draws never meet. As a list, the
        # words would pass through float64, which knows no 64-bit integers.
        philox = np.random.Philox(
            key=np.array([key % 2**64, 0], np.uint64), counter=np.array([0, 0, draw, block], np.uint64)
        )
        np.random.Generator(philox).standard_normal(out=out[draw], dtype=np.float32)
    return torch.from_numpy(out)
