"""What a run is remembered by: a picture of its learning, and a page that says what was done, where, and what came of it."""

import io
from collections.abc import Mapping
from pathlib import Path

from inspatio_gym.agents.evaluate import Comparison, as_markdown
from inspatio_gym.doctor import machine
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure


def save_learning_curve(path: Path, progress: list[dict[str, float]], comparison: Comparison) -> None:
    """Draw returns over steps, with the simple agents of the comparison as lines. progress: see `log.read_progress`."""
    figure = Figure((9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    played = [row for row in progress if "rollout/ep_rew_mean" in row]
    axes.plot(
        [row["steps"] for row in played],
        [row["rollout/ep_rew_mean"] for row in played],
        color="tab:blue", alpha=0.5, label="training episodes, with the noise that explores",
    )  # fmt: skip
    checked = [row for row in progress if "validation/return" in row]
    steps = [row["steps"] for row in checked]
    axes.plot(steps, [row["validation/return"] for row in checked], "o-", color="tab:blue", label="validation")
    axes.fill_between(
        steps,
        [row["validation/return_low"] for row in checked],
        [row["validation/return_high"] for row in checked],
        color="tab:blue", alpha=0.2, label="its 95% interval",
    )  # fmt: skip
    others = [row for row in comparison.rows if row is not comparison.trained]
    for colour, row in zip(("tab:red", "tab:gray", "tab:orange", "tab:green"), others, strict=False):
        axes.axhline(row.interval.mean, color=colour, linestyle="--", label=row.agent)
    axes.set(xlabel="steps of all worlds together", ylabel="return of an episode", title="Learning")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    with written_whole(path) as partial:
        partial.write_bytes(drawn.getvalue())


def save_report(
    path: Path, *, title: str, about: str, comparison: Comparison, seconds: Mapping[str, float], next_steps: str
) -> None:
    """Write the page, in Markdown, beside the pictures that it shows.

    about: what was trained, where. seconds: how long each part took. next_steps: commands, one a line.
    """
    took = "\n".join(f"| {what} | {_minutes(value)} |" for what, value in seconds.items())
    page = f"""# {title}

{about}

**{comparison.verdict()}**

{as_markdown(comparison.table())}

Every agent played the same {len(comparison.rows[0].seeds)} start states, drawn from seeds that no training uses; \
intervals are of the mean, 95%, by bootstrap. Agents are paired by start state: what one is better by is the mean of the \
differences between two returns from the same one, with its interval in brackets. The constant action is the best one on \
these very start states among those that were best on others, which favours it.

![Learning curve](learning_curve.png)

Trained (left) beside random (right), from one of these start states: [trained_vs_random.mp4](trained_vs_random.mp4)

![A frame of the film](trained_vs_random.jpg)

## Where and how long

{machine()}

| part | time |
| --- | ---: |
{took}
| **all** | {_minutes(sum(seconds.values()))} |

## Go on

```console
{next_steps}
```
"""
    with written_whole(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.1f} s"
