"""Attention by whichever kernel is fastest here, among those that are installed.

    queries (B, T, heads, d), keys and values (B, S, heads, d)  ->  (B, T, heads, d)          softmax(q k' / sqrt(d)) v

    flash3   FlashAttention-3 (`flash_attn_interface`), Hopper GPUs         float16, bfloat16
    flash2   FlashAttention-2 (`flash-attn`), the extra `flash`             float16, bfloat16
    cudnn    torch's scaled_dot_product_attention on cuDNN                  float16, bfloat16
    flash    the same on the flash kernel that torch brings                 float16, bfloat16
    sdpa     the same on whatever torch takes; the CPU's, and float32's
    products a softmax between two products, holding all scores at once     bfloat16 on the CPU, for short blocks

On a GPU `choose` times the candidates once for a device and type, on a shape of the real proportions, and remembers the winner.
The argument `attention` of `load_dit` and `load_release` overrules it, and so does INSPATIO_GYM_ATTENTION where it can.
"""

import importlib.util
import logging
import os
from collections.abc import Callable
from functools import lru_cache

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    from torch import Tensor, nn
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

logger = logging.getLogger(__name__)

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
VARIABLE = "INSPATIO_GYM_ATTENTION"
TRIAL = (1, 4096, 8192, 12)  # worlds, queries, keys, heads of the trial: half a full-size block


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """torch's own choice of kernel."""
    return scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    return (scores.softmax(-1) @ v).transpose(1, 2)


def _cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return sdpa(q, k, v)


def _flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return sdpa(q, k, v)


def _flash2(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flash_attn import flash_attn_func

    return flash_attn_func(q, k, v)


def _flash3(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flash_attn_interface import flash_attn_func

    out = flash_attn_func(q, k, v)
    return out[0] if isinstance(out, tuple) else out  # early releases return the log-sum-exp as well


def attend_to_few(q: Tensor, k: Tensor, v: Tensor, out: nn.Linear) -> Tensor:
    """Attention, then the projection `out`: (B, T, out_features). Where all heads together have fewer keys than channels, as of
    a short text, it is cheaper to project the values than what every query finds."""
    heads, width = q.shape[2:]
    scores = q.transpose(1, 2) @ (k * width**-0.5).permute(0, 2, 3, 1)  # (B, heads, T, S)
    weights = scores.softmax(-1).transpose(1, 2).flatten(2)
    to_out = out.weight.unflatten(1, (heads, width)).permute(1, 2, 0)  # (heads, width, out_features)
    projected = v.transpose(1, 2) @ to_out  # (B, heads, S, out_features)
    return torch.baddbmm(out.bias, weights, projected.flatten(1, 2))


KERNELS: dict[str, Attention] = {
    "flash3": _flash3, "flash2": _flash2, "cudnn": _cudnn, "flash": _flash, "sdpa": sdpa, "products": _products,
}  # fmt: skip
"""By name; on a GPU, the one most likely to be fastest first."""
LEAST_CAPABLE = {"flash3": (9, 0), "sdpa": (0, 0)}
"""Compute capability that a kernel needs, where it is not Ampere's."""
PACKAGES = {"flash3": "flash_attn_interface", "flash2": "flash_attn"}
"""What a kernel needs beside torch."""


def candidates(device: torch.device, dtype: torch.dtype) -> list[str]:
    """The kernels that may work on `device` for tensors of `dtype`, torch's own choice first on the CPU."""
    if dtype not in (torch.float16, torch.bfloat16):
        return ["sdpa"]
    if device.type != "cuda":
        return ["sdpa", "products"]
    capable = torch.cuda.get_device_capability(device)
    return [
        name
        for name in KERNELS
        if name != "products"
        and (name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]))
        and capable >= LEAST_CAPABLE.get(name, (8, 0))
    ]


def choose(device: torch.device | str, dtype: torch.dtype, name: str | None = None, head_dim: int = 128) -> str:
    """The kernel's name: `name`, else $INSPATIO_GYM_ATTENTION where that one works, else the fastest of a short trial, or torch's
    own choice on the CPU.

    Raises ValueError for an unknown name, or for a `name` that cannot work on this device for this type.
    """
    device = torch.device(device)
    able = candidates(device, dtype)
    if name is not None and name not in able:
        raise ValueError(
            f"expected an attention kernel out of {able} for {dtype} on {device}, got {name!r}: leave it out"
        )
    wanted = name or os.environ.get(VARIABLE)
    if wanted is not None and wanted not in KERNELS:
        raise ValueError(f"expected {VARIABLE} out of {list(KERNELS)}, got {wanted!r}: unset it to measure")
    if wanted in able:
        return wanted
    if device.type != "cuda" or len(able) == 1:
        return able[0]
    index = torch.cuda.current_device() if device.index is None else device.index
    times = trial(index, dtype, head_dim)
    best = min(times, key=lambda kernel: times[kernel], default="sdpa")
    logger.info("attention by %s: %s", best, ", ".join(f"{k} {t:.3f} ms" for k, t in times.items()))
    return best


@lru_cache
def trial(gpu: int, dtype: torch.dtype, head_dim: int) -> dict[str, float]:
    """Milliseconds of each candidate that works on CUDA device `gpu`, the best of three tries of ten."""
    device = torch.device("cuda", gpu)
    worlds, queries, keys, heads = TRIAL
    q = torch.randn(worlds, queries, heads, head_dim, device=device, dtype=dtype)
    k, v = torch.randn(2, worlds, keys, heads, head_dim, device=device, dtype=dtype)
    times = {}
    for name in candidates(device, dtype):
        try:
            tries = []
            for _ in range(4):  # the first warms up
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                for _ in range(10):
                    KERNELS[name](q, k, v)
                end.record()
                torch.cuda.synchronize(device)
                tries.append(begin.elapsed_time(end) / 10)
        except Exception as problem:  # installed, but not for this GPU
            logger.info("attention kernel %s does not work here: %s", name, problem)
            continue
        times[name] = min(tries[1:])
    return times
