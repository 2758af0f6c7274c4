"""What the system knows of processes: whether they live, whose children they are, how much memory they hold.

Linux says so in /proc; where there is no /proc, nothing is known, and only a process's own memory can be told.
"""

import os
import resource
import sys
import time
from collections.abc import Collection
from pathlib import Path


def alive(pid: int) -> bool:
    """The process is there, and not merely waiting for its parent to notice its death."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: Collection[int], seconds: float = 20.0) -> bool:
    """Whether all of these processes end within so many seconds."""
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def resident() -> int:
    """Bytes of memory that this process holds, those it shares with others included; at their peak without a /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
