"""What the metrics of `evaluate-world` read on clips whose worth is known: true renders, and clips wrong on purpose.

    python -m benchmarks.calibration                                  # 12 worlds
    python -m benchmarks.calibration --size 240 416 --jobs 8

    true       true renders: the best there is, and on the camera's figures the ruler's own error
    wrong      true renders from mirrored cameras: right in time, wrong in space
    frozen     the first true frame, held
    wobbling   true renders, each bent by another smooth field
    warp       the warp world with true geometry, to be read between them

`EXPECTED` says metric by metric how they must be ordered; every relation is checked in every world, where both sides are
known. And no degenerate clip may beat the warp world in camera control, PSNR and motion together. Exit status 1 where
something does not hold.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.held_out import addresses, file_name, scene_of
from benchmarks.resumable import results
from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.clips import Frozen, Mirrored, ModelSource, TrueRenders, Wobbling
from inspatio_gym.evaluation.measure import evaluate
from inspatio_gym.evaluation.metrics import METRICS
from inspatio_gym.evaluation.record import Figures
from inspatio_gym.evaluation.report import number, table
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.types import Size
from inspatio_gym.warp import WarpModel

CLIPS = ("true", "warp", "wrong", "frozen", "wobbling")
SIMILAR = 0.5
"""Relative difference up to which two figures count as alike ("~")."""

_BELOW_TRUTH = "frozen < true, wrong < true, wobbling < true"
EXPECTED = {
    "psnr": _BELOW_TRUTH,
    "psnr_covered": _BELOW_TRUTH,
    "psnr_disoccluded": _BELOW_TRUTH,
    "ssim": _BELOW_TRUTH,
    "ssim_covered": _BELOW_TRUTH,
    "ssim_disoccluded": _BELOW_TRUTH,
    "rotation_error_deg": "true < frozen, true < wobbling, frozen < wrong",
    "translation_error": "true < frozen, true < wobbling, true < wrong",
    "camera_score": _BELOW_TRUTH,
    "reprojection_px": "frozen < true, true < wobbling",
    "photometric_px": "frozen < true, true < wobbling, wrong ~ true",
    "motion_px": "frozen <= true, true < wobbling, wrong ~ true",
    "motion_error": "true < frozen, true < wobbling, wrong ~ true",
    "acceleration_px": "frozen < true, true < wobbling, wrong ~ true",
    "pause_change": "frozen ~ true, true < wobbling",
    "reverse_difference": "true <= frozen, true < wobbling",
    "slow_ratio": "true < wobbling",
    "revisit_psnr": "wobbling < true, wrong ~ true",
    "persistence": "frozen < true, wobbling < true, wrong ~ true",
    "permanence": "frozen < true, wobbling <= true",
}
"""Metric -> relations that must hold in every world; "<=" where worlds in which nothing moves leave no difference."""
TOGETHER = {"camera_score": 1, "psnr": 1, "motion_error": -1}
"""Metrics that no degenerate clip may win all of, and the sign of what is better."""


@dataclass(frozen=True, slots=True)
class Config:
    """Calibrate the metrics over synthetic worlds."""

    count: int = 12
    """How many worlds."""
    size: Size = (128, 224)
    """Height and width."""
    jobs: int = 1
    """Processes."""
    out: Path = Path("calibration")
    """Folder of what was measured: a file for each world, which is not measured again."""
    scenes: Path = Path("held_out")
    """Folder of rendered worlds."""


def measure(address: str, size: Size, scenes: Path) -> dict[str, Figures]:
    """Figures of every clip of one world."""
    subject = Subject(scene_of(address, size, scenes), size)
    truth = TrueRenders(subject)
    sources = (truth, ModelSource(WarpModel(size), subject), Mirrored(truth), Frozen(truth), Wobbling(truth))
    return {name: evaluate(source, subject, truth).figures for name, source in zip(CLIPS, sources, strict=True)}


def holds(relation: str, figures: dict[str, Figures], metric: str) -> bool | None:
    """Whether "a < b", "a <= b" or "a ~ b" holds of a world's clips; None where a side is unknown.

    Raises ValueError for another relation.
    """
    left, sign, right = relation.split()
    a, b = figures[left][metric], figures[right][metric]
    if np.isnan(a) or np.isnan(b):
        return None
    if sign == "<":
        return a < b
    if sign == "<=":
        return a <= b
    if sign == "~":
        return abs(a - b) <= SIMILAR * max(abs(a), abs(b))
    raise ValueError(f'expected a relation "a < b", "a <= b" or "a ~ b", got {relation!r}')


def winners(figures: dict[str, Figures]) -> list[str]:
    """Degenerate clips that beat the warp world in all of `TOGETHER`."""
    return [
        clip
        for clip in ("wrong", "frozen", "wobbling")
        if all(sign * (figures[clip][name] - figures["warp"][name]) > 0 for name, sign in TOGETHER.items())
    ]


def page(measured: dict[str, dict[str, Figures]]) -> tuple[str, bool]:
    """Tables in Markdown, and whether everything holds."""
    rows, well = [], True
    for name, metric in METRICS.items():
        if name not in EXPECTED:
            continue
        cells = []
        for clip in CLIPS:
            values = [figures[clip][name] for figures in measured.values() if not np.isnan(figures[clip][name])]
            spread = (
                f" ({number(min(values), metric.digits)} to {number(max(values), metric.digits)})" if values else ""
            )
            cells.append(f"{number(float(np.mean(values)), metric.digits)}{spread}" if values else "")
        verdicts = []
        for relation in EXPECTED[name].split(", "):
            known = [held for figures in measured.values() if (held := holds(relation, figures, name)) is not None]
            verdicts.append(f"{relation}: {sum(known)} of {len(known)}")
            well &= all(known)
        rows.append([f"{metric.title}{', ' + metric.unit if metric.unit else ''}", *cells, "; ".join(verdicts)])
    won = {address: found for address, figures in measured.items() if (found := winners(figures))}
    verdict = f"Degenerate clips that beat the warp world in camera control, PSNR and motion together: {won or 'none'}."
    return "\n\n".join(
        [table(["metric", *CLIPS, "expected, in how many worlds it holds"], rows), verdict]
    ), well and not won


def main(config: Config) -> int:
    """Print the tables."""
    names = addresses(config.count)
    work = [
        (config.out / f"{file_name(one, config.size)}.json", measure, (one, config.size, config.scenes))
        for one in names
    ]
    text, well = page(dict(zip(names, results(work, config.jobs), strict=True)))
    print(f"{config.count} worlds at {config.size[1]}x{config.size[0]}. {machine()}\n\n{text}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.calibration", description=__doc__)))
