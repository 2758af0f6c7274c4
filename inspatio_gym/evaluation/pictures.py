"""For people: contact sheets (recorded frame, the world's, the truth, their difference) and plots."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspatio_gym.evaluation.clips import TrueRenders
from inspatio_gym.evaluation.measure import Evaluation, Exhibit
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.geometry.poses import invert, ypr_deg
from inspatio_gym.render.pictures import side_by_side
from inspatio_gym.types import Mask, Rgb

with extra("agents"):
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

ERROR_GAIN = 3
"""Differences are shown so many times brighter."""
UNKNOWN_GREY = 60
"""Of the place of a picture that nobody has."""
MARK = (255, 0, 255)
"""Of a frame around what is to be looked at."""


def save_sheet(path: Path, exhibits: Sequence[Exhibit]) -> None:
    """A row for each exhibit; where nobody knows the truth its place says so. Raises ValueError for none."""
    if not exhibits:
        raise ValueError("expected frames to show, got none")
    sheet = np.vstack([side_by_side(row_of(exhibit)) for exhibit in exhibits])
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    with written_whole(path) as partial:
        partial.write_bytes(encoded.tobytes())


def row_of(exhibit: Exhibit) -> dict[str, Rgb]:
    """The four pictures of an exhibit by what is written above them."""
    shown, true = exhibit.shown, exhibit.true
    if true is None:
        blank = np.full_like(shown, UNKNOWN_GREY)
        judged = {"truth: nobody knows": blank, "difference: unknown": blank}
    else:
        judged = {"truth": framed(true, exhibit.marked), f"difference x{ERROR_GAIN}": difference(shown, true)}
    return {
        f"recorded, frame {exhibit.frame}": exhibit.recorded,
        f"world: {exhibit.title}": framed(shown, exhibit.marked),
        **judged,
    }


def framed(picture: Rgb, marked: Mask | None) -> Rgb:
    """The picture (H, W, 3) with a frame around the pixels to look at; as it is if there are none."""
    if marked is None or not marked.any():
        return picture
    rows, columns = np.nonzero(marked)
    first, last = (int(columns.min()) - 3, int(rows.min()) - 3), (int(columns.max()) + 3, int(rows.max()) + 3)
    return np.asarray(cv2.rectangle(picture.copy(), first, last, MARK, 1), np.uint8)


def difference(a: Rgb, b: Rgb) -> Rgb:
    """The absolute difference of two pictures (H, W, 3), dark to bright."""
    error = np.abs(a.astype(np.int16) - b).mean(-1) * ERROR_GAIN
    heat = cv2.applyColorMap(np.minimum(error, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(heat, cv2.COLOR_BGR2RGB), np.uint8)


def save_plots(path: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Fidelity over distance of the first clip; the tour's cameras, commanded and as recovered from each clip; drift."""
    first = next(iter(evaluations.values()))
    panels = 2 + bool(first.by_move) + (first.drift is not None)
    figure = Figure((4.6 * panels, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = iter(figure.subplots(1, panels))
    if first.by_move:
        _draw_moves(next(axes), first)
    _draw_heading(next(axes), evaluations)
    _draw_way(next(axes), evaluations)
    if first.drift is not None:
        _draw_drift(next(axes), evaluations)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    with written_whole(path) as partial:
        partial.write_bytes(drawn.getvalue())


def _draw_moves(axes: Axes, evaluation: Evaluation) -> None:
    names, x = list(evaluation.by_move), np.arange(len(evaluation.by_move))
    groups = (("psnr", "all"), ("psnr_covered", "seen by the source frame"), ("psnr_disoccluded", "not seen by it"))
    for k, (metric, label) in enumerate(groups):
        axes.bar(x + 0.27 * (k - 1), [evaluation.by_move[name][metric] for name in names], 0.25, label=label)
    axes.set_xticks(x, [_tick(*name.split()) for name in names], fontsize="small")
    axes.set(ylabel="PSNR, dB", title="Are new views true?")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend above the bars
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize="x-small", loc="upper center", ncols=2)


def _tick(kind: str, amount: str) -> str:
    return f"turn\n{amount}°" if kind == "yaw" else f"aside\n{100 * float(amount):g}%"


def _draw_heading(axes: Axes, evaluations: Mapping[str, Evaluation]) -> None:
    for name, poses in _tours(evaluations).items():
        axes.plot(ypr_deg((invert(poses[0]) @ poses)[:, :3, :3])[:, 0], **_style(name))
    axes.set(xlabel="frame of the tour", ylabel="yaw, degrees", title="Was it turned as told?")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small")


def _draw_way(axes: Axes, evaluations: Mapping[str, Evaluation]) -> None:
    for name, poses in _tours(evaluations).items():
        way = (invert(poses[0]) @ poses)[:, :3, 3]
        axes.plot(way[:, 0], way[:, 2], **_style(name), marker="." if name != "commanded" else "")
    axes.set(xlabel="to the right, scene units", ylabel="forward, scene units", title="Did it go where it was sent?")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small")


def _draw_drift(axes: Axes, evaluations: Mapping[str, Evaluation]) -> None:
    for name, evaluation in evaluations.items():
        if evaluation.drift is not None:
            axes.plot(evaluation.drift.frame, evaluation.drift.against, label=name)
    axes.set(xlabel="frame of the rollout", ylabel="PSNR, dB", title="Does it decay?")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small")


def _tours(evaluations: Mapping[str, Evaluation]) -> dict[str, np.ndarray]:
    first = next(iter(evaluations.values()))
    recovered = {name: one.recovered for name, one in evaluations.items() if len(one.recovered)}
    return {"commanded": first.commanded} | recovered


def _style(name: str) -> dict[str, Any]:
    if name == "commanded":
        return {"label": name, "color": "black", "linewidth": 3, "alpha": 0.35}
    return {"label": name, "linestyle": "--" if name == TrueRenders.name else "-"}  # what lies below shows through
