"""The type of a network's numbers: bfloat16 where the device multiplies it by itself, float32 elsewhere.

GPUs do, and CPUs with AVX512-BF16; of others nothing is known here, and those that only imitate it are slow.
"""

from typing import Literal

from inspatio_gym.extras import extra

with extra("star"):
    import torch

Dtype = Literal["auto", "bfloat16", "float32"]
DTYPES: dict[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def as_dtype(name: Dtype, device: str | torch.device) -> torch.dtype:
    """torch's type of that name; of "auto" what is usual on `device`.

    Raises ValueError for a name of no type, or a GPU that is not there.
    """
    if name not in ("auto", *DTYPES):
        raise ValueError(f"expected dtype out of {['auto', *DTYPES]}, got {name!r}: 'auto' is the default")
    where = torch.device(device).type
    if where == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"expected a device that torch can use, got {device!r}: see `inspatio-gym doctor`")
    if name == "auto":
        name = "bfloat16" if where == "cuda" or (where == "cpu" and _native()) else "float32"
    return DTYPES[name]


def _native() -> bool:
    """Whether this CPU has instructions for bfloat16, as far as this torch can say."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
