"""Many small jobs over the cores: plain threads around kernels that let go of the interpreter.

Kernels are compiled without a parallel layer of their own, so that processes may fork, callers may be threads, and a
result cannot depend on how the work was shared out.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

from inspatio_gym.settings import whole_number

T = TypeVar("T")


def threads() -> int:
    """How many threads work at a time, the caller's included. Raises ValueError for a setting that is no number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return whole_number("INSPATIO_GYM_THREADS", cores)


def spread(work: Callable[[int, int], object], count: int, *, least: int = 1) -> None:
    """Call work(first, last) on ranges that cover 0..count-1, side by side. least: jobs that are worth a thread."""
    parts = count // least
    if parts > 1:
        parts = min(parts, threads())
    if parts < 2:
        work(0, count)
        return
    bounds = [count * k // parts for k in range(parts + 1)]
    others = [(_pool(os.getpid(), threads() - 1).submit(work, *bounds[k : k + 2]), k) for k in range(1, parts)]
    try:
        work(*bounds[:2])
        for future, k in others:
            if future.cancel():  # every thread is busy, perhaps waiting for us
                work(*bounds[k : k + 2])
            else:
                future.result()
    finally:  # nobody goes on where one failed
        wait([future for future, _ in others if not future.cancel()])


def ahead(work: Callable[[], T]) -> Callable[[], T]:
    """Begin work() beside what the caller does next, if there is a thread for it; returns what waits for its result."""
    others = threads() - 1
    if not others:
        return work
    future = _pool(os.getpid(), others).submit(work)
    return lambda: work() if future.cancel() else future.result()


@lru_cache(maxsize=4)
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """The threads of a process; a fork has none of its parent's."""
    return ThreadPoolExecutor(workers, thread_name_prefix="inspatio-gym")
