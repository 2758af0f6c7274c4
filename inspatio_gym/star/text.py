"""Words to what the diffusion transformer attends to: umT5-XXL, from a repository in the layout of diffusers.

    "a  street"   --clean-->   "a street"   --tokenizer/-->   ids (L,), the last one </s>   L <= text_len
    ids           --text_encoder/-->   (L, text_dim)   --zeros after them-->   (text_len, text_dim)

The transformer attends to the zeros too: without a mask, padding is part of what it was trained on. A prompt is encoded
at its own length and by itself, so that its embedding depends on nothing else and a short one costs little. The
tokenizer is read as `tokenizer.json` has it, since what transformers builds of it varies with its version.

The encoder is large (5.7 billion weights) and a prompt's embedding small, so `embed` keeps embeddings beside the scenes
and loads the encoder for a prompt that nobody has had encoded yet, and only then.
"""

import hashlib
import html
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspatio_gym.checkpoints.locate import expect_diffusers_folder
from inspatio_gym.checkpoints.pretrained import load_pretrained, require_files
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.scenes.cache import cache_root, hash_of

with extra("star"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
    from torch import Tensor
    from torch.nn.functional import pad

logger = logging.getLogger(__name__)

TEXT_LEN = 512


class TextEncoder:
    """The text encoder and its tokenizer; `TextEncoder.load(folder)` makes one. Drop it once its embeddings are made."""

    def __init__(self, network: Any, tokenizer: Any, text_len: int):
        self._network, self._tokenizer, self.text_len = network, tokenizer, text_len

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        text_len: int = TEXT_LEN,
    ) -> "TextEncoder":
        """The encoder in `folder`/text_encoder and `folder`/tokenizer. text_len: tokens of every embedding.

        Raises FileNotFoundError where files are missing, WeightsError where weights and configuration do not agree,
        MissingExtra without transformers.
        """
        with extra("star"):
            from tokenizers import Tokenizer
            from transformers import UMT5EncoderModel
        tokenizer = Tokenizer.from_file(str(expect_diffusers_folder(folder, "tokenizer") / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(text_len)
        weights = expect_diffusers_folder(folder, "text_encoder")
        network = load_pretrained(UMT5EncoderModel, weights, device=device, dtype=dtype)
        return cls(network, tokenizer, text_len)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings (B, text_len, text_dim) of B prompts, zero after the last token; longer prompts are cut."""
        return torch.stack([padded(self.encode_one(prompt), self.text_len) for prompt in prompts])

    @torch.no_grad()
    def encode_one(self, prompt: str) -> Tensor:
        """The embedding (L, text_dim) of one prompt's L tokens."""
        ids = self._tokenizer.encode(clean(prompt)).ids
        return self._network(input_ids=torch.tensor([ids], device=self._network.device)).last_hidden_state[0]


def clean(prompt: str) -> str:
    """The prompt with HTML's escapes undone, doubled ones too, and every run of white space one space."""
    return " ".join(html.unescape(html.unescape(prompt)).split())


def padded(embedding: Tensor, text_len: int) -> Tensor:
    """(L, text_dim) -> (text_len, text_dim), zero after the first L."""
    return pad(embedding, (0, 0, 0, text_len - len(embedding)))


def embed(
    prompts: Sequence[str],
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    text_len: int = TEXT_LEN,
) -> Tensor:
    """Embeddings (B, text_len, text_dim) of B prompts on `device`, as `TextEncoder.load(folder, ...)` encodes them.

    They are looked for in the cache first; the encoder is loaded if one is not there, and dropped again.
    """
    digest = encoder_digest(folder)
    found, encoder = {}, None
    for prompt in dict.fromkeys(prompts):
        embedding = find_embedding(digest, prompt, dtype, text_len)
        if embedding is None:
            encoder = encoder or TextEncoder.load(folder, device, dtype, text_len)
            embedding = encoder.encode_one(prompt)
            logger.info("encoded prompt %r", prompt[:60])
            store_embedding(digest, prompt, text_len, embedding)
        found[prompt] = padded(embedding.to(device), text_len)
    return torch.stack([found[prompt] for prompt in prompts])


def encoder_digest(folder: str | Path) -> str:
    """Hash of the encoder in `folder`: 32 hex digits of its weights (samples of large files), sizes and tokenizer."""
    tokenizer, encoder = (expect_diffusers_folder(folder, name) for name in ("tokenizer", "text_encoder"))
    require_files(encoder, "*.safetensors")
    files = [tokenizer / "tokenizer.json", encoder / "config.json", *sorted(encoder.glob("*.safetensors"))]
    return _hash([(file.name, hash_of(file, samples=True)) for file in files])


def find_embedding(digest: str, prompt: str, dtype: torch.dtype, text_len: int) -> Tensor | None:
    """The embedding (L, text_dim) that `store_embedding` kept, on the CPU; None if there is none that can be read."""
    try:
        return load_file(_kept(digest, prompt, dtype, text_len))["embedding"]
    except (OSError, SafetensorError, KeyError):
        return None


def store_embedding(digest: str, prompt: str, text_len: int, embedding: Tensor) -> None:
    """Keep the embedding (L, text_dim) of a prompt by the encoder of that digest; where that cannot be, a warning."""
    file = _kept(digest, prompt, embedding.dtype, text_len)
    try:
        with written_whole(file) as partial:
            save_file({"embedding": embedding.contiguous().cpu()}, partial)
    except (OSError, SafetensorError) as problem:
        logger.warning(
            "an embedding cannot be kept in %s, and its prompt will be encoded again: %s", file.parent, problem
        )


def _kept(digest: str, prompt: str, dtype: torch.dtype, text_len: int) -> Path:
    return cache_root() / "prompts" / f"{_hash([digest, clean(prompt), str(dtype), text_len])}.safetensors"


def _hash(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()
