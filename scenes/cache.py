"""Where anchored scenes live, how they are named, and how a folder of them stays clean.

The cache is `$INSPATIO_GYM_CACHE`, else `scenes` in the user's cache folder. A scene's folder is named by the blake2b
hash of the video's content, the options, and the versions of the estimators and of the schema. Scenes in the making are
hidden folders named `.<target>.<host>.<process>.<random>.partial`, so that whoever comes later can tell whether their
maker still lives.
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from inspatio_gym.scenes.errors import CacheError
from inspatio_gym.scenes.scene import SCHEMA_VERSION

logger = logging.getLogger(__name__)

PARTIAL_SECONDS = 24 * 3600  # a partial scene of another machine is taken for abandoned when this old
WHOLE_HASH_BYTES = 2**30  # a larger video is told by samples, so that a look into the cache takes under a second
SAMPLES, SAMPLE_BYTES = 64, 2**20
_PARTIAL = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<process>\d{1,9})\.[0-9a-f]{8}\.partial")


def cache_root() -> Path:
    """The folder of anchored scenes: `$INSPATIO_GYM_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("INSPATIO_GYM_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("inspatio-gym")) / "scenes"


def scene_key(content: str, options: dict[str, Any]) -> str:
    """Name of the scene that a video with the hash `content` becomes under `options` (JSON values): 32 hex digits."""
    key = json.dumps({"schema_version": SCHEMA_VERSION, "video": content, "options": options}, sort_keys=True)
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def hash_of(file: Path, *, samples: bool = False) -> str:
    """blake2b of a file's content, 32 hex digits.

    samples: of a file beyond 1 GiB take its length, 64 evenly spread MiB, and the time it was last written, which tells
    of a change between them; a copy with a time of its own counts as another file.
    """
    status = file.stat()
    length = status.st_size
    digest = hashlib.blake2b(str(length).encode(), digest_size=16)
    with file.open("rb") as stream:
        if samples and length > WHOLE_HASH_BYTES:
            digest.update(str(status.st_mtime_ns).encode())
            for k in range(SAMPLES):
                stream.seek(k * (length - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(stream.read(SAMPLE_BYTES))
        else:
            while block := stream.read(SAMPLE_BYTES):
                digest.update(block)
    return digest.hexdigest()


def partial_folder(target: Path) -> Path:
    """A name, not yet taken, for the scene in the making beside `target`."""
    return target.parent / f".{target.name}.{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial"


def sweep(folder: Path) -> None:
    """Remove partial scenes that nobody makes any more: their process is gone or, if another machine's, a day old."""
    for partial in folder.glob(".*.partial"):
        named = _PARTIAL.fullmatch(partial.name)
        if named is None:  # somebody else's
            continue
        try:
            old = time.time() - partial.stat().st_mtime > PARTIAL_SECONDS
        except FileNotFoundError:  # its maker has just finished
            continue
        if old if named["host"] != _host() or os.name != "posix" else not _alive(named["process"]):
            logger.info("removing %s, left by a process that is gone", partial)
            shutil.rmtree(partial, ignore_errors=True)


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name != "posix":
        return  # only POSIX opens folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into `folder` into a CacheError that says what to do."""
    try:
        yield
    except OSError as problem:
        way_out = "set INSPATIO_GYM_CACHE (or pass cache=) to a folder that can be written"
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "free some space, or set INSPATIO_GYM_CACHE (or pass cache=) to a folder on another disk"
        reason = problem.strerror or str(problem)
        raise CacheError(f"expected to write a scene into {folder}, got {reason!r}: {way_out}") from None


def _host() -> str:
    """Where a process number means something: a machine, and on Linux a container's numbering of processes."""
    namespace = Path("/proc/self/ns/pid")
    numbering = namespace.stat().st_ino if namespace.exists() else 0
    return f"{socket.gethostname()}-{numbering:x}".replace(".", "-")


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, another user's
        return True
    return True
