"""The tiny STAR model: the same classes at sizes that a CPU steps, trained from nothing on worlds that we render.

    frames 128x224  --codec, 2 M weights-->  latents (t, 16, 16, 28)  --transformer, 14 M weights-->  112 tokens a latent

There is no text encoder: a prompt is a row of a learned table, (text_len, text_dim) of numbers that the transformer reads
as it reads words.

    null      nothing is said; what guidance is measured against
    plain     the clean pictures of a renderer
    camera    richer surfaces and light, as a camera sees them

On disk, in a folder, at 16 bits:

    config.json           sizes of the transformer, names of the rows, whether holes are filled by a background; the
                          codec's sizes are those of its weights
    dit.safetensors       the transformer
    text.safetensors      the table
    codec.safetensors     the codec

Ref: Peebles and Xie, "Scalable Diffusion Models with Transformers"; He et al., "Delving Deep into Rectifiers": for weights
to begin a training with.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from inspatio_gym.checkpoints import locate
from inspatio_gym.checkpoints.pretrained import require_files
from inspatio_gym.checkpoints.weights import load_strictly, read_weights
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.star.attention import VARIABLE
from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.model import StarModel
from inspatio_gym.star.offline import load_dit
from inspatio_gym.star.precision import Dtype, as_dtype
from inspatio_gym.star.taehv import Taehv, TaehvCodec, TaehvConfig
from inspatio_gym.star.taehv_layers import Grow, Pool
from inspatio_gym.types import Size

with extra("star"):
    import torch
    from safetensors.torch import save_file
    from torch import Tensor, nn

NAME = "inspatio-tiny"
TINY = DitConfig(dim=320, ffn_dim=1280, num_heads=5, num_layers=8, text_dim=64, text_len=4)
"""Sizes of the transformer: 63 GFLOP for a block of 12 frames at 128x224."""
TINY_CODEC = TaehvConfig(
    encoder=(16, 24, 64, 64), decoder=(96, 64, 32, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(3, 3, 1)
)
"""Sizes of the codec: 30 GFLOP for that block, encoded twice and decoded once; little of it at the full size of a frame."""
ROWS = ("null", "plain", "camera")
PROMPT = "camera"
"""The row that is taken unless a prompt names another: real videos are nearest to it."""
SHORT = 672
"""Tokens of a context at 128x224; up to these a CPU attends in bfloat16 by two products, docs/star.md has the times."""
COLOURS = 3
USUAL_LIGHT = 0.45, 0.22
"""Mean and deviation of a picture's numbers in [0, 1], roughly."""
CONFIG, DIT, TEXT, CODEC = FILES = ("config.json", "dit.safetensors", "text.safetensors", "codec.safetensors")


class TextTable(nn.Module):
    """Prompts as learned numbers: rows (R, text_len, text_dim), each with a name."""

    def __init__(
        self, rows: Sequence[str] = ROWS, text_len: int = TINY.text_len, text_dim: int = TINY.text_dim
    ) -> None:
        super().__init__()
        self.names = tuple(rows)
        self.rows = nn.Parameter(torch.randn(len(self.names), text_len, text_dim))

    def forward(self, which: Sequence[str] | Tensor) -> Tensor:
        """The prompts (B, text_len, text_dim) of B names, or of the rows that int64 (B,) numbers.

        Raises ValueError for a name that no row has.
        """
        if not isinstance(which, Tensor):
            which = torch.tensor([self._row(name) for name in which], device=self.rows.device)
        return self.rows[which]

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f"expected a prompt out of {list(self.names)}, which the tiny model learned, got {name!r}")
        return self.names.index(name)


def new_dit(config: DitConfig = TINY) -> Dit:
    """A transformer to train from nothing; random numbers are torch's.

    Every layer begins as the identity and the flow as zero: gates, the outputs of cross-attention and the head are zero.
    Other matrices are Xavier's, with the patch embedding taken as one; those of the timestep are normal, 0.02 wide.
    """
    dit = Dit(config)
    for name, layer in dit.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv3d) and layer.bias is not None:
            if name in ("time_projection.1", "head.head") or name.endswith("cross_attn.o"):
                nn.init.zeros_(layer.weight)
            elif name.startswith("time_embedding"):
                nn.init.normal_(layer.weight, std=0.02)
            else:
                nn.init.xavier_uniform_(layer.weight.data.flatten(1))
            nn.init.zeros_(layer.bias)
    return dit


def new_codec(config: TaehvConfig = TINY_CODEC) -> Taehv:
    """A codec to train from nothing, which begins as a mosaic; random numbers are torch's.

    Three channels carry a picture's colours through all layers, so that the first three channels of a latent are the mean
    colours of 8 x 8 pixels of 4 frames, and frames are made of these alone. The other channels are He's, and unheard until
    the last convolution learns to listen. Every MemBlock begins as the identity, by its last convolution.
    """
    codec = Taehv(config)
    for name, layer in codec.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            if name.endswith("conv.4"):
                nn.init.zeros_(layer.weight)
    for layer in (*codec.encoder, *codec.decoder):
        if isinstance(layer, Pool):
            _carry_colours(layer.conv, layer.steps, 1)
        elif isinstance(layer, Grow):
            _carry_colours(layer.conv, 1, layer.steps)
        elif isinstance(layer, nn.Conv2d):
            _carry_colours(layer)
    mean, deviation = USUAL_LIGHT
    into, out_of = codec.encoder[-1], codec.decoder[1]
    for conv, factor, shift in ((into, 1 / deviation, -mean / deviation), (out_of, deviation, mean)):
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        conv.weight.data[:COLOURS] *= factor
        conv.bias.data[:COLOURS] = shift
    return codec


def _carry_colours(conv: nn.Conv2d, inputs: int = 1, outputs: int = 1) -> None:
    """Make the first three channels of each of `outputs` images the mean of those of `inputs` images; halve by means, too."""
    weight = conv.weight.data.unflatten(0, (outputs, -1)).unflatten(2, (inputs, -1))  # (outputs, C', inputs, C, k, k)
    weight[:, :COLOURS] = 0
    reach = slice(conv.kernel_size[0] // 2, conv.kernel_size[0] // 2 + conv.stride[0])
    for colour in range(COLOURS):
        weight[:, colour, :, colour, reach, reach] = 1 / (inputs * conv.stride[0] ** 2)


def save_tiny(folder: Path, dit: Dit, table: TextTable, codec: Taehv, background: bool = False) -> None:
    """Write the folder that `load_tiny` reads, as float16; what else lies in it stays. Every file is whole or not there.

    background: whether it was trained on renders whose holes a background fills; see `StarModel`.
    """
    for name, module in ((DIT, dit), (TEXT, table), (CODEC, codec)):
        with written_whole(folder / name) as partial:
            save_file({key: value.half().contiguous().cpu() for key, value in module.state_dict().items()}, partial)
    with written_whole(folder / CONFIG) as partial:
        record = {"config": asdict(dit.config), "rows": table.names, "background": background}
        partial.write_text(json.dumps(record, indent=2) + "\n")


def load_tiny(
    render_size: Size,
    device: str = "cpu",
    *,
    dtype: Dtype = "auto",
    prompt: str | None = None,
    path: str | Path | None = None,
    max_batch: int | None = None,
    far: float | None = None,
) -> StarModel:
    """Load the tiny model; see `StarModel` for render_size, max_batch and far. It was trained at 128x224.

    prompt: the name of a row of its table, "camera" if left out; a scene's caption means nothing to it. path: a folder that
    `save_tiny` wrote; left out, the checkpoint "inspatio-tiny", wherever it is found.

    dtype: of transformer and codec; "auto" is bfloat16 where the device multiplies it natively, GPUs and CPUs with AVX512-BF16,
    else float32. Sessions go on in the type they began in: machines of both kinds that exchange snapshots name one.

    Raises WeightsNotFound naming the command that makes them where there are none,
    FileNotFoundError for a `path` without them, WeightsError for files that are damaged or do not fit, ValueError for
    a prompt that no row has, or an unknown dtype.
    """
    kind = as_dtype(dtype, device)
    folder = locate(NAME) if path is None else Path(path)
    require_files(folder, *FILES)
    tokens = 6 * (render_size[0] // 16) * (render_size[1] // 16)  # of a context
    short = (
        kind == torch.bfloat16 and torch.device(device).type == "cpu" and tokens <= SHORT and VARIABLE not in os.environ
    )
    dit = load_dit(folder / DIT, folder / CONFIG, device, kind, "products" if short else None)
    record = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    table = TextTable(record["rows"], dit.config.text_len, dit.config.text_dim)
    load_strictly(table, read_weights(folder / TEXT), folder / TEXT)
    table.to(device, kind).requires_grad_(False)
    prompt = PROMPT if prompt is None else prompt
    table([prompt])
    codec = TaehvCodec(Taehv.load(folder / CODEC, device, kind))
    return StarModel(
        dit,
        codec,
        codec,
        lambda text: table([text]),
        render_size=render_size,
        name="tiny",
        prompt=prompt,
        max_batch=max_batch,
        far=far,
        background=record.get("background", False),
    )
