"""Rotary position embedding over three axes: where a token lies is an angle by which its channels are turned.

The head_dim channels of a head are c = head_dim / 2 complex numbers, adjacent pairs; the first c - 2 (c // 3) of them turn
with the latent frame, the next c // 3 with the row, the last c // 3 with the column. Pair i of an axis with n pairs turns
by index * 10000^(-i / n). Angles are computed in float64, the turn itself in float32:

    (re, im) -> (re cos - im sin, im cos + re sin)  =  (re, im) (cos, cos) + (im, re) (-sin, sin)

or the product of complex numbers that it is, which is fewer passes over memory for a CPU, and which torch.compile does not fuse.

Ref: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding".
"""

from functools import lru_cache

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    from torch import Tensor

THETA = 10000.0


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept serves training, too, whoever asked first
def angles(grid: tuple[int, int, int], first_frame: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What `rotate` multiplies by, float32 (tokens, 1, head_dim / 2, 2) each: cosines twice, sines with both signs.

    grid: frames, rows, columns of tokens. first_frame: index of the first frame; rows and columns begin at 0.
    """
    pairs = head_dim // 2
    shares = (pairs - 2 * (pairs // 3), pairs // 3, pairs // 3)
    turns = []
    for axis, (count, share) in enumerate(zip(grid, shares, strict=True)):
        index = torch.arange(count, dtype=torch.float64) + (first_frame if axis == 0 else 0)
        turn = index[:, None] * THETA ** (-torch.arange(share, dtype=torch.float64) / share)
        shape = [1, 1, 1, share]
        shape[axis] = count
        turns.append(turn.view(shape).expand(*grid, share))
    turn = torch.cat(turns, -1).flatten(0, 2)[:, None]
    cos, sin = turn.cos(), turn.sin()
    return torch.stack((cos, cos), -1).float().to(device), torch.stack((-sin, sin), -1).float().to(device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the heads of tokens x (B, tokens, heads, head_dim) by their `angles`."""
    pairs = x.float().unflatten(-1, (-1, 2))
    if x.device.type == "cpu":
        turned = torch.view_as_complex(pairs) * torch.complex(cos[..., 0], sin[..., 1])
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)
    return torch.addcmul(pairs * cos, pairs.flip(-1), sin).flatten(-2).to(x.dtype)
