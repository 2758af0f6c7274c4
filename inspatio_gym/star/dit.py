"""The diffusion transformer: given what is known of a world, how does noise flow into its next frames?

    latents (B, F, C, H, W)  --patch (1, 2, 2)-->  tokens (B, F H/2 W/2, dim)  --blocks-->  --head-->  (B, F, 16, H, W)

It is asked in two ways, which are two methods:

    prefill(context, text)                                  context: clean latents, 16 channels: reference, then past
        -> cache      every layer's keys and values, frames 0, 1, ... of the rotary embedding, timestep 0
    denoise(noisy, condition, timestep, cache, text)        noisy: 16 channels; condition: 4 of mask, 16 of render
        -> flow       noise - clean, (B, F, 16, H, W)       frames 6, 7, ..., always; sees the cache and itself

so that a rollout never reaches positions that training did not. The text is read once a prompt (`read`): the keys and
values that every layer's cross-attention needs. One timestep a sample shifts, scales and gates every layer.

For inference: the cache is written in place. The type is that of the weights; float32 inside norms and rotations, float64
for the timestep's sinusoid. Parameters bear the released names: `blocks.N.self_attn.q`, ...

Ref: Wan team, "Wan: Open and Advanced Large-Scale Video Generative Models"; Peebles and Xie, "Scalable Diffusion Models
with Transformers".
"""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, fields
from typing import Any, Self

from inspatio_gym.extras import extra
from inspatio_gym.star.attention import KERNELS
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


class KeyValues:
    """What a layer's tokens offer to be attended to, for every layer; preallocated.

    keys, values: (layers, B, capacity, heads, head_dim), of which the first `length` tokens are the context. What follows
    is the room in which `denoise` puts the tokens of the block, so that context and block lie side by side uncopied.
    """

    def __init__(self, config: DitConfig, batch: int, capacity: int, device: torch.device, dtype: torch.dtype):
        shape = (config.num_layers, batch, capacity, config.num_heads, config.head_dim)
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    @property
    def room(self) -> int:
        """Tokens behind the context."""
        return self.keys.shape[2] - self.length

    def part(self, batch: int) -> "KeyValues":
        """The first `batch` worlds of it, in the same memory."""
        part = copy(self)
        part.keys, part.values = self.keys[:, :batch], self.values[:, :batch]
        return part


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt as every layer's cross-attention sees it: keys, values (layers, B or 1, text_len, heads, head_dim)."""

    keys: Tensor
    values: Tensor

    def expand(self, batch: int) -> "Text":
        """The same prompt for `batch` worlds, uncopied."""
        return self if self.keys.shape[1] == batch else Text(*(t.expand(-1, batch, -1, -1, -1) for t in self.pair))

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        return self.keys, self.values


class RmsNorm(nn.Module):
    """Root-mean-square norm over all channels, before they are split into heads."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS)).to(x.dtype) * self.weight


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


class DitBlock(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; the first and last modulated by the timestep."""

    def __init__(self, config: DitConfig):
        super().__init__()
        dim = config.dim
        self.self_attn, self.cross_attn = Heads(config), Heads(config)
        self.norm3 = nn.LayerNorm(dim, eps=EPS)
        self.ffn = nn.Sequential(nn.Linear(dim, config.ffn_dim), nn.GELU("tanh"), nn.Linear(config.ffn_dim, dim))
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))

    def remember(
        self, x: Tensor, modulation: Tensor, turn: tuple[Tensor, Tensor], keys: Tensor, values: Tensor, at: int
    ) -> Tensor:
        """Write the keys and values of tokens x (B, T, dim) at `at` .. `at` + T; returns what they were made from."""
        shift, scale = (self.modulation + modulation)[:, :2].chunk(2, 1)
        x = _norm(x) * (1 + scale) + shift
        keys[:, at : at + x.shape[1]] = rotate(self.self_attn.keys(x), *turn)
        values[:, at : at + x.shape[1]] = self.self_attn.values(x)
        return x

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        turn: tuple[Tensor, Tensor],
        keys: Tensor,
        values: Tensor,
        at: int,
        text_keys: Tensor,
        text_values: Tensor,
        kernel: str,
    ) -> Tensor:
        """Advance tokens x (B, T, dim), which attend to the first `at` ones of the cache and to themselves."""
        attend = KERNELS[kernel]
        own = self.remember(x, modulation, turn, keys, values, at)
        _, _, gate, ffn_shift, ffn_scale, ffn_gate = (self.modulation + modulation).chunk(6, 1)
        seen = at + x.shape[1]
        queries = rotate(self.self_attn.queries(own), *turn)
        x = x + gate * self.self_attn.o(attend(queries, keys[:, :seen], values[:, :seen]).flatten(2))
        queries = self.cross_attn.queries(self.norm3(x))
        x = x + self.cross_attn.o(attend(queries, text_keys, text_values).flatten(2))
        return x + ffn_gate * self.ffn(_norm(x) * (1 + ffn_scale) + ffn_shift)


class Head(nn.Module):
    """Tokens to patches of flow."""

    def __init__(self, config: DitConfig):
        super().__init__()
        self.head = nn.Linear(config.dim, config.out_dim * PATCH[1] * PATCH[2])
        self.modulation = nn.Parameter(torch.zeros(1, 2, config.dim))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation + time[:, None]).chunk(2, 1)
        return self.head(_norm(x) * (1 + scale) + shift)


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
        batch, frames, _, height, width = context.shape
        grid = self._grid(context)
        length = grid[0] * grid[1] * grid[2]
        capacity = length // frames * (frames + (frames if block_frames is None else block_frames))
        if cache is None or cache.keys.shape[1] < batch or cache.keys.shape[2] < capacity:
            cache = KeyValues(self.config, batch, capacity, self.device, self.dtype)
        cache = cache.part(batch)
        blank = context.new_zeros(batch, frames, CONDITION_CHANNELS, height, width)
        x = self._tokens(context, blank)
        _, modulation = self._time(torch.zeros(batch, device=self.device))
        turn = angles(grid, 0, self.config.head_dim, self.device)
        text = text.expand(batch)
        last = len(self.blocks) - 1
        for layer, block in enumerate(self._layers()):
            keys, values = cache.keys[layer], cache.values[layer]
            if layer == last:  # nobody asks what comes out of it
                block.remember(x, modulation, turn, keys, values, 0)
            else:
                x = block(
                    x, modulation, turn, keys, values, 0, text.keys[layer], text.values[layer], self.kernel
                )  # fmt: skip
        cache.length = length
        return cache

    def denoise(self, noisy: Tensor, condition: Tensor, timestep: Tensor, cache: KeyValues, text: Text) -> Tensor:
        """The flow (B, F, 16, H, W), float32, of noisy latents of the same shape.

        condition: (B, F, 20, H, W), mask and render. timestep: (B,), 0..1000. cache: of `prefill` for the same worlds; its
        context stays as it is. Raises ValueError where the block does not fit into the cache's room.
        """
        batch, frames, _, height, width = noisy.shape
        grid = self._grid(noisy)
        tokens = grid[0] * grid[1] * grid[2]
        if cache.keys.shape[1] != batch or cache.room < tokens:
            raise ValueError(
                f"expected a cache for {batch} worlds with room for {tokens} tokens, got {cache.keys.shape[1]} worlds and "
                f"{cache.room} tokens: pass block_frames={frames} to prefill"
            )
        x = self._tokens(noisy, condition)
        time, modulation = self._time(timestep.to(self.device))
        turn = angles(grid, DENOISE_FRAME, self.config.head_dim, self.device)
        text = text.expand(batch)
        for layer, block in enumerate(self._layers()):
            x = block(
                x, modulation, turn, cache.keys[layer], cache.values[layer], cache.length, text.keys[layer],
                text.values[layer], self.kernel,
            )  # fmt: skip
        patches = self.head(x, time).float()
        return (
            patches.view(batch, *grid, PATCH[1], PATCH[2], self.config.out_dim)
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


def _norm(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=EPS)
