"""The folder of a model that was trained here: weights as `load_tiny` reads them, a card that says where they come from, and
what the training looked like."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from inspatio_gym.doctor import machine
from inspatio_gym.files import written_whole
from inspatio_gym.star.taehv import Taehv
from inspatio_gym.star.tiny import NAME, save_tiny
from inspatio_gym.training.world.curves import save_curves
from inspatio_gym.training.world.networks import Prompted

SHIPPED = "jdmd"
CURVES = "curves.png"


def export(
    run: Path, stage: str, builds_on: Sequence[str], network: Prompted, codec: Taehv, config: dict[str, Any]
) -> Path:
    """Put the model together that `stage` left, and give back its folder. builds_on: the stages before it. config: that of the
    training."""
    folder = run / (NAME if stage == SHIPPED else f"{NAME}-{stage}")
    save_tiny(folder, network.dit, network.table, codec, config["clips"]["background"])
    stages = (*builds_on, stage)
    lines = [*_card(run, stages, network, codec, config)]
    if save_curves(folder / CURVES, run, stages):
        lines += ["", f"![Losses and PSNR on held-out worlds of every stage, over its steps]({CURVES})"]
    with written_whole(folder / "README.md") as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _card(run: Path, stages: Sequence[str], network: Prompted, codec: Taehv, config: dict[str, Any]) -> Iterator[str]:
    clips, sizes = config["clips"], config["transformer"]
    height, width = clips["size"]
    weights = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (network, codec)]
    gpu = torch.cuda.get_device_name() + "; " if config["device"].startswith("cuda") else ""
    yield f"# {NAME}: the STAR model, small, trained from nothing"
    yield ""
    yield f"The student of the stage `{stages[-1]}`. Transformer: {weights[0]:.1f} M weights, {sizes['num_layers']} layers of"
    yield f"width {sizes['dim']}. Codec: {weights[1]:.1f} M weights. Made for {height}x{width} pixels; all at 16 bits."
    yield ""
    yield "    inspatio-gym train-world --help"
    yield ""
    yield "## Data"
    yield ""
    yield "Rendered while it trained; nothing else was ever shown, no video that somebody filmed among it."
    yield ""
    yield f"- Worlds: {', '.join(clips['names'])}; seeds from {clips['worlds'][0]:,} on, so that those below are held out."
    yield f"- Pairs of styles {', '.join(clips['styles'])}, and films of style camera, which stands for real video."
    yield f"- Clips of {clips['frames']} frames; cameras up to {clips['turn_deg']:g} degrees and {clips['move']:g} median depths"
    yield "  away from the recorded one."
    if clips["background"]:
        yield "- Holes of renders are filled with what other frames of the film show there."
    yield ""
    yield "## Recipe"
    yield ""
    yield "| stage | steps | minutes | clips a step | learning rate | on held-out worlds, at its end |"
    yield "|---|---|---|---|---|---|"
    for stage in stages:
        record = _record(run, stage)
        if record is None:
            yield f"| {stage} | not recorded: it was taken along as weights | | | | |"
            continue
        effort = record["effort"]
        rate = effort.get("learning_rate", config["distillation"]["student_rate"])
        found = ", ".join(f"{name} {value:.2f}" for name, value in record["figures"].items())
        yield f"| {stage} | {record['step']:,} | {record['seconds'] / 60:.1f} | {effort['batch']} | {rate:g} | {found} |"
    yield ""
    yield f"Minutes are those of {gpu}{machine()} PSNR in dB against the true target, of all pixels and of those that are"
    yield "holes in the render; deviations are of latents."


def _record(run: Path, stage: str) -> dict[str, Any] | None:
    """Of a stage that left a state: steps, seconds, effort, figures."""
    file = run / "state" / f"{stage}.safetensors"
    if not file.is_file():
        return None
    with safe_open(file, "pt") as opened:
        return {name: json.loads(value) for name, value in (opened.metadata() or {}).items()}
