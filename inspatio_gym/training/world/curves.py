"""How a training went, as a picture: above, the losses of every stage, each point a mean; below, its PSNR on held-out worlds.

It is read from TensorBoard's files, in which a training that stopped and went on is one.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def save_curves(path: Path, run: Path, stages: Sequence[str]) -> bool:
    """Draw those of the stages that TensorBoard's folder in a run knows, as a PNG; whether there was one."""
    folders = [run / "tensorboard" / stage for stage in stages]
    recorded = [folder for folder in folders if folder.is_dir()]
    if not recorded:
        return False
    figure = Figure((3.2 * len(recorded), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(recorded), squeeze=False, sharex="col")
    for folder, (above, below) in zip(recorded, axes.T, strict=True):
        scalars = EventAccumulator(str(folder), {"scalars": 0, "images": 1}).Reload()
        _draw(above, scalars, "loss/")
        above.set(title=folder.name, yscale="log")
        _draw(below, scalars, "held_out/psnr", marker=".")
        below.set(xlabel="steps")
    axes[0, 0].set(ylabel="losses")
    axes[1, 0].set(ylabel="PSNR on held-out worlds, dB")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=90)
    with written_whole(path) as partial:
        partial.write_bytes(drawn.getvalue())
    return True


def _draw(axes: Axes, scalars: EventAccumulator, prefix: str, marker: str = "") -> None:
    tags = [tag for tag in scalars.Tags()["scalars"] if tag.startswith(prefix)]
    for tag in tags:
        events = scalars.Scalars(tag)
        axes.plot(
            [one.step for one in events], [one.value for one in events], label=tag.split("/", 1)[1], marker=marker
        )
    axes.grid(alpha=0.3)
    if tags:
        axes.legend(fontsize="x-small")
    else:
        axes.set_axis_off()
