"""The page that says what came of an evaluation, in Markdown, and the same figures as JSON."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.metrics import METRICS, Metric
from inspatio_gym.evaluation.record import PLOTS, SHEET, Figures, Record, null
from inspatio_gym.files import written_whole

HEADLINES = ("psnr", "ssim", "camera_score", "photometric_px", "motion_error", "revisit_psnr", "persistence")
NOT_COMPUTED = "object control, content alignment, style consistency and subjective quality"
ARROWS = {"higher": "higher", "lower": "lower", "1/2": "near 1/2", "truth": "near the truth's"}


def save(out: Path, records: Sequence[tuple[Path, Record]]) -> None:
    """Write report.md and report.json into `out`. records: each with its folder within `out`."""
    page = "\n\n".join(
        [
            f"# Fidelity of {records[0][1].model}",
            machine(),
            "Every figure beside the same figure of true renders, the best that a clip can do with these rulers (the error "
            "of recovered poses on true renders is the ruler's own), and of a frozen clip, the first true frame held.",
            overview([record for _, record in records]),
            *(section(folder, record) for folder, record in records),
            notes([record for _, record in records]),
        ]
    )
    with written_whole(out / "report.md") as partial:
        partial.write_text(page + "\n", encoding="utf-8")
    content = json.dumps(
        {folder.name: null(dict(figures=record.figures, by_move=record.by_move)) for folder, record in records},
        indent=2,
    )
    with written_whole(out / "report.json") as partial:
        partial.write_text(content + "\n", encoding="utf-8")


def overview(records: Sequence[Record]) -> str:
    """A line for each scene."""
    metrics = [METRICS[name] for name in HEADLINES]
    return table(
        ["scene", *(f"{metric.title}{', ' + metric.unit if metric.unit else ''}" for metric in metrics)],
        [
            [record.scene, *(number(record.measured[name], METRICS[name].digits) for name in HEADLINES)]
            for record in records
        ],
    )


def section(folder: Path, record: Record) -> str:
    """What is known of one scene."""
    parts = [
        f"## {record.scene}",
        f"{record.about} {record.size[1]}x{record.size[0]} pixels, measured in {record.seconds:.0f} s.",
        f"![Contact sheet]({folder.name}/{SHEET})",
        f"![Plots]({folder.name}/{PLOTS})",
        metric_table(record.figures),
    ]
    if record.by_move:
        parts.append(move_table(record.by_move))
    return "\n\n".join(parts)


def metric_table(figures: dict[str, Figures]) -> str:
    """All metrics of all clips of a scene; what nothing is known about is left out."""
    rows = []
    for name, metric in METRICS.items():
        values = [one[name] for one in figures.values()]
        if not all(map(math.isnan, values)):
            rows.append(
                [metric.family, _title(metric), ARROWS[metric.better], *(number(v, metric.digits) for v in values)]
            )
    return table(["", "metric", "better", *figures], rows)


def move_table(by_move: dict[str, Figures]) -> str:
    """Fidelity of new views at each distance."""
    names = ("psnr", "psnr_covered", "psnr_disoccluded", "ssim", "ssim_covered", "ssim_disoccluded")
    head = ["move", "seen by the source", "PSNR all", "seen", "not seen", "SSIM all", "seen", "not seen"]
    rows = [
        [_words(move), f"{row['seen']:.1%}", *(number(row[name], METRICS[name].digits) for name in names)]
        for move, row in by_move.items()
    ]
    return table(head, rows)


def notes(records: Sequence[Record]) -> str:
    """What the figures are not."""
    frozen = [record.figures["frozen"]["photometric_px"] for record in records if "frozen" in record.figures]
    won = f", here with {max(frozen):.3f} px at most of photometric error" if frozen else ""
    return "\n\n".join(
        [
            "## How to read this",
            "Pixels are in two groups by the truth alone: those whose surface the source frame sees at that moment, and the "
            "rest, which somebody has to know or to invent. Steps are shares of the reach, the harmonic mean depth. "
            "An empty cell is a figure that nothing is known about: new views "
            "and permanence need a synthetic world; a frozen clip never left, so its return is not counted.",
            f"A frozen clip wins photometric and 3D consistency and pause{won}: these say that a world is steady, "
            "not that it obeys. Read them beside camera control and motion, where it fails.",
            f"Not computed, as they need downloaded judges: {NOT_COMPUTED}. The figures are not comparable with those of a "
            "benchmark that has them. docs/evaluation.md has every formula, and how each was calibrated.",
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [list(head), ["---"] + ["---:"] * (len(head) - 1), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float, digits: int) -> str:
    """With so many digits after the point; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _title(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _words(move: str) -> str:
    kind, amount = move.split()
    return f"turned by {amount} degrees" if kind == "yaw" else f"moved aside by {float(amount):.1%} of the reach"
