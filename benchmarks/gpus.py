"""How STAR worlds scale over GPUs: `RayVectorEnv` with one actor a GPU, against one actor, on random weights of the full size.

    python -m benchmarks.gpus --gpus 1 2

Weights are written once into a folder in the released layout and loaded by name, as a user's would be, in every actor.
All fleets are measured in one run, in turn, twice; the figure is the better of the two, in blocks (of 12 frames) a second over
all worlds, the travel of observations and actions included.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

from benchmarks.star import random_dit
from inspatio_gym.envs import RayVectorEnv
from inspatio_gym.star.taehv import Taehv
from inspatio_gym.types import Size
from tests.tiny_models import text_encoder

NAME = "inspatio-1.3b"


@dataclass(frozen=True, slots=True)
class Config:
    """Time STAR worlds on several GPUs."""

    gpus: tuple[int, ...] = (1, 2)
    """Sizes of the fleets."""
    worlds: int = 2
    """Worlds a GPU."""
    size: Size = (480, 832)
    """Height and width of what the model makes."""
    steps: int = 12
    """Steps to time, after three that warm up."""
    weights: Path = Path("/tmp/random-weights")
    """Where the random weights are, or are to be written."""
    layers: int = 30
    """Of the transformer."""
    device: str = "cuda"
    """"cpu" tries the benchmark out."""


def write_weights(folder: Path, layers: int, device: str) -> None:
    """Random weights in the released layout: the transformer and TAEHV at full size, a small text encoder, a small VAE."""
    if folder.is_dir():
        return
    (folder / NAME).mkdir(parents=True)
    dit = random_dit(layers, device, torch.bfloat16)
    save_file(
        {f"model.{k}": v.cpu() for k, v in dit.state_dict().items()}, folder / NAME / "InSpatio-World-1.3B.safetensors"
    )
    (folder / "taehv").mkdir()
    save_file(Taehv().state_dict(), folder / "taehv" / "taew2_1.safetensors")
    text_encoder(folder / "wan2.1-diffusers", text_dim=4096)
    vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    vae.save_pretrained(folder / "wan2.1-diffusers" / "vae")


def blocks_per_second(gpus: int, config: Config) -> float:
    """Blocks a second of a fleet, all worlds together."""
    envs = RayVectorEnv(
        "InSpatio-v0",
        num_envs=gpus * config.worlds,
        num_actors=gpus,
        num_cpus_per_actor=4 if config.device == "cuda" else 1,
        num_gpus_per_actor=int(config.device == "cuda"),
        scene="street",
        model=NAME,
        device=config.device,
        render_size=config.size,
    )
    try:
        envs.reset(seed=0)
        actions = np.zeros((envs.num_envs, 7), np.float32)
        actions[:, 6] = 1
        for _ in range(3):
            envs.step(actions)
        began = time.perf_counter()
        for _ in range(config.steps):
            envs.step(actions)
        return envs.num_envs * config.steps / (time.perf_counter() - began)
    finally:
        envs.close()


def main(config: Config) -> None:
    """Print a Markdown table."""
    write_weights(config.weights, config.layers, config.device)
    os.environ["INSPATIO_GYM_CHECKPOINTS"] = str(config.weights)
    rates = dict.fromkeys(config.gpus, 0.0)
    for _ in range(2):
        for gpus in config.gpus:
            rates[gpus] = max(rates[gpus], blocks_per_second(gpus, config))
    name = torch.cuda.get_device_name() if config.device == "cuda" else "the CPU"
    print(f"{name}, torch {torch.__version__}, {config.size[0]}x{config.size[1]}, {config.worlds} worlds a GPU\n")
    print("| GPUs | worlds | blocks/s | of one GPU's |")
    print("|---:|---:|---:|---:|")
    first = rates[config.gpus[0]] / config.gpus[0]
    for gpus, rate in rates.items():
        print(f"| {gpus} | {gpus * config.worlds} | {rate:.2f} | {rate / first:.2f} |")


if __name__ == "__main__":
    main(tyro.cli(Config))
