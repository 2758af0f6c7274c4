"""Small STAR worlds on random weights: the real classes, two layers deep."""

from typing import Any

import torch

from inspatio_gym.fake import FakeWorld
from inspatio_gym.star.attention import choose
from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.model import StarModel
from inspatio_gym.star.taehv import Taehv, TaehvCodec
from inspatio_gym.types import Size

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
    """TAEHV of random weights that keep the signal's size, so that pictures are neither black nor white."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Taehv().eval().requires_grad_(False)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        *_, last = network.decoder
        assert isinstance(last, torch.nn.Conv2d)
        assert last.bias is not None
        last.weight *= 0.05
        last.bias += 0.5
    return TaehvCodec(network)


def tiny_star(device: str = "cpu", dtype: torch.dtype = torch.float32, **options: Any) -> StarModel:
    """A whole world model of random weights; its prompts are noise that depends on their words."""
    codec, dit = tiny_codec(), tiny_dit().to(device, dtype)
    codec.network.to(device, dtype)
    dit.kernel = choose(device, dtype, "sdpa")

    def embed(text: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(len(text))
        return torch.randn(1, 5, TINY["text_dim"], generator=generator)

    return StarModel(dit, codec, codec, embed, **{"render_size": SIZE, **options})


def load_tiny(render_size: Size, device: str = "cpu", prompt: str | None = None, far: float | None = None) -> StarModel:
    """`tiny_star` as an entry of `inspatio_gym.world.MODELS` has it."""
    return tiny_star(device, render_size=render_size, prompt=prompt, far=far)


def fake_of_blocks(render_size: Size, device: str = "cpu") -> FakeWorld:
    """A fake world whose blocks are as long as a diffusion model's."""
    return FakeWorld(render_size=render_size, first_frames=9, block_frames=12)
