"""Tiny random networks, saved in the file layouts of the public repositories that the adapters read."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BartConfig,
    CLIPImageProcessor,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DPTImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    UMT5Config,
    UMT5EncoderModel,
)

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


def florence(folder: Path) -> Path:
    """A captioner of 64 x 64 pixels that knows bytes and says whatever comes."""
    torch.manual_seed(0)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    letters = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    letters.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    letters.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<image>"])
    folder.mkdir(parents=True, exist_ok=True)
    letters.save(str(folder / "tokenizer.json"))
    marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    words = {"tokenizer_class": "BartTokenizer", "extra_special_tokens": {"image_token": "<image>"}, **marks}
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    pictures = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    pictures.image_seq_length = 64 + 1
    pictures.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Florence2Processor"}))
    vision = {
        "depths": (1, 1), "patch_size": (7, 3), "patch_stride": (4, 2), "patch_padding": (3, 1),
        "patch_prenorm": (False, True), "embed_dim": (8, 16), "num_heads": (2, 2), "num_groups": (2, 2),
        "window_size": 4, "projection_dim": 16,
    }  # fmt: skip
    language = BartConfig(
        vocab_size=letters.get_vocab_size(), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=300, init_std=1.0,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    sizes = Florence2Config(
        image_token_id=letters.token_to_id("<image>"),
        vision_config={"model_type": "florence_vision", **vision},
        text_config=language.to_dict(),
    )
    Florence2ForConditionalGeneration(sizes).save_pretrained(folder)
    return folder


def depth_anything_v2(folder: Path, *, kind: str = "metric") -> Path:
    """A network of depth up to 20 m, for pictures of about 56 pixels."""
    torch.manual_seed(0)
    backbone = {
        "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14, "out_indices": [1, 2, 3, 4], "apply_layernorm": True, "reshape_hidden_states": False,
        "initializer_range": 0.2,
    }  # fmt: skip
    sizes = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[4, 8, 8, 16], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=20, patch_size=14, initializer_range=0.2,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(sizes).save_pretrained(folder)
    DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14, do_rescale=True
    ).save_pretrained(folder)
    return folder


def depth_anything_3(folder: Path, name: str = "da3-small") -> Path:
    """The random network of the package's configuration `name`, in the layout of the public repositories.

    safetensors keeps a tensor that has several names under one of them, and all names begin with `model.`.
    """
    from depth_anything_3.cfg import create_object, load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from omegaconf import OmegaConf

    torch.manual_seed(0)
    config = load_config(MODEL_REGISTRY[name])
    repository = torch.nn.Module()
    repository.model = create_object(config)
    folder.mkdir(parents=True)
    save_model(repository, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_name": name, "config": OmegaConf.to_container(config)}))
    return folder
