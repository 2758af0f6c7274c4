"""Small STAR worlds on random weights: the real classes, two layers deep."""

import torch

from inspatio_gym.star.dit import Dit, DitConfig

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
