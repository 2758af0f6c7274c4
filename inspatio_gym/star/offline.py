"""A whole clip of latents at once: the sampling loop without codecs, scenes and sessions.

It is what parity with the released system is checked on, and what a stream must reproduce block by block.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspatio_gym.checkpoints.weights import INDEX, SAFETENSORS, WeightsError, load_strictly, read_weights
from inspatio_gym.extras import extra
from inspatio_gym.star.attention import choose
from inspatio_gym.star.dit import MASK_CHANNELS, Dit, DitConfig
from inspatio_gym.star.schedule import Schedule, sample_block

with extra("star"):
    import torch
    from torch import Tensor

HEAD_DIM = 128  # of every released model; weights alone do not tell how many heads share them


def load_dit(
    path: str | Path,
    config: Mapping[str, Any] | str | Path | DitConfig | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> Dit:
    """Load a transformer from a weight file, or from the folder that holds it.

    config: sizes, as a DitConfig, a mapping, or a JSON file; left out, they are those of a config.json beside the weights,
    else read off the weights, whose heads are taken to be 128 wide, as in every released model. Names with and without
    `model.` in front and with `._fsdp_wrapped_module.` inside are the same. attention: a kernel by name.

    Raises FileNotFoundError where there is no such file, WeightsError for what cannot be read or does not fit.
    """
    file = weight_file(Path(path))
    weights = {released_name(name): tensor for name, tensor in read_weights(file).items()}
    sizes = find_config(weights, file) if config is None else read_config(config)
    with torch.device("meta"):
        dit = Dit(sizes, choose(device, dtype, attention, sizes.head_dim))
    load_strictly(dit, weights, file)
    return dit.to(device, dtype).eval().requires_grad_(False)


def weight_file(path: Path) -> Path:
    """`path` if it is a file, else the one weight file in that folder. Raises FileNotFoundError, WeightsError."""
    if not path.is_dir():
        return path
    for pattern in (f"*{INDEX}", f"*{SAFETENSORS}", "*.pt", "*.pth"):
        if found := sorted(path.glob(pattern)):
            if len(found) > 1:
                raise WeightsError(f"expected one weight file in {path}, got {[f.name for f in found]}: name the file")
            return found[0]
    raise FileNotFoundError(f"expected a weight file in {path}, got {sorted(p.name for p in path.iterdir())}")


def released_name(name: str) -> str:
    """A parameter's name without what wrappers of training put around it."""
    return name.replace("_fsdp_wrapped_module.", "").removeprefix("model.")


def read_config(config: Mapping[str, Any] | str | Path | DitConfig) -> DitConfig:
    """Sizes from a mapping or a JSON file. Raises OSError or ValueError for a file that is none."""
    if isinstance(config, DitConfig):
        return config
    if isinstance(config, str | Path):
        file = Path(config)
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"expected the sizes of a transformer in {file}, got a {type(config).__name__}")
    return DitConfig.of(config)


def find_config(weights: Mapping[str, Tensor], file: Path) -> DitConfig:
    """The sizes in the config.json beside a weight file if it states them, else those that the weights have.

    Raises WeightsError if the tensors that tell are not there.
    """
    beside = file.with_name("config.json")
    if beside.is_file() and '"num_heads"' in beside.read_text(encoding="utf-8"):
        return read_config(beside)
    try:
        dim, in_dim = weights["patch_embedding.weight"].shape[:2]
        if dim % HEAD_DIM:
            raise WeightsError(f"expected a width of whole heads of {HEAD_DIM} in {file}, got {dim}: pass config=")
        return DitConfig(
            dim=dim,
            in_dim=in_dim,
            ffn_dim=weights["blocks.0.ffn.0.weight"].shape[0],
            num_heads=dim // HEAD_DIM,
            num_layers=1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks.")),
            text_dim=weights["text_embedding.0.weight"].shape[1],
            freq_dim=weights["time_embedding.0.weight"].shape[1],
            out_dim=weights["head.head.weight"].shape[0] // 4,
        )
    except KeyError as problem:
        raise WeightsError(
            f"expected the weights of a diffusion transformer in {file}, which misses {problem}"
        ) from None


@torch.no_grad()
def generate_latents(
    dit: Dit,
    ref_latents: Tensor,
    render_latents: Tensor,
    mask_latents: Tensor,
    prompt_embeds: Tensor,
    noise: Tensor,
    renoise: Tensor,
    frames_per_block: int = 3,
    schedule: Schedule | None = None,
) -> Tensor:
    """Roll a clip out block by block; every block sees its reference frames and the block before it.

    ref_latents, render_latents, noise: (B, F, 16, H, W). mask_latents: (B, F, 4, H, W) in [-1, 1]. prompt_embeds:
    (B, L, text_dim). renoise: (blocks, steps - 1, frames_per_block, 16, H, W), the same for every sample.
    Returns clean latents (B, F, 16, H, W), float32, on the transformer's device. Raises ValueError if F is no whole number
    of blocks, or shapes do not go together.
    """
    schedule = schedule or Schedule()
    batch, frames, _, *size = noise.shape
    if frames % frames_per_block:
        raise ValueError(f"expected a multiple of {frames_per_block} latent frames, got {frames}: repeat the last one")
    for name, tensor, shape in (
        ("ref_latents", ref_latents, noise.shape),
        ("render_latents", render_latents, noise.shape),
        ("mask_latents", mask_latents, (batch, frames, MASK_CHANNELS, *size)),
        ("renoise", renoise, (frames // frames_per_block, len(schedule.steps) - 1, frames_per_block, *noise.shape[2:])),
    ):
        if tuple(tensor.shape) != tuple(shape):
            raise ValueError(
                f"expected {name} {tuple(shape)} to go with noise {tuple(noise.shape)}, got {tuple(tensor.shape)}"
            )
    ref_latents, render_latents, mask_latents, noise, renoise = (
        tensor.to(dit.device, torch.float32) for tensor in (ref_latents, render_latents, mask_latents, noise, renoise)
    )
    text = dit.read(prompt_embeds)
    condition = torch.cat((mask_latents, render_latents), 2)
    cache = None
    done: list[Tensor] = []
    for number, first in enumerate(range(0, frames, frames_per_block)):
        block = slice(first, first + frames_per_block)
        context = torch.cat((ref_latents[:, block], *done[-1:]), 1)
        cache = dit.prefill(context, text, cache, frames_per_block)
        fresh = renoise[number][None].expand(batch, *renoise.shape[1:])
        done.append(sample_block(dit, condition[:, block], noise[:, block], fresh, cache, text, schedule))
    return torch.cat(done, 1)
