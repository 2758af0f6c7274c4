"""Small STAR worlds on random weights: the real classes, two layers deep."""

from typing import Any

import torch

from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.model import StarModel
from inspatio_gym.star.taehv import Taehv, TaehvCodec

SIZE = (32, 48)
TINY = {"dim": 32, "ffn_dim": 32, "num_heads": 2, "num_layers": 2, "text_dim": 24, "text_len": 8, "freq_dim": 16}


def tiny_dit(seed: int = 0, **sizes: int) -> Dit:
    """A transformer of random weights, its gates and modulations included."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dit = Dit(DitConfig(**{**TINY, **sizes}))
        for name, parameter in dit.named_parameters():
            if name.endswith("modulation"):
                torch.nn.init.normal_(parameter, std=0.3)
    return dit.eval().requires_grad_(False)


def tiny_codec() -> TaehvCodec:
    """TAEHV of random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TaehvCodec(Taehv().eval().requires_grad_(False))


def tiny_star(**options: Any) -> StarModel:
    """A whole world model of random weights; its prompts are noise that depends on their words."""
    codec = tiny_codec()

    def embed(text: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(len(text))
        return torch.randn(1, 5, TINY["text_dim"], generator=generator)

    return StarModel(tiny_dit(), codec, codec, embed, **{"render_size": SIZE, **options})
