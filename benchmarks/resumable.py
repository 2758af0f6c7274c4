"""Figures that take long, one file for each: what is there already is not computed again."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inspatio_gym.evaluation.record import not_null, null
from inspatio_gym.files import written_whole

Work = tuple[Path, Callable[..., Any], tuple[Any, ...]]
"""A file, and the call whose result (numbers, words, dictionaries) belongs in it."""


def results(work: Sequence[Work], jobs: int) -> list[Any]:
    """The results in the order of `work`; those not on disk yet are computed in so many processes, and written as they come."""
    todo = [one for one in work if not one[0].is_file()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(function, *arguments): path for path, function, arguments in todo}
        for future in tqdm(as_completed(futures), total=len(futures), unit="world", disable=None):
            with written_whole(futures[future]) as partial:
                partial.write_text(json.dumps(null(future.result()), indent=1) + "\n", encoding="utf-8")
    return [not_null(json.loads(path.read_text(encoding="utf-8"))) for path, _, _ in work]
