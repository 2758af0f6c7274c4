"""Figures that take long, one file for each: what is there already is not computed again."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.record import not_null, null
from inspatio_gym.files import written_whole

Work = tuple[Path, Callable[..., Any], tuple[Any, ...]]
"""A file, and the call whose result (numbers, words, dictionaries) belongs in it."""
Record = dict[str, Any]
"""asked: of what; found: the result; machine: where; seconds: how long it took."""


def measured(path: Path, asked: dict[str, Any], measure: Callable[[], Any]) -> Record:
    """What `measure` finds (numbers, words, lists, dictionaries), from the file unless it is not there yet.

    asked: all that the result depends on, as JSON values. Raises ValueError where the file answers something else.
    """
    if not path.is_file():
        began = time.monotonic()
        found = measure()
        record = {"asked": asked, "machine": machine(), "seconds": time.monotonic() - began, "found": found}
        with written_whole(path) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["asked"] != asked:
        raise ValueError(f"expected {asked} in {path}, got {record['asked']}: ask for that, or take another --out")
    return record


def results(work: Sequence[Work], jobs: int) -> list[Any]:
    """The results in the order of `work`; those not on disk yet are computed in so many processes, and written as they come."""
    todo = [one for one in work if not one[0].is_file()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(function, *arguments): path for path, function, arguments in todo}
        for future in tqdm(as_completed(futures), total=len(futures), unit="world", disable=None):
            with written_whole(futures[future]) as partial:
                partial.write_text(json.dumps(null(future.result()), indent=1) + "\n", encoding="utf-8")
    return [not_null(json.loads(path.read_text(encoding="utf-8"))) for path, _, _ in work]
