"""The rows of networks: what each makes of the same clips, as frames.

    codec      truth -> latents -> frames: what no transformer over these latents can beat
    teacher    bidirectional, 33 frames at a time as in its training, each time for itself; 24 steps, no guidance
    student    a block at a time, all blocks of a clip in one rollout, four steps; causal, v2v and jdmd
    visual     a clip out of nothing but the style "camera"

All rows are decoded by the decoder that learnt longest. A rollout codes and denoises in the timing of a session of
`StarModel`, and all worlds are one batch.
"""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.tiny_films import Shown
from inspatio_gym.star.dit import DitConfig
from inspatio_gym.star.taehv import Taehv, TaehvCodec
from inspatio_gym.training.world.causal import rolled_out
from inspatio_gym.training.world.conditions import Conditions, joint
from inspatio_gym.training.world.flow import draw_noise
from inspatio_gym.training.world.latents import code, code_mask
from inspatio_gym.training.world.networks import FILMED, Prompted
from inspatio_gym.training.world.seeds import generator
from inspatio_gym.training.world.stage import autocast
from inspatio_gym.training.world.teachers import sample

STUDENTS = ("causal", "v2v", "jdmd")
WINDOW = 33  # frames of a clip of the training


class Networks:
    """What the stages of a run left, on a device; noise follows from the clips' number and length alone."""

    def __init__(self, run: Path, sizes: DitConfig, device: str):
        self.device = device
        kind = torch.bfloat16 if device.startswith("cuda") else torch.float32
        codec = next(file for name in ("decoder", "codec") if (file := run / f"{name}.safetensors").is_file())
        self._codec = TaehvCodec(Taehv.load(codec, device, kind))
        self._network = cache(lambda name: Prompted.load(run / f"{name}.safetensors", sizes).to(device))

    def known(self, clips: Shown) -> Conditions:
        """What the control task knows of clips."""
        reference, render = (code(video, self._codec).float() for video in (clips.source, clips.render))
        return Conditions(reference, torch.cat((code_mask(clips.mask), render), 2), clips.style)

    def round_trip(self, truth: Tensor) -> Tensor:
        """Frames uint8 (B, F, 3, H, W) of the true ones."""
        return self._decoded(code(truth, self._codec))

    def student(self, name: str, known: Conditions) -> Tensor:
        """Frames (B, F, 3, H, W), F = 1 + 4 (n - 1) for n latents."""
        return self._decoded(rolled_out(self._network(name), known, generator(self.device, 0)))

    def teacher(self, clips: Shown) -> Tensor:
        """Frames of the control teacher, as many as the clips have."""
        frames = clips.source.shape[1]
        window = min(WINDOW, frames)
        # The last window reaches back over the one before it, of which it replaces the end.
        firsts = [*range(0, frames - window, window), frames - window]
        made = torch.empty_like(clips.source)
        for first in firsts:
            part = slice(first, first + window)
            known = self.known(Shown(*(video[:, part] for video in clips[:3]), clips.style))
            made[:, part] = self._sampled("control", known)
        return made

    def visual(self, name: str, count: int, latents: int, height: int, width: int) -> Tensor:
        """Clips of the visual task in the style "camera": of a student, or of the teacher "visual"."""
        style = torch.full((count,), FILMED, device=self.device)
        known = Conditions.visual(style, latents, height, width)
        return self._sampled(name, known) if name == "visual" else self.student(name, known)

    @torch.no_grad()
    def _sampled(self, name: str, known: Conditions) -> Tensor:
        """Frames of a teacher."""
        network = self._network(name)
        with autocast(self.device):
            predict = joint(network.dit, network.table(known.style), known)
            latents = sample(predict, draw_noise(known.shape, generator(self.device, 1)))
        return self._decoded(latents)

    @torch.no_grad()
    def _decoded(self, latents: Tensor) -> Tensor:
        """Latents (B, n, 16, h, w) as frames uint8 (B, F, 3, 8h, 8w)."""
        video, _ = self._codec.decode(latents, None)
        return ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
