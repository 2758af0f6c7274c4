"""The page that says what came of an evaluation, in Markdown, and the same figures as JSON."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.clips import Recording, TrueRenders
from inspatio_gym.evaluation.metrics import METRICS, UNKNOWN, Metric
from inspatio_gym.evaluation.record import PLOTS, SHEET, Figures, Record, null
from inspatio_gym.files import written_whole

HEADLINES = ("psnr", "ssim", "camera_score", "photometric_px", "motion_error", "revisit_psnr", "persistence")
RULED = "camera_score"
"""The headline that is read with a ruler whose error shows."""
NOT_COMPUTED = "object control, content alignment, style consistency and subjective quality"
ARROWS = {"higher": "higher", "lower": "lower", "1/2": "near 1/2", "truth": "near the truth's"}


def save(out: Path, records: Sequence[tuple[Path, Record]]) -> None:
    """Write report.md and report.json into `out`. records: each with its folder within `out`."""
    page = "\n\n".join(
        [
            f"# Fidelity of {records[0][1].model}",
            machine(),
            "Every figure beside the same figure of true renders, the best that a clip can do with these rulers (the error "
            "of recovered poses on true renders is the ruler's own, in parentheses below), and of a frozen clip, the first "
            "true frame held. A video has no true renders, only itself, where its own camera is followed.",
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
    return table(
        ["scene", *(_title(METRICS[name]) + (" (true renders)" if name == RULED else "") for name in HEADLINES)],
        [[record.scene, *(_headline(record, name) for name in HEADLINES)] for record in records],
    )


def section(folder: Path, record: Record) -> str:
    """What is known of one scene."""
    parts = [
        f"## {record.scene}",
        f"{record.about} {record.size[1]}x{record.size[0]} pixels, measured in {record.seconds:.0f} s.",
        f"![Contact sheet]({folder.name}/{SHEET})",
        "*Recorded: the video's frame of that moment, from where its camera then was. World and truth: the same moment from "
        "where the camera was sent; steps are shares of the reach, a typical depth. Difference: black is none, yellow 85 grey "
        "levels or more. A frame is drawn around the thing that had been hidden.*",
        f"![Plots]({folder.name}/{PLOTS})",
        metric_table(record.figures),
    ]
    if missing := gaps(record.figures):
        parts.append(missing)
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
    return table(["of", "metric", "better", *figures], rows, words=3)


def gaps(figures: dict[str, Figures]) -> str:
    """Why cells are empty and rows left out, in a line for each reason; nothing if none are."""
    reasons: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        empty = [clip for clip, one in figures.items() if math.isnan(one[name]) and clip != Recording.name]
        if empty:
            whose = "" if len(empty) == len(set(figures) - {Recording.name}) else f" ({', '.join(empty)})"
            reasons.setdefault(UNKNOWN[name], []).append(f"{metric.title}{whose}")
    lines = [f"- {'; '.join(titles)}: {reason}." for reason, titles in reasons.items()]
    if Recording.name in figures:
        lines.append(
            f"- The other empty cells of {Recording.name}: it has no views but its own camera's. So the ruler's own error, "
            "which in synthetic worlds stands under true renders, is not known here."
        )
    return "\n".join(["Not known:", "", *lines]) if lines else ""


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
            "Why a cell is empty or a row is left out is said below each table.",
            f"A frozen clip wins photometric and 3D consistency and pause{won}: these say that a world is steady, "
            "not that it obeys. Read them beside camera control and motion, where it fails.",
            f"Not computed, as they need downloaded judges: {NOT_COMPUTED}. The figures are not comparable with those of a "
            "benchmark that has them. docs/evaluation.md has every formula, and how each was calibrated.",
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Markdown; the first columns, so many, hold words, the others numbers."""
    lines = [list(head), ["---"] * words + ["---:"] * (len(head) - words), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float, digits: int) -> str:
    """With so many digits after the point; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _headline(record: Record, name: str) -> str:
    """The model's figure; of the camera that of true renders too, which is the ruler's own error."""
    digits, true = METRICS[name].digits, record.figures.get(TrueRenders.name)
    beside = f" ({number(true[name], digits)})" if name == RULED and true else ""
    return number(record.measured[name], digits) + beside


def _title(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _words(move: str) -> str:
    kind, amount = move.split()
    return f"turned by {amount} degrees" if kind == "yaw" else f"moved aside by {float(amount):.1%} of the reach"
