"""Stage 1, the codec: frames to latents and back, in exactly the timing in which worlds are stepped. And its decoder alone.

    clip (B, F, 3, H, W) in [0, 1]  --encode_clip-->  z (B, n, 16, H/8, W/8)  --+ noise, decode_clip-->  clip'

Block by block, the last latent of each holding its frame: were whole clips coded instead, the last frames of a latent
could hide in the one before it, where a block's end would lose them.

    L1        mean |clip' - clip|
    edges     the same of differences along rows, columns and time: sharp where it is sharp, steady where it is steady
    coarse    the same of means over 4 x 4 and 8 x 8 pixels: large surfaces are as bright as they are
    hue       the same of what red and green, green and blue of these means differ by: and of the right colour, which varies
              a quarter as much as brightness and would be learnt last
    moments   mean of (mean z)^2 and (deviation z - 1)^2 over channels

Diffusion wants latents of unit variance. A penalty holds them there rather than a scale folded into the weights afterwards,
because the decoder begins with 3 tanh(z / 3), through which no scale can be folded. The noise stands for what a diffusion
model gets wrong.

Once other stages speak its latents the encoder has to stay as it is. The decoder may learn on while they learn: that is the
stage "decoder".

Ref: Ollin Boer Bohan, TAEHV, for the network; Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion
Models", for latents held near a unit normal.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from inspatio_gym.star.taehv import Taehv, TaehvCodec
from inspatio_gym.training.state import average
from inspatio_gym.training.world.clips import Pairs
from inspatio_gym.training.world.latents import Footage
from inspatio_gym.training.world.looks import HeldOut
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.ranks import rank
from inspatio_gym.training.world.seeds import generator, lots
from inspatio_gym.training.world.stage import Rated, autocast, descend

PLACES = {"codec": 1, "decoder": 6}  # of their random numbers
NOISE = 0.05  # deviation, of what is added to latents before they are decoded
COARSE = (4, 8)  # pixels a side
EDGES, SMOOTH, HUE, MOMENTS = 1.0, 0.5, 0.5, 0.1  # weights of the terms


class CodecStage:
    """Trains a codec, or its decoder by itself, on sources, targets and films."""

    def __init__(
        self,
        name: Literal["codec", "decoder"],
        network: Taehv,
        pool: Pool[Footage],
        held_out: Pairs,
        effort: Rated,
        seed: int,
    ):
        self.name, self.pool, self._held_out, self._batch, self._seed = name, pool, held_out, effort.batch, seed
        network.encoder.requires_grad_(name == "codec")
        self.network, self.averaged = network, deepcopy(network).requires_grad_(False)
        self.networks = {"network": self.network, "averaged": self.averaged}
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizers = {"adam": torch.optim.Adam(learning, effort.learning_rate)}

    def step(self, number: int, done: float) -> Mapping[str, Tensor]:
        device = next(self.network.parameters()).device
        draw = generator(device, self._seed, PLACES[self.name], rank(), number)
        footage = self.pool.draw(self._batch, lots(self._seed, PLACES[self.name], rank(), number))
        clips = torch.stack((footage.source, footage.target, footage.film), 1)
        which = torch.randint(clips.shape[1], (len(clips),), generator=draw, device=clips.device)
        clip = clips[torch.arange(len(clips), device=clips.device), which].float() / 255
        with autocast(clip.device):
            latents = self.network.encode_clip(clip)
            noise = torch.randn(latents.shape, generator=draw, device=clip.device)
            shown = self.network.decode_clip(latents + NOISE * noise)
        losses = codec_losses(shown.float(), clip, latents.float())
        norm = descend(losses["total"], self.optimizers["adam"])
        average(self.averaged, self.network, number)
        return {**losses, "norm": norm}

    def look(self) -> tuple[dict[str, float], Tensor]:
        held_out = HeldOut(self._held_out, TaehvCodec(self.averaged))
        latents = held_out.coded.clean.float()
        figures, picture = held_out.judge(latents)
        deviation = latents.std((0, 1, 3, 4))
        return {**figures, "least deviation": float(deviation.min()), "most": float(deviation.max())}, picture

    def weights(self) -> dict[str, Tensor]:
        return self.averaged.state_dict()


def codec_losses(shown: Tensor, clip: Tensor, latents: Tensor) -> dict[str, Tensor]:
    """Scalars by name, "total" among them. shown, clip: (B, F, 3, H, W). latents: (B, n, 16, h, w)."""
    apart = shown - clip
    edges = torch.stack([apart.diff(dim=axis).abs().mean() for axis in (1, 3, 4)]).mean()
    images = apart.flatten(0, 1)
    pooled = [functional.avg_pool2d(images, side) for side in COARSE]
    coarse = torch.stack([means.abs().mean() for means in pooled]).mean()
    hue = torch.stack([means.diff(dim=1).abs().mean() for means in pooled]).mean()
    over = (0, 1, 3, 4)
    moments = latents.mean(over).square().mean() + (latents.std(over) - 1).square().mean()
    l1 = apart.abs().mean()
    total = l1 + EDGES * edges + SMOOTH * coarse + HUE * hue + MOMENTS * moments
    return {"total": total, "l1": l1, "edges": edges, "coarse": coarse, "hue": hue, "moments": moments}
