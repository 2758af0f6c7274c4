"""The thread that writes episodes, and the ledger that says how far it has come.

    roll-out ──► Writer.put ──► a queue of at most QUEUE episodes ──► the formats, one after the other ──► Ledger.commit

A full queue holds up the roll-out, so memory is bounded when the disk is slower than the worlds. The ledger is raised
when all formats have written an episode: whatever is killed when, what the ledger counts is whole, and the next run
writes the one after it (again, perhaps, in some formats: with the same content).
"""

import json
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Queue
from typing import Any

from inspatio_gym.collect.episode import Episode
from inspatio_gym.files import written_whole

LEDGER_FILE = "collect.json"
SCHEMA = "inspatio-gym collect 1"
QUEUE = 4  # episodes that may wait to be written


class Writer:
    """Hands episodes to `write` in a thread of its own; leave the context to wait for the last one.

    What `write` raises is raised by the next `put`, or on leaving; nothing is written after it.
    """

    def __init__(self, write: Callable[[Episode], None]):
        self._write = write
        self._queue: Queue[Episode | None] = Queue(QUEUE)
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="episode-writer", daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, kind: object, problem: object, traceback: object) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def put(self, episode: Episode) -> None:
        """Have the episode written; waits while `QUEUE` others are waiting."""
        self._raise()
        self._queue.put(episode)

    def _raise(self) -> None:
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def _work(self) -> None:
        failed = False
        while (episode := self._queue.get()) is not None:
            if failed:
                continue  # lest `put` wait for ever
            try:
                self._write(episode)
            except BaseException as problem:
                self._problem, failed = problem, True


class Ledger:
    """How many episodes of which collection a folder holds: `written` of them, and whether the datasets are `finished`."""

    def __init__(self, folder: Path, asked: Mapping[str, Any]):
        """Take up the folder's collection, or begin one. asked: what determines the episodes, JSON values.

        Raises ValueError for a folder that holds something else, or a collection of other episodes.
        """
        self._path, self._asked = folder / LEDGER_FILE, dict(asked)
        self.written, self.finished = 0, False
        if self._path.is_file():
            self._take_up()
        elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ValueError(
                f"expected a new folder, or one with a collection, got {str(folder)!r}, which holds something else: "
                "pass another --output"
            )

    def commit(self, written: int, *, finished: bool = False) -> None:
        """Note that so many episodes are written, in all formats."""
        self.written, self.finished = written, finished
        record = {"schema": SCHEMA, "asked": self._asked, "written": written, "finished": finished}
        with written_whole(self._path) as partial:
            partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    def _take_up(self) -> None:
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            if record["schema"] != SCHEMA:
                raise ValueError(f"the schema {record['schema']!r}")
            begun, self.written, self.finished = record["asked"], record["written"], record["finished"]
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(
                f"expected a collection of this version ({SCHEMA!r}) in {self._path}, got {problem}: pass another --output"
            ) from problem
        self._compare(begun, json.loads(json.dumps(self._asked)))
        clear_leftovers(self._path.parent)

    def _compare(self, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        for name in {**begun, **asked}:
            before, now = begun.get(name), asked.get(name)
            if isinstance(before, dict) and isinstance(now, dict):
                self._compare(before, now)
            elif before != now:
                raise ValueError(
                    f"expected what {str(self._path.parent)!r} was begun with, {name} {before!r}, got {now!r}: run the same "
                    "command again, or pass another --output"
                )


def clear_leftovers(folder: Path) -> None:
    """Remove what a kill has left half-written."""
    for leftover in [*folder.rglob(".*.partial*")]:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
