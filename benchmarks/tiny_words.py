"""What `benchmarks.tiny_world` found, in words: a table or two for each part."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from benchmarks.tiny_judges import WARPS
from inspatio_gym.evaluation.images import psnr_of
from inspatio_gym.evaluation.report import number, table
from inspatio_gym.scenes.synthetic import STYLES
from inspatio_gym.scenes.synthetic.address import parse

Part = Literal["views", "short", "long", "looks"]
GROUPS = ("all", "covered", "disoccluded")
TRUTH, CODEC = "true renders", "codec round trip of the truth"
EARLY, LATE = range(5, 15), range(40, 50)  # blocks; they are five loops apart
RESAMPLED = 100  # times that worlds are drawn anew for an interval


def about(record: dict[str, Any]) -> str:
    """Where something was measured."""
    return f"({record['worlds']} worlds, {record['seconds']:.0f} s. {record['machine']})"


def pooled(worlds: dict[str, Any], group: str, style: str | None = None) -> float:
    """PSNR over the pixels of a group of all worlds, or of those of a style."""
    pixels, squares = np.sum(
        [groups[group] for name, groups in worlds.items() if style in (None, parse(name).style)], axis=0
    )
    return psnr_of(squares / pixels) if pixels else float("nan")


def words_of_views(found: dict[str, Any]) -> str:
    """PSNR by row and group, and how far it is from the best warp and from the codec."""
    parts, styles = [], {parse(name).style for name in found[CODEC]}
    for style in (None, *(style for style in STYLES if style in styles)):
        figures = {row: {group: pooled(worlds, group, style) for group in GROUPS} for row, worlds in found.items()}
        best = {group: max(figures[row][group] for row in WARPS) for group in GROUPS}
        rows = [
            [
                row,
                *(number(one[group], 2) for group in GROUPS),
                *("" if row in WARPS else f"{one[group] - best[group]:+.2f}" for group in ("all", "disoccluded")),
                "" if row in WARPS or row == CODEC else f"{one['all'] - figures[CODEC]['all']:+.2f}",
            ]
            for row, one in figures.items()
        ]
        named = "all worlds" if style is None else f"style {style}"
        head = [
            named,
            "PSNR all",
            "covered",
            "disoccluded",
            "all, above the best warp",
            "disoccluded, above it",
            "all, above the codec",
        ]
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def words_of_short(found: dict[str, Any]) -> str:
    """Errors of camera and time by row, means over the worlds that have them."""
    digits = {"rotation": 2, "translation": 3, "found": 2, "pause": 2, "reverse": 2, "slow": 2}
    rows, least = [], mean(found[TRUTH], "rotation")
    for row, worlds in found.items():
        rotation, *others = (number(mean(worlds, name), count) for name, count in digits.items())
        rows.append([row, rotation, f"{mean(worlds, 'rotation') - least:+.2f}", *others])
    head = ["e_R, degrees", "more than true renders", "e_t", "poses found"]
    return table(["", *head, "pause, grey levels", "reverse, grey levels", "half speed, ratio"], rows)


def mean(worlds: dict[str, dict[str, float]], name: str) -> float:
    """Of a figure over the worlds that have it; NaN of none."""
    known = [one[name] for one in worlds.values() if not math.isnan(one[name])]
    return sum(known) / len(known) if known else math.nan


def words_of_long(found: dict[str, Any]) -> str:
    """PSNR of early and late blocks by path and row."""
    rows = []
    for path, named in (("stays", "passes the same places all along"), ("leaves", "is elsewhere in between")):
        for row, worlds in found[path].items():
            early, late = (
                psnr_of(
                    float(np.divide(*np.sum([[world[b] for b in span] for world in worlds.values()], (0, 1))[::-1]))
                )
                for span in (EARLY, LATE)
            )
            rows.append([row, named, number(early, 2), number(late, 2), f"{late - early:+.2f}"])
    return table(["", "the camera", "PSNR, blocks 5 to 15", "blocks 40 to 50", "difference"], rows)


def words_of_looks(found: dict[str, Any]) -> str:
    """Distances by row, nearest first."""
    rows = [[row, number(value, 2)] for row, value in sorted(found["distance"].items(), key=lambda item: item[1])]
    low, high = found["nearer"]
    return "\n\n".join(
        [
            table(["", "distance to films of other worlds"], rows),
            f"The distance of V2V alone less that of JDMD, both students steered: {low:+.2f} to {high:+.2f} in 95 % of "
            f"{RESAMPLED} draws of the worlds anew.",
        ]
    )


WORDS: dict[Part, Callable[[dict[str, Any]], str]] = {
    "views": words_of_views,
    "short": words_of_short,
    "long": words_of_long,
    "looks": words_of_looks,
}
