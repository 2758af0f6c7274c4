"""Tiny random networks, saved in the file layouts of the public repositories that the adapters read."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import UMT5Config, UMT5EncoderModel

LETTERS = "abcdefghijklmnopqrstuvwxyz.,&<>"


def text_encoder(folder: Path, *, text_dim: int = 16) -> Path:
    """A diffusers folder with `text_encoder/` (umT5) and `tokenizer/` (a unigram model that normalises to NFKC)."""
    torch.manual_seed(0)
    pieces = ["<pad>", "</s>", "<s>", "<unk>", "▁", *LETTERS, "▁a", "▁street"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(i < 36)) for i, piece in enumerate(pieces)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.enable_padding(length=9)  # a file may hold habits of its own
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    config = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    sizes = UMT5Config(
        vocab_size=len(pieces),
        d_model=text_dim,
        d_kv=4,
        num_heads=4,
        d_ff=32,
        num_layers=2,
        relative_attention_num_buckets=8,
    )
    UMT5EncoderModel(sizes).save_pretrained(folder / "text_encoder", max_shard_size="3kB")
    return folder
