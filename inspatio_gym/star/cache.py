"""What tokens attend to: the keys and values of every layer, and those of the text.

    KeyValues   for inference: preallocated and written in place, context and block side by side, uncopied
    Attended    for training: the context's, with the graph of what made them; every block is joined to them anew
    Text        a prompt's

A layer does not know which it has: it hands the keys and values of its tokens to `extend`, and gets back all that these
tokens attend to, (B, seen, heads, head_dim) each.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    from torch import Tensor

if TYPE_CHECKING:
    from inspatio_gym.star.dit import DitConfig

Pair: TypeAlias = tuple[Tensor, Tensor]
"""Keys and values."""


class Layer(Protocol):
    """One layer's part of a cache."""

    def extend(self, keys: Tensor, values: Tensor) -> Pair:
        """Put keys and values (B, T, heads, head_dim) of a block behind the context's; returns all of them."""
        ...


class Cache(Protocol):
    """What `Dit.denoise` reads."""

    def layers(self, batch: int, tokens: int) -> Sequence[Layer]:
        """Every layer's part, for blocks of `tokens` tokens of `batch` worlds. Raises ValueError if they do not fit."""
        ...


class Slot(NamedTuple):
    """One layer of `KeyValues`: (B, capacity, heads, head_dim) each, of which the first `at` tokens are taken."""

    keys: Tensor
    values: Tensor
    at: int

    def extend(self, keys: Tensor, values: Tensor) -> Pair:
        end = self.at + keys.shape[1]
        self.keys[:, self.at : end] = keys
        self.values[:, self.at : end] = values
        return self.keys[:, :end], self.values[:, :end]


class KeyValues:
    """What a layer's tokens offer to be attended to, for every layer; preallocated.

    keys, values: (layers, B, capacity, heads, head_dim), of which the first `length` tokens are the context. What follows
    is the room in which `denoise` puts the tokens of the block, so that context and block lie side by side uncopied.
    """

    def __init__(self, config: "DitConfig", batch: int, capacity: int, device: torch.device, dtype: torch.dtype):
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

    def layers(self, batch: int, tokens: int) -> list[Slot]:
        if self.keys.shape[1] != batch or self.room < tokens:
            raise ValueError(
                f"expected a cache for {batch} worlds with room for {tokens} tokens, got {self.keys.shape[1]} worlds and "
                f"{self.room} tokens: pass a block_frames to prefill that is as long as the block"
            )
        return [Slot(keys, values, self.length) for keys, values in zip(self.keys, self.values, strict=True)]


class Joined(NamedTuple):
    """One layer of `Attended`: (B, context, heads, head_dim) each, or None where there is no context."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> Pair:
        if self.keys is None or self.values is None:
            return keys, values
        return torch.cat((self.keys, keys), 1), torch.cat((self.values, values), 1)


@dataclass(frozen=True, slots=True)
class Attended:
    """A context as `Dit.attended` leaves it; no block ever changes it."""

    parts: tuple[Joined, ...]

    def layers(self, batch: int, tokens: int) -> Sequence[Joined]:
        known = self.parts[0].keys
        if known is not None and len(known) != batch:
            raise ValueError(
                f"expected a context of {batch} worlds, got one of {len(known)}: one for every noisy block"
            )
        return self.parts


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt as every layer's cross-attention sees it: keys, values (layers, B or 1, text_len, heads, head_dim)."""

    keys: Tensor
    values: Tensor

    def expand(self, batch: int) -> "Text":
        """The same prompt for `batch` worlds, uncopied."""
        return self if self.keys.shape[1] == batch else Text(*(t.expand(-1, batch, -1, -1, -1) for t in self.pair))

    @property
    def pair(self) -> Pair:
        return self.keys, self.values
