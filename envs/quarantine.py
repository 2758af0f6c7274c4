"""A world that raises is set apart, and its neighbours go on as if nothing had happened.

What a batch of worlds goes through (a plan, the model's step, a look at the geometry, a verdict) is done for all rows
together where it can be; a row that raises is left out of what comes next, and `Ward.faults` remembers why. If a call for
the whole batch raises, it is made again row by row, so that the culprit is alone.

    ward = Ward(open=True)
    plans = ward.each(rows, plan)                   # row -> plan, without the rows that raised
    blocks = ward.batch(list(plans), step, alone)   # row -> block, likewise
    ward.faults                                     # row -> exception

With `open=False` nothing is caught: what a world raises reaches the caller.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class WorldLost(RuntimeError):
    """A world raised again and again; the cause is in the message and in `__cause__`.

    world: its number. faults: how often it raised in a row. cause: the last exception, as `described`.
    """

    def __init__(self, world: int, faults: int, cause: str):
        super().__init__(world, faults, cause)
        self.world, self.faults, self.cause = world, faults, cause

    def __str__(self) -> str:
        return (
            f"expected world {self.world} to run, but it raised {self.faults} times in a row, the last time {self.cause}: "
            "mend its task, scene or model; max_faults=0 shows where it raised at once"
        )


class Ward:
    """What the rows of a batch raise; see the module's docstring."""

    def __init__(self, *, open: bool):
        self.open = open
        self.faults: dict[int, Exception] = {}

    def each(self, rows: Iterable[int], do: Callable[[int], T]) -> dict[int, T]:
        """`do(row)` for each row, without those that raise."""
        results = {}
        for row in rows:
            try:
                results[row] = do(row)
            except Exception as error:
                if not self.open:
                    raise
                self.faults[row] = error
        return results

    def batch(
        self, rows: Sequence[int], do: Callable[[Sequence[int]], Sequence[T]], alone: Callable[[int], T]
    ) -> dict[int, T]:
        """`do(rows)`, a result for each row, in one call; if that raises, `alone(row)` for each."""
        try:
            return dict(zip(rows, do(rows), strict=True)) if rows else {}
        except Exception:
            if not self.open:
                raise
            logger.warning("a call for %d worlds raised; making it world by world", len(rows), exc_info=True)
        return self.each(rows, alone)


def described(error: Exception) -> str:
    """An exception in one line: "IndexError: expected a source frame in 0..35, got 36"."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def verdict(error: Exception) -> dict[str, Any]:
    """The info of a world's last step when it has been set apart."""
    return {"truncated_reason": f"quarantined: {described(error)}"}
