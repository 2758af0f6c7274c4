"""Whether a checkpoint arrived whole, found out without reading all of it.

every safetensors file     its header says how long it is: a file that was cut off is found by reading a few kilobytes
every index of shards      each shard is there and holds the tensors that the index promises
every .json                can be read
a known file               has its length and its SHA-256, for which it is read whole
a .pth                     is whole as an archive; nothing in it is executed
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from inspatio_gym.checkpoints.locate import found_in, lacking
from inspatio_gym.checkpoints.registry import Checkpoint
from inspatio_gym.checkpoints.weights import INDEX, PICKLED, SAFETENSORS, WeightsError, read_header, shards


def problems(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """What is wrong with a checkpoint in `folder`, one line each, with the file's path; empty if nothing is."""
    found = [f"{folder}: {name} is missing" for name in lacking(checkpoint, folder)]
    return found + [f"{file}: {what}" for file in _files(checkpoint, folder) for what in _problems(checkpoint, file)]


def _files(checkpoint: Checkpoint, folder: Path) -> list[Path]:
    if checkpoint.file:
        return [] if lacking(checkpoint, folder) else [found_in(checkpoint, folder)]
    return sorted({file for pattern in checkpoint.fetch for file in folder.glob(pattern) if file.is_file()})


def _problems(checkpoint: Checkpoint, file: Path) -> Iterator[str]:
    try:
        if file.suffix == SAFETENSORS:
            read_header(file)
        elif file.name.endswith(INDEX):
            yield from _broken_promises(file)
        elif file.suffix == ".json":
            json.loads(file.read_bytes())
        elif file.suffix in PICKLED and not zipfile.is_zipfile(file):
            yield "is cut off, or not a file that PyTorch wrote"
    except WeightsError as problem:
        yield str(problem)
    except ValueError as problem:
        yield f"is no JSON ({problem})"
    if known := checkpoint.known.get(file.name):
        if (size := file.stat().st_size) != known.size:
            yield f"expected {known.size:,} bytes, got {size:,}"
        elif (digest := _sha256(file)) != known.sha256:
            yield f"expected SHA-256 {known.sha256}, got {digest}"


def _broken_promises(index: Path) -> Iterator[str]:
    """Tensors that the index says are in a shard which is there but has them not; missing shards are named elsewhere."""
    held = {}
    for shard in shards(index):
        try:
            held[shard] = set(read_header(shard)) if shard.is_file() else None
        except WeightsError:  # named by itself
            held[shard] = None
    for name, shard_name in json.loads(index.read_text())["weight_map"].items():
        names = held[index.parent / shard_name]
        if names is not None and name not in names:
            yield f"{shard_name} does not hold {name}, as the index says"
            return


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
