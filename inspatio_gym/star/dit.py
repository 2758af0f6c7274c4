"""The diffusion transformer: given what is known of a world, how does noise flow into its next frames?

    latents (B, F, C, H, W)  --patch (1, 2, 2)-->  tokens (B, F H/2 W/2, dim)  --blocks-->  --head-->  (B, F, 16, H, W)

It is asked block by block, in two methods:

    prefill(context, text)                                  context: clean latents, 16 channels: reference, then past
        -> cache      every layer's keys and values, frames 0, 1, ... of the rotary embedding, timestep 0
    denoise(noisy, condition, timestep, cache, text)        noisy: 16 channels; condition: 4 of mask, 16 of render
        -> flow       noise - clean, (B, F, 16, H, W)       frames 6, 7, ..., always; sees the cache and itself

so that a rollout never reaches positions that training did not. The text is read once a prompt (`read`): the keys and
values that every layer's cross-attention needs. One timestep a sample shifts, scales and gates every layer.

Two more methods are for training. `attended` is `prefill` with gradients, for the same `denoise`. `joint` is another use of
the same weights, bidirectional, for teachers that need not be causal: a whole clip at once, beside its reference.

    joint(noisy, condition, timestep, text, reference)      reference at frames 0 .. n - 1, noisy at n .. 2 n - 1
        -> flow       of the noisy frames                   (0 .. n - 1 without); all attend to all, under one timestep

The type is that of the weights; float32 inside norms and rotations, float64 for the timestep's sinusoid. Parameters bear
the released names: `blocks.N.self_attn.q`, ...

Ref: Wan team, "Wan: Open and Advanced Large-Scale Video Generative Models"; Peebles and Xie, "Scalable Diffusion Models
with Transformers".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import pi, prod
from typing import Any, Self

from inspatio_gym.extras import extra
from inspatio_gym.star.attention import KERNELS, attend_to_few
from inspatio_gym.star.cache import Attended, Cache, Joined, KeyValues, Layer, Pair, Text
from inspatio_gym.star.rope import angles, rotate

with extra("star"):
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

LATENT_CHANNELS = 16
MASK_CHANNELS = 4
CONDITION_CHANNELS = MASK_CHANNELS + LATENT_CHANNELS  # mask and render
DENOISE_FRAME = 6  # of the rotary embedding: behind three reference and three past frames, also where these are absent
PATCH = (1, 2, 2)
EPS = 1e-6


@dataclass(frozen=True, slots=True)
class DitConfig:
    """Sizes of the network; the defaults are those of the 1.3B model."""

    dim: int = 1536
    ffn_dim: int = 8960
    num_heads: int = 12
    num_layers: int = 30
    text_dim: int = 4096
    text_len: int = 512
    freq_dim: int = 256
    in_dim: int = LATENT_CHANNELS + CONDITION_CHANNELS
    out_dim: int = LATENT_CHANNELS

    def __post_init__(self) -> None:
        if self.dim % self.num_heads or self.dim // self.num_heads % 2:
            raise ValueError(f"expected dim {self.dim} to be num_heads {self.num_heads} times an even number")
        if self.freq_dim % 2:
            raise ValueError(f"expected an even freq_dim, got {self.freq_dim}")

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Read a config.json; keys that say nothing of a size are passed over."""
        record = record.get("config", record)
        return cls(**{f.name: int(record[f.name]) for f in fields(cls) if f.name in record})


class RmsNorm(nn.Module):
    """Root-mean-square norm over all channels, before they are split into heads."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), x.shape[-1:], eps=EPS).to(x.dtype) * self.weight


class Heads(nn.Module):
    """The projections of an attention: queries, keys, values, output."""

    def __init__(self, config: DitConfig):
        super().__init__()
        self.head_dim = config.head_dim
        self.q, self.k, self.v, self.o = (nn.Linear(config.dim, config.dim) for _ in range(4))
        self.norm_q, self.norm_k = RmsNorm(config.dim), RmsNorm(config.dim)

    def queries(self, x: Tensor) -> Tensor:
        return self.norm_q(self.q(x)).unflatten(-1, (-1, self.head_dim))

    def keys(self, x: Tensor) -> Tensor:
        return self.norm_k(self.k(x)).unflatten(-1, (-1, self.head_dim))

    def values(self, x: Tensor) -> Tensor:
        return self.v(x).unflatten(-1, (-1, self.head_dim))

    def out(self, queries: Tensor, keys: Tensor, values: Tensor, kernel: str) -> Tensor:
        """What queries (B, T, heads, head_dim) find in keys and values (B, S, heads, head_dim), as tokens (B, T, dim)."""
        if queries.device.type == "cpu" and keys[0, ..., 0].numel() < self.o.in_features:
            return attend_to_few(queries, keys, values, self.o)
        return self.o(KERNELS[kernel](queries, keys, values).flatten(2))


class Gelu(nn.Module):
    """GELU by tanh; on a CPU as x sigmoid(2 u), which is the same without torch's slow tanh."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return functional.gelu(x, approximate="tanh")
        slope = 2 * (2 / pi) ** 0.5
        return x * (x * torch.addcmul(x.new_tensor(slope), x, x, value=0.044715 * slope)).sigmoid_()


class DitBlock(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; the first and last modulated by the timestep."""

    def __init__(self, config: DitConfig):
        super().__init__()
        dim = config.dim
        self.self_attn, self.cross_attn = Heads(config), Heads(config)
        self.norm3 = nn.LayerNorm(dim, eps=EPS)
        self.ffn = nn.Sequential(nn.Linear(dim, config.ffn_dim), Gelu(), nn.Linear(config.ffn_dim, dim))
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))

    def remember(self, x: Tensor, modulation: Tensor, turn: Pair, past: Layer) -> tuple[Tensor, Pair]:
        """Hand the keys and values of tokens x (B, T, dim) to `past`; returns what they were made from, and all of them."""
        shift, scale = (self.modulation + modulation)[:, :2].chunk(2, 1)
        x = _modulated(x, shift, scale)
        return x, past.extend(rotate(self.self_attn.keys(x), *turn), self.self_attn.values(x))

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        turn: Pair,
        past: Layer,
        text_keys: Tensor,
        text_values: Tensor,
        kernel: str,
    ) -> tuple[Tensor, Pair]:
        """Advance tokens x (B, T, dim), which attend to `past` and to themselves; also returns the keys and values of both."""
        own, seen = self.remember(x, modulation, turn, past)
        _, _, gate, ffn_shift, ffn_scale, ffn_gate = (self.modulation + modulation).chunk(6, 1)
        queries = rotate(self.self_attn.queries(own), *turn)
        x = torch.addcmul(x, gate, self.self_attn.out(queries, *seen, kernel))
        x = x + self.cross_attn.out(self.cross_attn.queries(self.norm3(x)), text_keys, text_values, kernel)
        return torch.addcmul(x, ffn_gate, self.ffn(_modulated(x, ffn_shift, ffn_scale))), seen


class Head(nn.Module):
    """Tokens to patches of flow."""

    def __init__(self, config: DitConfig):
        super().__init__()
        self.head = nn.Linear(config.dim, config.out_dim * PATCH[1] * PATCH[2])
        self.modulation = nn.Parameter(torch.zeros(1, 2, config.dim))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation + time[:, None]).chunk(2, 1)
        return self.head(_modulated(x, shift, scale))


class Dit(nn.Module):
    """The transformer; see the module's docstring. `kernel`: which attention, by its name in `attention.KERNELS`."""

    def __init__(self, config: DitConfig, kernel: str = "sdpa"):
        super().__init__()
        dim = config.dim
        self.config, self.kernel = config, kernel
        self.patch_embedding = nn.Conv3d(config.in_dim, dim, PATCH, PATCH)
        self.text_embedding = nn.Sequential(nn.Linear(config.text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(DitBlock(config) for _ in range(config.num_layers))
        self.head = Head(config)

    @property
    def device(self) -> torch.device:
        return self.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    def fuse(self) -> None:
        """Let torch.compile fuse what every layer does; it does so when a layer is first called, which takes its time."""
        for block in self._layers():
            block.compile()

    def read(self, prompt_embeds: Tensor) -> Text:
        """Read prompts (B, L, text_dim), L <= text_len, padded by zeros, which are attended to. Once a prompt.

        Raises ValueError for another width or a longer text.
        """
        length, width = prompt_embeds.shape[1:]
        if width != self.config.text_dim or length > self.config.text_len:
            raise ValueError(
                f"expected prompt embeddings (B, up to {self.config.text_len}, {self.config.text_dim}), got "
                f"{tuple(prompt_embeds.shape)}: embed with the text encoder that the model was trained with"
            )
        padded = functional.pad(prompt_embeds, (0, 0, 0, self.config.text_len - length))
        text = self.text_embedding(padded.to(self.device, self.dtype))
        readers = [block.cross_attn for block in self._layers()]
        return Text(torch.stack([r.keys(text) for r in readers]), torch.stack([r.values(text) for r in readers]))

    def prefill(
        self, context: Tensor, text: Text, cache: KeyValues | None = None, block_frames: int | None = None
    ) -> KeyValues:
        """Read the context: clean latents (B, F, 16, H, W), reference frames first, then the past.

        cache: one to write into if it is large enough, else a new one is made. block_frames: how many frames `denoise` will be
        asked for, at most; F if left out. Raises ValueError for odd latent sizes.
        """
        batch, frames = context.shape[:2]
        length = prod(self._grid(context))
        capacity = length // frames * (frames + (frames if block_frames is None else block_frames))
        if cache is None or cache.keys.shape[1] < batch or cache.keys.shape[2] < capacity:
            cache = KeyValues(self.config, batch, capacity, self.device, self.dtype)
        cache = cache.part(batch)
        cache.length = 0
        self._remember(context, text, 0, cache.layers(batch, length))
        cache.length = length
        return cache

    def attended(self, context: Tensor | None, text: Text, first_frame: int = 0) -> Attended:
        """`prefill` with gradients: of context (B, F, 16, H, W), in new memory, for any number of `denoise`.

        context: None for none at all. first_frame: where it begins on the rotary embedding; 3 for a past that comes without
        a reference. Raises ValueError for odd latent sizes.
        """
        empty = [Joined()] * len(self.blocks)
        if context is None:
            return Attended(tuple(empty))
        return Attended(tuple(Joined(*pair) for pair in self._remember(context, text, first_frame, empty)))

    def denoise(self, noisy: Tensor, condition: Tensor, timestep: Tensor, cache: Cache, text: Text) -> Tensor:
        """The flow (B, F, 16, H, W), float32, of noisy latents of the same shape.

        condition: (B, F, 20, H, W), mask and render. timestep: (B,), 0..1000. cache: of `prefill` or `attended` for the same
        worlds; its context stays as it is. Raises ValueError where the block does not fit into the cache's room.
        """
        past = cache.layers(len(noisy), prod(self._grid(noisy)))
        return self._flow(noisy, condition, timestep, DENOISE_FRAME, past, text, noisy.shape[1])

    def joint(
        self, noisy: Tensor, condition: Tensor, timestep: Tensor, text: Text, reference: Tensor | None = None
    ) -> Tensor:
        """The flow (B, F, 16, H, W), float32, of a whole noisy clip whose frames all see each other and the reference.

        condition: (B, F, 20, H, W). timestep: (B,), 0..1000, which the reference's tokens are told, too. reference: clean
        latents (B, F', 16, H, W), or None.
        """
        latents = noisy
        if reference is not None:
            latents = torch.cat((reference, noisy), 1)
            condition = torch.cat((_blank(reference), condition), 1)
        return self._flow(latents, condition, timestep, 0, [Joined()] * len(self.blocks), text, noisy.shape[1])

    def _remember(self, context: Tensor, text: Text, first_frame: int, past: Sequence[Layer]) -> list[Pair]:
        """Clean latents (B, F, 16, H, W) through the layers, behind `past`; every layer's keys and values."""
        x = self._tokens(context, _blank(context))
        _, modulation = self._time(torch.zeros(len(context), device=self.device))
        turn = angles(self._grid(context), first_frame, self.config.head_dim, self.device)
        text = text.expand(len(context))
        *layers, last = self._layers()
        seen = []
        for block, own, keys, values in zip(layers, past, text.keys, text.values, strict=False):
            x, pair = block(x, modulation, turn, own, keys, values, self.kernel)
            seen.append(pair)
        return [*seen, last.remember(x, modulation, turn, past[-1])[1]]  # nobody asks what comes out of the last layer

    def _flow(
        self,
        latents: Tensor,
        condition: Tensor,
        timestep: Tensor,
        first_frame: int,
        past: Sequence[Layer],
        text: Text,
        frames: int,
    ) -> Tensor:
        """The flow of the last `frames` frames of latents (B, F, 16, H, W) behind `past`."""
        batch, _, _, height, width = latents.shape
        _, rows, columns = grid = self._grid(latents)
        x = self._tokens(latents, condition)
        time, modulation = self._time(timestep.to(self.device))
        turn = angles(grid, first_frame, self.config.head_dim, self.device)
        text = text.expand(batch)
        for block, own, keys, values in zip(self._layers(), past, text.keys, text.values, strict=True):
            x, _ = block(x, modulation, turn, own, keys, values, self.kernel)
        patches = self.head(x[:, -frames * rows * columns :], time).float()
        return (
            patches.view(batch, frames, rows, columns, PATCH[1], PATCH[2], self.config.out_dim)
            .permute(0, 1, 6, 2, 4, 3, 5)
            .reshape(batch, frames, self.config.out_dim, height, width)
        )

    def _layers(self) -> Iterator[DitBlock]:
        for block in self.blocks:
            assert isinstance(block, DitBlock)
            yield block

    def _grid(self, latents: Tensor) -> tuple[int, int, int]:
        frames, height, width = latents.shape[1], *latents.shape[3:]
        if height % PATCH[1] or width % PATCH[2]:
            raise ValueError(
                f"expected latents of even height and width, got {height}x{width}: frames in multiples of 16"
            )
        return frames, height // PATCH[1], width // PATCH[2]

    def _tokens(self, latents: Tensor, condition: Tensor) -> Tensor:
        """(B, F, 16, H, W) and (B, F, 20, H, W) -> tokens (B, F H/2 W/2, dim), frame by frame, row by row."""
        x = torch.cat((latents, condition), 2).transpose(1, 2).to(self.device, self.dtype)
        return self.patch_embedding(x).flatten(2).transpose(1, 2).contiguous()

    def _time(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps (B,) -> their embedding (B, dim), for the head, and modulation (B, 6, dim), for the blocks."""
        half = self.config.freq_dim // 2
        scale = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=self.device) / half)
        angle = timestep.double()[:, None] * scale
        time = self.time_embedding(torch.cat((angle.cos(), angle.sin()), -1).to(self.dtype))
        return time, self.time_projection(time).unflatten(1, (6, -1))


def _blank(latents: Tensor) -> Tensor:
    """The condition of latents (B, F, 16, H, W) that are clean: none."""
    return torch.zeros_like(latents[:, :, :1]).expand(-1, -1, CONDITION_CHANNELS, -1, -1)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens x (B, T, dim), normalised, scaled by 1 + scale and shifted, (B, 1, dim) each."""
    width = x.shape[-1:]
    if x.device.type == "cpu" and len(x) == 1:  # then the norm scales and shifts by itself, which spares a pass
        return functional.layer_norm(x, width, 1 + scale[0, 0], shift[0, 0], EPS)
    return torch.addcmul(shift, functional.layer_norm(x, width, eps=EPS), 1 + scale)
