"""`inspatio-gym train-depth`: from rendered worlds to the weights of the depth network.

    <run>/config.json            what was asked for
    <run>/depth.safetensors      averaged weights at 16 bits: what `InverseDepth.load` reads, and the package ships
    <run>/state.safetensors      everything a resumed training goes on from
    <run>/tensorboard            losses, the score on held-out worlds, pictures

AdamW in one cosine from `learning_rate` to 0 over the time or the steps that are given, whichever ends first; weights are
averaged exponentially. On a GPU convolutions run in bfloat16, losses in float32. A step whose gradient is not finite is
left out; `MAX_BAD` of them in a row end the training.
"""

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    import torch
    from torch.utils.tensorboard import SummaryWriter

from inspatio_gym.checkpoints.weights import load_strictly
from inspatio_gym.scenes.estimate.depth_net import DepthNet, InverseDepth, read_depth_weights
from inspatio_gym.scenes.synthetic import WORLDS, View, make_world
from inspatio_gym.scenes.synthetic.export import STYLES
from inspatio_gym.training.augment import Clips
from inspatio_gym.training.depth_data import Source, batches
from inspatio_gym.training.depth_loss import Losses, losses
from inspatio_gym.training.depth_score import Score, mean, score
from inspatio_gym.training.depth_state import State

MAX_BAD = 20
WARM_UP = 300  # steps
NORM = 1.0  # of a gradient, at most
HELD_OUT = (900, 901, 902)  # seeds of worlds that no stream shows
LOOKS = 2  # moments at which each is looked at


@dataclass(frozen=True)
class TrainDepthConfig:
    """Train the small depth network on synthetic worlds.

    $ inspatio-gym train-depth --run runs/depth --device cuda --source.renderer cuda --source.workers 8
    $ inspatio-gym train-depth --run runs/plain --source.styles plain --source.names room street

    Run it again with the same folder to go on where it stopped. `python -m benchmarks.depth` makes the table of what came
    out.
    """

    run: Path = Path("runs/depth")
    """Folder of the training; one that is there already is resumed."""
    minutes: float = 18.0
    """Of training at most, all sessions together; the learning rate falls to 0 towards their end."""
    steps: int = 30_000
    """At most; whichever ends first."""
    device: str = "cpu"
    """Where the network learns: "cpu" or "cuda"."""
    learning_rate: float = 1e-3
    """The highest, reached after a short warm-up."""
    weight_decay: float = 0.01
    """Of AdamW."""
    weights: Path | None = None
    """Begin with these weights, a depth.safetensors, rather than random ones."""
    save_seconds: float = 60.0
    """Between checkpoints, each with a score on held-out worlds."""
    source: Source = field(default_factory=Source)
    """What is shown."""


def train_depth(config: TrainDepthConfig) -> None:
    """Train until time or steps are spent. Raises FloatingPointError where the training diverges, ValueError for a folder
    that was begun on another source."""
    _claim(config)
    state = _state(config)
    writer = SummaryWriter(str(config.run / "tensorboard"), purge_step=state.step + 1)
    held_out = views(config.source)
    before, began, saved, bad = state.seconds, time.monotonic(), time.monotonic(), 0
    shown = batches(config.source, config.device, state.step)
    with tqdm(total=config.steps, initial=state.step, desc="depth", unit=" steps", mininterval=5, disable=None) as bar:
        while (done := _done(config, state)) < 1:
            warm = min(1.0, (state.step + 1) / WARM_UP)
            state.optimizer.param_groups[0]["lr"] = config.learning_rate * warm * (1 + math.cos(math.pi * done)) / 2
            clips = next(shown)
            lost, predicted = _step(state, clips)
            bad = 0 if math.isfinite(lost["total"]) else bad + 1
            if bad > MAX_BAD:
                raise FloatingPointError(
                    f"expected finite losses, got none in {bad} steps: go on from {config.run} with a lower --learning-rate"
                )
            state.seconds = before + time.monotonic() - began
            bar.update()
            if state.step % 20 == 0:
                for name, value in lost.items():
                    writer.add_scalar(f"loss/{name}", value, state.step)
                bar.set_postfix(loss=f"{lost['total']:.3f}", minutes=f"{state.seconds / 60:.1f}", refresh=False)
            if time.monotonic() - saved > config.save_seconds or _done(config, state) >= 1:
                state.save(config.run)
                found = validate(state.averaged, held_out)
                tqdm.write(f"step {state.step:,}, {state.seconds:.0f} s, held-out worlds: {found}")
                for name, value in found._asdict().items():
                    writer.add_scalar(f"held_out/{name}", value, state.step)
                writer.add_image("shown, predicted, true", _panel(clips, predicted), state.step, dataformats="HWC")
                saved = time.monotonic()
    shown.close()
    writer.close()


def _step(state: State, clips: Clips) -> tuple[dict[str, float], torch.Tensor]:
    """One step of the optimizer, if the loss allows; the losses by name, and the prediction."""
    pictures = clips.rgb.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    device = pictures.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
        predicted = state.network(pictures).view_as(clips.depth)
    lost: Losses = losses(predicted, clips.depth, clips.c2w, clips.intrinsics)
    state.optimizer.zero_grad()
    lost.total.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), NORM)
    named = {"total": lost.total, **lost._asdict(), "gradient_norm": norm}
    values = dict(zip(named, torch.stack([value.detach() for value in named.values()]).tolist(), strict=True))
    if math.isfinite(values["gradient_norm"]):
        state.optimizer.step()
        state.average()
    else:
        state.forget_statistics()
    state.step += 1
    return values, predicted.detach()


def views(source: Source) -> list[View]:
    """Views of worlds that the stream of `source` never shows, of its names and styles."""
    found = []
    for name in source.names or tuple(WORLDS):
        for style in source.styles or STYLES:
            for seed in HELD_OUT:
                world = make_world(name, seed, style)
                for moment in np.linspace(0, world.duration, LOOKS):
                    found.append(world.render(world.path(float(moment)), float(moment), (192, 320), samples=1))
    return found


def validate(network: torch.nn.Module, held_out: list[View]) -> Score:
    """The mean score of a network on views, without touching it."""
    copy = DepthNet()
    copy.load_state_dict(network.state_dict())
    look = InverseDepth(copy)
    return mean([score(look(view.rgb, view.depth.shape), view.depth) for view in held_out])


def _state(config: TrainDepthConfig) -> State:
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(config.source.seed)
    network, averaged = DepthNet(), DepthNet()
    if config.weights is not None:
        load_strictly(network, read_depth_weights(config.weights), config.weights)
    averaged.load_state_dict(network.state_dict())
    for one in (network, averaged):
        one.to(config.device)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    state = State(network, averaged, optimizer)
    state.load(config.run)
    return state


def _done(config: TrainDepthConfig, state: State) -> float:
    """How much of the training is over, 0 to 1."""
    return max(state.step / config.steps, state.seconds / (60 * config.minutes))


def _claim(config: TrainDepthConfig) -> None:
    """Write down what was asked for; a folder begun on another source is refused."""
    file = config.run / "config.json"
    asked = json.loads(json.dumps(asdict(config), default=str))
    if file.is_file():
        begun = json.loads(file.read_text(encoding="utf-8"))
        for name in ("names", "styles", "seed"):
            if begun["source"][name] != asked["source"][name]:
                raise ValueError(
                    f"expected source.{name} {begun['source'][name]} as {config.run} was begun with, got "
                    f"{asked['source'][name]}: take another --run"
                )
    with written_whole(file) as partial:
        partial.write_text(json.dumps(asked, indent=1), encoding="utf-8")


def _panel(clips: Clips, predicted: torch.Tensor) -> np.ndarray:
    """Six pictures above what was seen in them, above the truth, uint8 (3 H, 6 W, 3)."""

    def levels(inverse: torch.Tensor) -> torch.Tensor:
        low, high = (inverse.flatten(1).quantile(q, 1)[:, None, None] for q in (0.02, 0.98))
        return ((inverse - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)[:, None].expand(-1, 3, -1, -1)

    rows = [clips.rgb[:6, 0], levels(predicted[:6, 0]), levels(1 / clips.depth[:6, 0])]
    panel = torch.cat([torch.cat([*row], 2) for row in rows], 1)
    return (255 * panel).byte().movedim(0, 2).cpu().numpy()
