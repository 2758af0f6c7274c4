"""The released models, put together from their weights: transformer, codec, text encoder.

    inspatio-1.3b, inspatio-1.5-1.3b     the transformer; v1.5 differs in its weights alone
    taehv                                the tiny codec: about a twentieth of the work, and of the memory of a world
    wan2.1-diffusers                     the Wan VAE, the codec that the models were trained with; the text encoder

Each is a checkpoint that `inspatio-gym checkpoints download NAME` brings and `inspatio_gym.checkpoints.locate` finds.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

from inspatio_gym.checkpoints import locate, present
from inspatio_gym.extras import extra
from inspatio_gym.star.model import StarModel
from inspatio_gym.star.offline import load_dit
from inspatio_gym.star.precision import Dtype, as_dtype
from inspatio_gym.star.text import embed
from inspatio_gym.types import Size
from inspatio_gym.world import WAN

with extra("star"):
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)

Codec = Literal["auto", "taehv", "vae"]


def load_release(
    name: str,
    render_size: Size,
    device: str = "cpu",
    *,
    encoder: Codec = "auto",
    decoder: Codec = "auto",
    dtype: Dtype = "auto",
    attention: str | None = None,
    compile: bool = False,
    prompt: str | None = None,
    max_batch: int | None = None,
    far: float | None = None,
) -> StarModel:
    """Load the released model `name`; see `StarModel` for render_size, prompt, max_batch and far.

    encoder, decoder: "taehv" or "vae"; "auto" is TAEHV where its weights are present, else the VAE. dtype: of
    transformer and codec; "auto" is bfloat16 where the device multiplies it (`star/precision.py`). Prompts are encoded on
    the CPU in bfloat16, each once for all, and kept in the cache. attention: a kernel out of
    `inspatio_gym.star.attention.KERNELS`; None measures. compile: let torch.compile fuse the transformer's blocks, which
    takes minutes once.

    Raises WeightsNotFound naming the command that brings what is missing, WeightsError for files that are damaged or do
    not fit.
    """
    for option, choice in (("encoder", encoder), ("decoder", decoder)):
        if choice not in get_args(Codec):
            raise ValueError(f"expected {option} out of {list(get_args(Codec))}, got {choice!r}: 'auto' is the default")
    kind = as_dtype(dtype, device)
    found = {
        checkpoint: locate(checkpoint) for checkpoint in (name, WAN)
    }  # everything is looked for before a byte is read
    dit = load_dit(found[name], device=device, dtype=kind, attention=attention)
    if compile:
        dit.fuse()
    best: Codec = "taehv" if present("taehv") else "vae"
    ends: dict[str, Any] = {}
    chosen = [best if choice == "auto" else choice for choice in (encoder, decoder)]
    for codec in chosen:
        if codec not in ends:
            ends[codec] = _CODECS[codec](device, kind)
    logger.info("%s: encoder %s, decoder %s, attention %s, %s on %s", name, *chosen, dit.kernel, kind, device)

    def embedded(text: str) -> Tensor:
        return embed([text], found[WAN], text_len=dit.config.text_len)

    return StarModel(
        dit,
        ends[chosen[0]],
        ends[chosen[1]],
        embedded,
        render_size=render_size,
        name=name,
        prompt=prompt,
        max_batch=max_batch,
        far=far,
    )


def _taehv(device: str, dtype: torch.dtype) -> Any:
    from inspatio_gym.star.taehv import Taehv, TaehvCodec

    return TaehvCodec(Taehv.load(locate("taehv"), device, dtype))


def _vae(device: str, dtype: torch.dtype) -> Any:
    from inspatio_gym.star.vae import WanVae

    return WanVae.load(locate(WAN), device, dtype)


_CODECS: dict[str, Callable[[str, torch.dtype], Any]] = {"taehv": _taehv, "vae": _vae}

load_v1 = partial(load_release, "inspatio-1.3b")
load_v1_5 = partial(load_release, "inspatio-1.5-1.3b")
