"""Progress of a command on standard error: a bar on a terminal, a line now and then elsewhere."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 15.0


class Progress:
    """Work of `total` units, of which `done` are done already."""

    def __init__(self, name: str, total: int, done: int, unit: str):
        self._name, self._total, self._unit = name, total, unit
        self._bar = (
            tqdm(total=total, initial=done, desc=name, unit=f" {unit}", file=sys.stderr, leave=False)
            if sys.stderr.isatty()
            else None
        )
        self._begun = self._said = time.monotonic()
        self._from = done

    def update(self, done: int, **facts: float) -> None:
        """Say that `done` units are done; `facts` are shown beside."""
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.2f}" for name, value in facts.items()}, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._said < LINE_SECONDS:
            return
        self._said = now
        rate = (done - self._from) / (now - self._begun)
        words = "".join(f", {name} {value:.2f}" for name, value in facts.items())
        print(
            f"{self._name}: {done:,} of {self._total:,} {self._unit}, {rate:,.0f}/s{words}", file=sys.stderr, flush=True
        )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
