"""A scene's figures on disk, so that what was measured once is not measured again.

    OUT/NAME-DIGEST/record.json     digest, what was measured with what, figures by clip, fidelity by move, drift
                    sheet.jpg       recorded frame, the world's, the truth, their difference
                    plots.png       fidelity over distance, cameras, drift

The digest is of all that figures depend on. A record is written last, so a folder with one is whole. NaN is null in JSON.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspatio_gym.files import written_whole

RECORD, SHEET, PLOTS = "record.json", "sheet.jpg", "plots.png"
FORMAT = 2  # raise it when figures of the same name come to mean something else

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one scene. figures: clip -> metric -> value, the model's first. by_move: move -> metric -> value."""

    digest: str
    scene: str
    geometry: str
    about: str
    model: str
    size: tuple[int, int]
    seconds: float
    figures: dict[str, Figures]
    by_move: dict[str, Figures]
    drift: dict[str, list[float]]

    @property
    def measured(self) -> Figures:
        """The model's figures."""
        return next(iter(self.figures.values()))


def digest_of(identity: dict[str, Any]) -> str:
    """32 hex digits of what figures depend on (JSON values)."""
    content = json.dumps({"format": FORMAT, **identity}, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def write(folder: Path, record: Record) -> None:
    """Write a record whole."""
    with written_whole(folder / RECORD) as partial:
        partial.write_text(json.dumps(null(asdict(record)), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read(folder: Path, digest: str) -> Record | None:
    """The record of that digest in `folder`; None if there is none, or pictures are missing."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["digest"] != digest or not all((folder / name).is_file() for name in (SHEET, PLOTS)):
            return None
        record["size"] = tuple(record["size"])
        return Record(**{name: not_null(value) for name, value in record.items()})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def null(value: Any) -> Any:
    """The same with None for NaN, as JSON has none."""
    if isinstance(value, dict):
        return {key: null(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [null(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def not_null(value: Any) -> Any:
    """The same with NaN for None in dictionaries: the inverse of `null` for numbers by name."""
    if isinstance(value, dict):
        return {key: float("nan") if one is None else not_null(one) for key, one in value.items()}
    return value
