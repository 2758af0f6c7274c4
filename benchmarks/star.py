"""What a block of a STAR world costs: milliseconds and memory, stage by stage, on random weights.

    python -m benchmarks.star                          # the 1.3B network at 480x832 on the GPU, with both codecs
    python -m benchmarks.star --size 224 128 --batches 1 2 4 8 16
    python -m benchmarks.star --model tiny --codecs tiny --size 128 224 --device cpu --batches 1 --no-precision \\
        --dtypes float32 bfloat16 --attention products
    python -m benchmarks.star --layers 2 --size 64 96 --device cpu --batches 1     # to see it run without a GPU

Speed does not depend on what weights hold, so random ones of the released shapes tell it. A stage is timed between
synchronised events; the first blocks warm up and are left out; the table gives medians. Memory is what torch's allocator
had handed out at most. The floor is the arithmetic of the matrix products alone, at the rate that one large product
reaches on the same GPU in the same run.

Precision: one block in bfloat16 against the same in float32, same weights, same noise.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro

from inspatio_gym.star.attention import choose, trial
from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.model import StarModel
from inspatio_gym.star.precision import Dtype, as_dtype
from inspatio_gym.star.taehv import Taehv, TaehvCodec
from inspatio_gym.star.tiny import TINY, TINY_CODEC
from inspatio_gym.types import Size
from inspatio_gym.world import BlockRequest

STAGES = ("splat", "encode", "prefill", "denoise", "decode", "hand over")


@dataclass(frozen=True, slots=True)
class Config:
    """Time the blocks of a STAR world of random weights."""

    model: Literal["1.3b", "tiny"] = "1.3b"
    """Sizes of the transformer."""
    size: Size = (480, 832)
    """Height and width, multiples of 16."""
    device: str = "cuda"
    """Where."""
    codecs: tuple[Literal["taehv", "vae", "tiny"], ...] = ("taehv", "vae")
    """Codecs to time; tiny: TAEHV at the sizes of the tiny model."""
    batches: tuple[int, ...] = (1, 2, 4)
    """Worlds in one call."""
    blocks: int = 5
    """Blocks to take the median of, after two that warm up."""
    layers: int = 30
    """Of the 1.3B transformer."""
    attention: str | None = None
    """Kernel in bfloat16; None measures on a GPU."""
    compile: bool = False
    """Let torch.compile fuse the transformer's blocks."""
    dtypes: tuple[Dtype, ...] = ("auto",)
    """What the networks run in, a table for each; auto: what is usual on this device."""
    precision: bool = True
    """Also compare bfloat16 with float32."""
    steps: int = 10
    """Steps of `gym.make` with the bundled street to time, after three that warm up."""
    horizon: int = 0
    """Blocks of a long rollout, to see that memory stays: 2000, say."""


class NoiseScene:
    """A clip of random frames and slanted depth at the size that is rendered: what splatting and coding see of a scene."""

    caption = "noise"

    def __init__(self, size: Size, num_frames: int = 64):
        rng = np.random.default_rng(0)
        height, width = size
        self.size, self.num_frames, self.digest = size, num_frames, f"noise {size}"
        self._rgb = rng.integers(0, 256, (num_frames, height, width, 3), np.uint8)
        ramp = np.linspace(1, 3, height, dtype=np.float32)[:, None] + rng.random((height, width), np.float32) * 0.1
        self._depth = np.ascontiguousarray(np.broadcast_to(ramp, (num_frames, height, width)))
        self.c2w = np.tile(np.eye(4), (num_frames, 1, 1))
        camera = [[0.8 * width, 0, width / 2 - 0.5], [0, 0.8 * width, height / 2 - 0.5], [0, 0, 1]]
        self.intrinsics = np.tile(camera, (num_frames, 1, 1)).astype(np.float64)

    def rgb(self, i: int) -> Any:
        return self._rgb[i]

    def depth(self, i: int) -> Any:
        return self._depth[i]

    def moving(self, i: int) -> Any:
        return np.zeros(self.size, bool)


def request(scene: NoiseScene, first: int, frames: int) -> BlockRequest:
    """Frames that play on while the camera drifts sideways; the last one is observed."""
    at = np.arange(first, first + frames)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, 0, 3] = 0.1 * np.sin(at / 40)
    return BlockRequest(np.abs((at + 63) % 126 - 63), c2w, np.array([frames - 1]))


def random_dit(config: Config, dtype: torch.dtype, attention: str | None = None) -> Dit:
    """The transformer, or the 1.3B one's first layers, with random weights."""
    sizes = TINY if config.model == "tiny" else DitConfig(num_layers=config.layers)
    torch.manual_seed(0)
    with torch.device(config.device):
        dit = Dit(sizes, choose(config.device, dtype, attention, sizes.head_dim)).to(dtype)
    return dit.eval().requires_grad_(False)


def make_codec(name: str, device: str, dtype: torch.dtype) -> Any:
    """A codec with random weights, of the released shapes or the tiny model's."""
    if name != "vae":
        return TaehvCodec(
            Taehv(TINY_CODEC if name == "tiny" else None).to(device, dtype, memory_format=torch.channels_last).eval()
        )
    from diffusers import AutoencoderKLWan

    from inspatio_gym.star.vae import WanVae

    return WanVae(AutoencoderKLWan().to(device, dtype).eval())


class Clock:
    """Listens to a model's stages and adds up what each took, milliseconds."""

    def __init__(self, device: str):
        self.device, self.stage, self.since = device, "", 0.0
        self.blocks: list[dict[str, float]] = []
        self.spent: dict[str, float] = {}
        self.peak: dict[str, int] = {}

    def __call__(self, stage: str) -> None:
        synchronise(self.device)
        now = time.perf_counter()
        if self.stage:
            self.spent[self.stage] = self.spent.get(self.stage, 0) + 1000 * (now - self.since)
            self.peak[self.stage] = max(self.peak.get(self.stage, 0), peak_bytes(self.device))
        if not stage:
            self.blocks.append(self.spent)
            self.spent = {}
        reset_peak(self.device)
        self.stage, self.since = stage, now


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def peak_bytes(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device != "cpu" else 0


def reset_peak(device: str) -> None:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()


def used_bytes(device: str) -> int:
    return torch.cuda.memory_allocated() if device != "cpu" else 0


def time_worlds(model: StarModel, scene: NoiseScene, worlds: int, blocks: int, device: str) -> dict[str, Any]:
    """Medians a block of `worlds` worlds in one batch; the first block and one more warm up."""
    model.max_batch = worlds
    clock = Clock(device)
    before = used_bytes(device)
    sessions, _ = model.start(
        [scene] * worlds, range(worlds), [request(scene, k, model.first_frames) for k in range(worlds)]
    )
    first = model.first_frames
    for number in range(blocks + 1):
        if number == 1:
            model.listen = clock
        model.step(
            sessions,
            [request(scene, k + first + number * model.block_frames, model.block_frames) for k in range(worlds)],
        )
    model.listen = lambda stage: None
    stages = {stage: statistics.median(b[stage] for b in clock.blocks) for stage in STAGES}
    total = statistics.median(sum(b.values()) for b in clock.blocks)
    return {
        "stages": stages,
        "total": total,
        "peak": clock.peak,
        "session": sessions[0].nbytes,
        "light": sum(v.nbytes for v in sessions[0].snapshot(light=True).values() if isinstance(v, np.ndarray)),
        "used": used_bytes(device) - before,
    }


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of one large matrix product."""
    n = 8192 if device != "cpu" else 512
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        synchronise(device)
        began = time.perf_counter()
        for _ in range(5):
            a @ b
        synchronise(device)
        best = min(best, (time.perf_counter() - began) / 5)
    return 2 * n**3 / best


def transformer_flop(config: DitConfig, size: Size, latents: int = 3, steps: int = 4) -> tuple[float, float]:
    """FLOP of the matrix products of (prefill, all denoising steps) of one later block of one world."""
    tokens = latents * (size[0] // 16) * (size[1] // 16)
    context = 2 * tokens

    def layer(queries: int, keys: int) -> float:
        projections = 2 * queries * config.dim * config.dim * (4 + 2)
        attention = 4 * queries * (keys + config.text_len) * config.dim
        return projections + attention + 4 * queries * config.dim * config.ffn_dim

    return config.num_layers * layer(context, context), steps * config.num_layers * layer(tokens, context + tokens)


def table(config: Config, dtype: torch.dtype, rate: float) -> None:
    """Print milliseconds a stage for every codec and batch."""
    scene = NoiseScene(config.size)
    dit = random_dit(config, dtype, config.attention if dtype == torch.bfloat16 else None)
    if config.compile:
        dit.fuse()
    flop = transformer_flop(dit.config, config.size)
    print(
        f"\n{config.size[0]}x{config.size[1]}, {dtype}, attention by {dit.kernel}{', compiled' if config.compile else ''}"
    )
    prefill, denoise = (1e3 * work / rate for work in flop)
    print(f"floor a world at {rate / 1e12:.2f} TFLOP/s: prefill {prefill:.1f} ms, denoise {denoise:.1f} ms")
    print(
        "\n| codec | worlds | "
        + " | ".join(f"{s} ms" for s in STAGES)
        + " | block ms | worlds x blocks/s | peak GiB | session MB |"
    )
    print("|---|---|" + "---|" * (len(STAGES) + 4))
    for name in config.codecs:
        codec = make_codec(name, config.device, dtype)
        embed = lambda text: torch.zeros(1, 4, dit.config.text_dim)  # noqa: E731
        model = StarModel(dit, codec, codec, embed, render_size=config.size)
        for worlds in config.batches:
            try:
                got = time_worlds(model, scene, worlds, config.blocks, config.device)
            except torch.OutOfMemoryError:
                print(f"| {name} | {worlds} | out of memory |")
                break
            peak = max(got["peak"].values()) / 2**30
            cells = " | ".join(f"{got['stages'][s]:.1f}" for s in STAGES)
            print(
                f"| {name} | {worlds} | {cells} | {got['total']:.1f} | {1000 * worlds / got['total']:.2f} | {peak:.1f} | "
                f"{got['session'] / 1e6:.0f} (light {got['light'] / 1e6:.1f}) |",
                flush=True,
            )
            if worlds == 1:
                peaks = ", ".join(f"{stage} {got['peak'][stage] / 2**30:.1f}" for stage in STAGES)
                print(f"<!-- {name}: peak GiB by stage: {peaks} -->")
        if config.steps:
            through_gym(model, config.steps)
        if config.horizon:
            long_rollout(model, scene, config)
        del model, codec


def through_gym(model: StarModel, steps: int) -> None:
    """Print steps a second of one world and of four through the environment, which holds still while time plays."""
    for worlds in (1, 4):
        envs = gym.make_vec(
            "InSpatio-v0", num_envs=worlds, vectorization_mode="vector_entry_point", scene="street", model=model
        )
        envs.reset(seed=0)
        actions = np.zeros((worlds, 7), np.float32)
        actions[:, -1] = 1
        for step in range(3 + steps):
            if step == 3:
                began = time.perf_counter()
            envs.step(actions)
        rate = worlds * steps / (time.perf_counter() - began)
        print(f"\nthrough gym.make_vec, the bundled street, {worlds} worlds: {rate:.2f} steps/s", flush=True)


def long_rollout(model: StarModel, scene: NoiseScene, config: Config) -> None:
    """Print memory early and late in a long rollout."""
    model.max_batch = 1
    sessions, _ = model.start([scene], [0], [request(scene, 0, model.first_frames)])
    sizes, used = [], []
    began = time.perf_counter()
    for number in range(config.horizon):
        model.step(sessions, [request(scene, number * model.block_frames, model.block_frames)])
        if number in (config.horizon // 2, config.horizon - 1):
            sizes.append(sessions[0].nbytes)
            used.append(used_bytes(config.device))
    took = time.perf_counter() - began
    print(
        f"\n{config.horizon} blocks in {took:.0f} s: session {sizes[0]:,} bytes half-way, {sizes[-1]:,} at the end; "
        f"allocated {used[0]:,} and {used[-1]:,}",
        flush=True,
    )


def precision(config: Config) -> None:
    """Print how far one block in bfloat16 lies from float32."""
    scene, results = NoiseScene(config.size), []
    wide = random_dit(config, torch.float32)
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        codec = TaehvCodec(Taehv().to(config.device, dtype, memory_format=torch.channels_last).eval())
        dit = wide.to(dtype)
        dit.kernel = choose(
            config.device, dtype, config.attention if dtype == torch.bfloat16 else None, wide.config.head_dim
        )
        model = StarModel(
            dit, codec, codec, lambda text: torch.zeros(1, 4, wide.config.text_dim), render_size=config.size
        )
        (session,), _ = model.start([scene], [0], [request(scene, 0, model.first_frames)])
        assert session.previous is not None
        results.append(session.previous.double().cpu())
    latents, rounded = results
    relative = float((rounded - latents).norm() / latents.norm())
    print(f"\nbfloat16 against float32, one block: latents differ by {100 * relative:.2f}% (relative 2-norm)")


@torch.inference_mode()
def main(config: Config) -> None:
    on_gpu = config.device != "cpu"
    name = torch.cuda.get_device_name() if on_gpu else "the CPU"
    print(f"{name}, torch {torch.__version__}")
    for dtype in dict.fromkeys(as_dtype(one, config.device) for one in config.dtypes):
        if on_gpu:
            print("attention trial, ms: " + ", ".join(f"{k} {v:.3f}" for k, v in trial(0, dtype, 128).items()))
        rate = matrix_rate(config.device, dtype)
        table(config, dtype, rate)
    if config.precision:
        precision(config)


if __name__ == "__main__":
    main(tyro.cli(Config))
