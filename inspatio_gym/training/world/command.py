"""`inspatio-gym train-world`: from nothing to a tiny STAR model, stage by stage.

    codec      frames to latents and back             control    teacher of geometry: pairs
    decoder    latents to frames, learnt longer       visual     teacher of looks: films
    causal     the student, begun from the control teacher
    jdmd       the student distilled from both teachers: what is played
    v2v        the student distilled from the control teacher alone: what jdmd is compared with

    <run>/config.json            what was asked for
    <run>/STAGE.safetensors      what a stage left, averaged, at 16 bits
    <run>/held_out.safetensors   clips that figures are of
    <run>/clips-CODEC            clips as that codec's latents (`kept`); not needed once the training is over
    <run>/state, tensorboard     see `stage`
    <run>/inspatio-tiny          the model of jdmd, as `load_tiny` reads it; of causal and v2v: inspatio-tiny-STAGE

A stage needs what those before it left (`NEEDS`). The codec stays as it is once the control teacher has been trained on its
latents; its decoder may learn on, because latents remain what they are.
"""

import hashlib
import json
import logging
import os
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    import torch
    from safetensors.torch import load_file, save_file
    from torch import nn

from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.taehv import Taehv, TaehvCodec, TaehvConfig
from inspatio_gym.star.tiny import TINY, TINY_CODEC, new_codec
from inspatio_gym.training.world import looks
from inspatio_gym.training.world.card import export
from inspatio_gym.training.world.causal import CausalStage
from inspatio_gym.training.world.clips import ClipPlan, Pairs
from inspatio_gym.training.world.codec import CodecStage
from inspatio_gym.training.world.distillation import DistillationStage
from inspatio_gym.training.world.jdmd import JdmdConfig
from inspatio_gym.training.world.kept import held, kept, leave, make_ahead
from inspatio_gym.training.world.latents import Coded, Footage, LatentPool, coded, footage
from inspatio_gym.training.world.looks import HeldOut
from inspatio_gym.training.world.networks import Prompted
from inspatio_gym.training.world.pool import Pool
from inspatio_gym.training.world.ranks import begin, end, rank
from inspatio_gym.training.world.side_by_side import side_by_side
from inspatio_gym.training.world.stage import Effort, Rated, Stage, train
from inspatio_gym.training.world.teachers import ControlStage, VisualStage

logger = logging.getLogger(__name__)

StageName = Literal["codec", "control", "causal", "visual", "decoder", "v2v", "jdmd"]
NEEDS: dict[StageName, tuple[StageName, ...]] = {
    "codec": (),
    "control": ("codec",),
    "causal": ("codec", "control"),
    "visual": ("codec", "control"),
    "decoder": ("codec", "control"),
    "v2v": ("codec", "control", "decoder", "causal"),
    "jdmd": ("codec", "control", "decoder", "visual", "causal"),
}
STUDENTS = ("causal", "v2v", "jdmd")
GRAPHS = 32  # of a compiled layer, at most: with and without gradient and past; torch gives up after 8
HELD = ("transformer", "autoencoder", "clips")  # what a folder is held to


@dataclass(frozen=True, slots=True)
class Supply:
    """How clips come."""

    batch: int = 16
    """Clips that are rendered and coded at a time."""
    first: int = 128
    """Clips there have to be before anything is learnt."""
    keep: int = 16_384
    """Clips kept to draw from, the newest, as latents: 0.5 MB each."""
    fresh: int = 20
    """Steps after which another batch of clips comes."""
    codec_keep: int = 2048
    """Clips kept while the codec or its decoder learns, as frames: 12 MB each, 25 GB in all. A resumed training makes
    them anew."""
    codec_fresh: int = 150
    """Steps after which another batch of these comes."""
    workers: int = 0
    """Processes that make worlds ahead; 0 makes them in this one."""


@dataclass(frozen=True)
class TrainWorldConfig:
    """Train a tiny STAR model from nothing, on worlds that are rendered meanwhile.

    $ inspatio-gym train-world --run runs/tiny --device cuda --supply.workers 14
    $ inspatio-gym train-world --run runs/tiny --device cuda --supply.workers 14 --gpus 0 1
    $ inspatio-gym train-world --run runs/tiny --stages jdmd --jdmd.minutes 20 --device cuda

    Run it again with the same folder to go on where it stopped, with more minutes to train on. The model is then in
    RUN/inspatio-tiny: put that folder into the one that INSPATIO_GYM_CHECKPOINTS names, and `--model tiny` takes it.
    """

    run: Path = Path("runs/tiny")
    """Folder of the training; one that is there already is resumed."""
    stages: tuple[StageName, ...] = ("codec", "control", "causal", "visual", "decoder", "jdmd")
    """Which stages, in the order in which they need each other; one that has its time behind it takes none."""
    device: str = "cpu"
    """Where networks learn and pictures are drawn: "cpu" or "cuda"."""
    gpus: tuple[int, ...] = ()
    """Numbers of GPUs for stages that do not wait for each other, with --device cuda; none trains them one after another."""
    codec: Rated = field(default_factory=lambda: Rated(7.5, 100_000, 4, 6e-4))
    """How long and how fast the codec is trained."""
    control: Rated = field(default_factory=lambda: Rated(2.5, 100_000, 32, 5e-4))
    """The same of the control teacher."""
    causal: Rated = field(default_factory=lambda: Rated(5.0, 100_000, 32, 4e-4))
    """Of the student before distillation."""
    visual: Rated = field(default_factory=lambda: Rated(3.0, 100_000, 32, 5e-4))
    """Of the visual teacher."""
    decoder: Rated = field(default_factory=lambda: Rated(1.0, 100_000, 4, 4e-4))
    """Of the codec's decoder by itself."""
    v2v: Effort = field(default_factory=lambda: Effort(2.75, 100_000, 48))
    """Of distillation from the control teacher alone."""
    jdmd: Effort = field(default_factory=lambda: Effort(5.0, 100_000, 48))
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
    compile: tuple[Literal["control", "causal", "visual"], ...] = ("control", "causal", "visual")
    """Stages in which torch.compile fuses the layers of transformers on a GPU. Every kind of call is compiled by itself: a
    teacher has one, the student before distillation four; distillation, which may not be compiled, would have thirteen."""
    save_seconds: float = 60.0
    """Between checkpoints, each with figures on held-out worlds."""


def train_world(config: TrainWorldConfig) -> None:
    """Train every stage that is asked for until its time or steps are spent; then put the model together.

    Raises FloatingPointError where a training diverges; ValueError for a folder that was begun with other sizes or
    clips, and for --gpus without CUDA; FileNotFoundError where a stage needs what is not there; RuntimeError where one of
    several processes failed.
    """
    if not config.gpus:
        _here(config, config.stages)
        return
    if config.device != "cuda" or "WORLD_SIZE" in os.environ:
        raise ValueError(
            f"expected --device cuda beside --gpus, and no torchrun, got --device {config.device}"
            f"{' under torchrun' if 'WORLD_SIZE' in os.environ else ''}: a stage takes a GPU, or a process a share of every stage"
        )
    _claim(config)
    ordered = [name for name in NEEDS if name in config.stages]
    side_by_side(ordered, NEEDS, config.gpus, partial(_one_stage, config), partial(_make_clips, config), ("codec",))


def _one_stage(config: TrainWorldConfig, name: StageName) -> None:
    """In a process of its own."""
    _here(config, (name,))


def _make_clips(config: TrainWorldConfig) -> None:
    """In a process of its own: make clips for the stages that learn in others, as many as a pool keeps."""
    training = _Training(config, begin(config.device))
    make_ahead(training.clips, training.coded, config.supply.keep // config.supply.batch, training.device)


def _here(config: TrainWorldConfig, stages: tuple[StageName, ...]) -> None:
    device = begin(config.device)
    try:
        prepare_torch()
        if rank() == 0:
            _claim(config)
        _Training(config, device).all(stages)
    finally:
        end()


class _Training:
    """The stages of one run, and what they share."""

    def __init__(self, config: TrainWorldConfig, device: str):
        self.config, self.device = config, device
        self.plan = replace(config.clips, seed=config.clips.seed + 10_000 * rank())

    def all(self, stages: tuple[StageName, ...]) -> None:
        try:
            for name in NEEDS:
                if name in stages:
                    self._check(name)
                    if name in ("codec", "decoder"):
                        self._train_codec(name)
                    else:
                        self._train(self._latent_stage(name), self.config.supply.fresh)
                    if name in STUDENTS and rank() == 0:
                        network = Prompted.load(self._file(name), self.config.transformer)
                        codec = Taehv.load(self._codec(name))
                        export(self.config.run, name, NEEDS[name], network, codec, asdict(self.config))
        finally:
            if "pool" in vars(self):
                self.pool.close()

    def _check(self, name: StageName) -> None:
        for needed in NEEDS[name]:
            if not self._file(needed).is_file():
                raise FileNotFoundError(
                    f"expected {self._file(needed)}, which {name} builds on, got none: add {needed} to --stages"
                )

    def _train(self, stage: Stage, fresh: int) -> None:
        config = self.config
        effort = getattr(config, stage.name)
        if stage.name in config.compile and self.device.startswith("cuda"):
            fuse(stage.networks.values())
        train(stage, config.run, effort, config.save_seconds, fresh, self.device)

    def _train_codec(self, name: Literal["codec", "decoder"]) -> None:
        config = self.config
        for other in ("control", "decoder") if name == "codec" else ():
            if self._file(other).is_file():
                logger.info("the codec stays as it is: %s was trained on its latents", self._file(other))
                return
        torch.manual_seed(config.clips.seed)
        left = self._file("decoder")
        if name == "codec" or not left.is_file():
            left = self._file("codec")
        network = Taehv.load(left).requires_grad_(True) if left.is_file() else new_codec(config.autoencoder)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        pool = Pool(self._footage, *self._batches(config.supply.codec_keep))
        with closing(pool):
            stage = CodecStage(name, network, pool, self.shown, getattr(config, name), config.clips.seed)
            self._train(stage, config.supply.codec_fresh)
            if name == "codec":
                coder = self.coder(self._file("codec"))
                for number, clips in pool.batches():
                    leave(self.clips, number, coded(clips, coder))

    def _latent_stage(self, name: StageName) -> Stage:
        config = self.config
        effort, seed = getattr(config, name), config.clips.seed
        held_out = HeldOut(self.shown, self.coder(self._codec(name)))
        if name == "control":
            network = self._prompted(name)
            # Whoever was trained on the table stands on it as it is.
            network.table.requires_grad_(not any(self._file(other).is_file() for other in ("causal", "visual")))
            return ControlStage(network, self.pool, held_out, effort, seed)
        network = self._prompted(name, "causal" if name in ("v2v", "jdmd") else "control")
        network.table.requires_grad_(False)
        if name == "visual":
            if not self._file(name).is_file():
                network = Prompted(self._prompted().dit, network.table)
            return VisualStage(network, self.pool, held_out, effort, seed)
        if name == "causal":
            return CausalStage(network, self.pool, held_out, effort, seed)
        tasks = ("control",) if name == "v2v" else ("control", "visual")
        teachers = {task: self._prompted(task) for task in tasks}
        return DistillationStage(name, network, teachers, self.pool, held_out, effort, config.distillation)

    def _prompted(self, *names: str) -> Prompted:
        """What the first of these stages left that is there; else random weights."""
        files = [self._file(name) for name in names if self._file(name).is_file()]
        torch.manual_seed(self.config.clips.seed)
        sizes = self.config.transformer
        network = Prompted.load(files[0], sizes) if files else Prompted.new(sizes)
        return network.to(self.device)

    @cached_property
    def shown(self) -> Pairs:
        """Those held out, which are rendered once for all stages and processes."""
        file = self.config.run / "held_out.safetensors"
        if not file.is_file():
            clips = looks.held_out(self.config.clips, self.device)
            with written_whole(file) as partial:
                save_file(clips._asdict(), partial)
        return Pairs(**load_file(file, self.device))

    def coder(self, file: Path) -> TaehvCodec:
        """A codec that was trained, as worlds use it on this device."""
        kind = torch.bfloat16 if self.device.startswith("cuda") else torch.float32
        return TaehvCodec(Taehv.load(file, self.device, kind))

    @cached_property
    def clips(self) -> Path:
        """Folder of this process's clips as latents of the codec."""
        digest = hashlib.sha256(self._file("codec").read_bytes()).hexdigest()
        return self.config.run / f"clips-{digest[:8]}" / str(self.plan.seed)

    @cached_property
    def pool(self) -> LatentPool:
        """Begins with half of what is there, if that is more than is asked for: the other half comes in as fresh, and
        nothing has to be rendered for a while."""
        first, keep = self._batches(self.config.supply.keep)
        first = max(first, min(keep, held(self.clips) // 2))
        return LatentPool(lambda number: kept(self.clips, self.coded, number, self.device), first, keep)

    def coded(self, batch: int) -> Generator[Coded, None, None]:
        coder = self.coder(self._file("codec"))
        with closing(self._footage(batch)) as clips:
            for one in clips:
                yield coded(one, coder)

    def _footage(self, batch: int) -> Generator[Footage, None, None]:
        supply = self.config.supply
        return footage(self.plan, supply.batch, self.device, supply.workers, batch)

    def _batches(self, keep: int) -> tuple[int, int]:
        """Batches that a pool begins with, and that it keeps."""
        supply = self.config.supply
        first = max(1, min(supply.first, keep) // supply.batch)
        return first, max(first, keep // supply.batch)

    def _codec(self, name: StageName) -> Path:
        """Of the codec that a stage's frames are decoded by. Its encoder is always the same."""
        return self._file("decoder" if "decoder" in NEEDS[name] else "codec")

    def _file(self, name: str) -> Path:
        return self.config.run / f"{name}.safetensors"


def prepare_torch() -> None:
    """Let torch choose its fastest kernels."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch._dynamo.config.recompile_limit = GRAPHS


def fuse(networks: Iterable[nn.Module]) -> None:
    """Let torch.compile fuse the layers of all transformers in these networks."""
    for network in networks:
        for part in network.modules():
            if isinstance(part, Dit):
                part.fuse()


def _claim(config: TrainWorldConfig) -> None:
    """Write down what was asked for; a folder begun with other sizes or clips is refused."""
    file = config.run / "config.json"
    asked = json.loads(json.dumps(asdict(config), default=str))
    if file.is_file():
        begun = json.loads(file.read_text(encoding="utf-8"))
        begun["clips"].setdefault("background", False)  # there was none yet
        for part in HELD:
            if begun[part] != asked[part]:
                name = next(name for name in asked[part] if begun[part].get(name) != asked[part][name])
                raise ValueError(
                    f"expected {part}.{name} {begun[part].get(name)} as {config.run} was begun with, got {asked[part][name]}: "
                    "take another --run"
                )
    with written_whole(file) as partial:
        partial.write_text(json.dumps(asked, indent=1), encoding="utf-8")
