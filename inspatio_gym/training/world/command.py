"""`inspatio-gym train-world`: from nothing to a tiny STAR model, stage by stage.

    codec      frames to latents and back             control    teacher of geometry: pairs
    visual     teacher of looks: films                causal     the student, begun from the control teacher
    jdmd       the student distilled from both teachers: what is played
    v2v        the student distilled from the control teacher alone: what jdmd is compared with

    <run>/config.json            what was asked for
    <run>/STAGE.safetensors      what a stage left, averaged, at 16 bits
    <run>/state, tensorboard     see `stage`
    <run>/inspatio-tiny          the model of jdmd, as `load_tiny` reads it; of causal and v2v: inspatio-tiny-STAGE

A stage needs what those before it left: codec -> control -> visual, causal -> jdmd, v2v. The codec stays as it is once the
control teacher has been trained on its latents.
"""

import json
import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    import torch
    from torch import nn

from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.taehv import Taehv, TaehvCodec, TaehvConfig
from inspatio_gym.star.tiny import TINY, TINY_CODEC, new_codec
from inspatio_gym.training.world.card import export
from inspatio_gym.training.world.causal import CausalStage
from inspatio_gym.training.world.clips import ClipPlan
from inspatio_gym.training.world.codec import CodecStage
from inspatio_gym.training.world.distillation import DistillationStage
from inspatio_gym.training.world.jdmd import JdmdConfig
from inspatio_gym.training.world.latents import Coded, Footage, LatentPool, coded, footage
from inspatio_gym.training.world.looks import HeldOut, held_out
from inspatio_gym.training.world.networks import Prompted
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.ranks import begin, end, rank
from inspatio_gym.training.world.stage import Effort, Rated, Stage, train
from inspatio_gym.training.world.teachers import ControlStage, VisualStage

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
StageName = Literal["codec", "control", "visual", "causal", "v2v", "jdmd"]
NEEDS: dict[StageName, tuple[StageName, ...]] = {
    "codec": (),
    "control": ("codec",),
    "visual": ("codec", "control"),
    "causal": ("codec", "control"),
    "v2v": ("codec", "control", "causal"),
    "jdmd": ("codec", "control", "visual", "causal"),
}
STUDENTS = ("causal", "v2v", "jdmd")
GRAPHS = 32  # of a compiled layer, at most: with and without gradient, past, autocast's cache; jdmd has 13
HELD = ("transformer", "autoencoder", "clips")  # what a folder is held to


@dataclass(frozen=True, slots=True)
class Supply:
    """How clips come."""

    batch: int = 16
    """Clips that are rendered and coded at a time."""
    first: int = 512
    """Clips there have to be before anything is learnt."""
    keep: int = 4096
    """Clips kept to draw from, the newest, as latents: 0.5 MB each. A resumed training makes them anew."""
    codec_keep: int = 2048
    """The same in the codec's stage, as frames: 12 MB each, 25 GB in all."""
    fresh: int = 20
    """Steps after which another batch of clips comes."""
    workers: int = 0
    """Processes that make worlds ahead; 0 makes them in this one."""


@dataclass(frozen=True)
class TrainWorldConfig:
    """Train a tiny STAR model from nothing, on worlds that are rendered meanwhile.

    $ inspatio-gym train-world --run runs/tiny --device cuda --supply.workers 14
    $ inspatio-gym train-world --run runs/tiny --stages jdmd --jdmd.minutes 20 --device cuda

    Run it again with the same folder to go on where it stopped, with more minutes to train on. The model is then in
    RUN/inspatio-tiny: put that folder among the checkpoints, and `--model tiny` takes it.
    """

    run: Path = Path("runs/tiny")
    """Folder of the training; one that is there already is resumed."""
    stages: tuple[StageName, ...] = ("codec", "control", "visual", "causal", "jdmd")
    """Which stages, in the order in which they need each other; one that has its time behind it takes none."""
    device: str = "cpu"
    """Where networks learn and pictures are drawn: "cpu" or "cuda"."""
    codec: Rated = field(default_factory=lambda: Rated(5.0, 100_000, 8, 1e-3))
    """How long and how fast the codec is trained."""
    control: Rated = field(default_factory=lambda: Rated(7.0, 100_000, 32, 5e-4))
    """The same of the control teacher."""
    visual: Rated = field(default_factory=lambda: Rated(5.0, 100_000, 32, 5e-4))
    """Of the visual teacher."""
    causal: Rated = field(default_factory=lambda: Rated(5.0, 100_000, 32, 2e-4))
    """Of the student before distillation."""
    v2v: Effort = field(default_factory=lambda: Effort(8.0, 100_000, 16))
    """Of distillation from the control teacher alone."""
    jdmd: Effort = field(default_factory=lambda: Effort(8.0, 100_000, 16))
    """Of distillation from both teachers."""
    distillation: JdmdConfig = field(default_factory=JdmdConfig)
    """Numbers of both distillations."""
    transformer: DitConfig = TINY
    """Sizes of the transformer."""
    autoencoder: TaehvConfig = TINY_CODEC
    """Sizes of the codec."""
    clips: ClipPlan = field(default_factory=ClipPlan)
    """What is shown."""
    supply: Supply = field(default_factory=Supply)
    """How it comes."""
    compile: bool = True
    """Let torch.compile fuse the layers of transformers on a GPU: half a minute or so for each stage."""
    save_seconds: float = 60.0
    """Between checkpoints, each with figures on held-out worlds."""


def train_world(config: TrainWorldConfig) -> None:
    """Train every stage that is asked for until its time or steps are spent; then put the model together.

    Raises FloatingPointError where a training diverges; ValueError for a folder that was begun with other sizes or
    clips; FileNotFoundError where a stage needs what is not there.
    """
    device = begin(config.device)
    try:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch._dynamo.config.recompile_limit = GRAPHS
        if rank() == 0:
            _claim(config)
        _Training(config, device).all()
    finally:
        end()


class _Training:
    """The stages of one run, and what they share."""

    def __init__(self, config: TrainWorldConfig, device: str):
        self.config, self.device = config, device
        self.plan = replace(config.clips, seed=config.clips.seed + 10_000 * rank())
        self.shown = held_out(config.clips, device)
        self.pool = LatentPool(self._coded, *self._batches(config.supply.keep))

    def all(self) -> None:
        with closing(self.pool):
            for name in NEEDS:
                if name in self.config.stages:
                    self._check(name)
                    if name == "codec":
                        self._train_codec()
                    else:
                        self._train(self._latent_stage(name))
                    if name in STUDENTS and rank() == 0:
                        network = Prompted.load(self._file(name), self.config.transformer)
                        export(
                            self.config.run,
                            name,
                            NEEDS[name],
                            network,
                            Taehv.load(self._file("codec")),
                            asdict(self.config),
                        )

    def _check(self, name: StageName) -> None:
        for needed in NEEDS[name]:
            if not self._file(needed).is_file():
                raise FileNotFoundError(
                    f"expected {self._file(needed)}, which {name} builds on, got none: add {needed} to --stages"
                )

    def _train(self, stage: Stage) -> None:
        config = self.config
        effort = getattr(config, stage.name)
        for network in stage.networks.values():
            self._fused(network)
        train(stage, config.run, effort, config.save_seconds, config.supply.fresh, self.device)

    def _train_codec(self) -> None:
        config = self.config
        if self._file("control").is_file():
            logger.info("the codec stays as it is: %s was trained on its latents", self._file("control"))
            return
        torch.manual_seed(config.clips.seed)
        left = self._file("codec")
        network = Taehv.load(left).requires_grad_(True) if left.is_file() else new_codec(config.autoencoder)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with closing(Pool(self._footage, *self._batches(config.supply.codec_keep))) as pool:
            self._train(CodecStage(network, pool, self.shown, config.codec, config.clips.seed))

    def _latent_stage(self, name: StageName) -> Stage:
        config = self.config
        effort, seed = getattr(config, name), config.clips.seed
        if name == "control":
            return ControlStage(self._prompted(name), self.pool, self.held_out, effort, seed)
        network = self._prompted(name, "causal" if name in ("v2v", "jdmd") else "control")
        network.table.requires_grad_(False)
        if name == "visual":
            if not self._file(name).is_file():
                network = Prompted(self._prompted().dit, network.table)
            return VisualStage(network, self.pool, self.held_out, effort, seed)
        if name == "causal":
            return CausalStage(network, self.pool, self.held_out, effort, seed)
        tasks = ("control",) if name == "v2v" else ("control", "visual")
        teachers = {task: self._fused(self._prompted(task)) for task in tasks}
        return DistillationStage(name, network, teachers, self.pool, self.held_out, effort, config.distillation)

    def _prompted(self, *names: str) -> Prompted:
        """What the first of these stages left that is there; else random weights."""
        files = [self._file(name) for name in names if self._file(name).is_file()]
        torch.manual_seed(self.config.clips.seed)
        sizes = self.config.transformer
        network = Prompted.load(files[0], sizes) if files else Prompted.new(sizes)
        return network.to(self.device)

    def _fused(self, network: Network) -> Network:
        """A network whose transformers are compiled where that was asked for."""
        if self.config.compile and self.device.startswith("cuda"):
            for part in network.modules():
                if isinstance(part, Dit):
                    part.fuse()
        return network

    @cached_property
    def coder(self) -> TaehvCodec:
        """The codec that was trained, as worlds use it on this device."""
        kind = torch.bfloat16 if self.device.startswith("cuda") else torch.float32
        return TaehvCodec(Taehv.load(self._file("codec"), self.device, kind))

    @cached_property
    def held_out(self) -> HeldOut:
        return HeldOut(self.shown, self.coder)

    def _coded(self, batch: int) -> Generator[Coded, None, None]:
        with closing(self._footage(batch)) as clips:
            for one in clips:
                yield coded(one, self.coder)

    def _footage(self, batch: int) -> Generator[Footage, None, None]:
        supply = self.config.supply
        return footage(self.plan, supply.batch, self.device, supply.workers, batch)

    def _batches(self, keep: int) -> tuple[int, int]:
        """Batches that a pool begins with, and that it keeps."""
        supply = self.config.supply
        first = max(1, min(supply.first, keep) // supply.batch)
        return first, max(first, keep // supply.batch)

    def _file(self, name: str) -> Path:
        return self.config.run / f"{name}.safetensors"


def _claim(config: TrainWorldConfig) -> None:
    """Write down what was asked for; a folder begun with other sizes or clips is refused."""
    file = config.run / "config.json"
    asked = json.loads(json.dumps(asdict(config), default=str))
    if file.is_file():
        begun = json.loads(file.read_text(encoding="utf-8"))
        for part in HELD:
            if begun[part] != asked[part]:
                name = next(name for name in asked[part] if begun[part].get(name) != asked[part][name])
                raise ValueError(
                    f"expected {part}.{name} {begun[part].get(name)} as {config.run} was begun with, got {asked[part][name]}: "
                    "take another --run"
                )
    with written_whole(file) as partial:
        partial.write_text(json.dumps(asked, indent=1), encoding="utf-8")
