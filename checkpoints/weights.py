"""Weight files, read without running anything in them, and loaded without leaving anything out.

    model.safetensors                         memory-mapped: a tensor is read when it is used
    model.safetensors.index.json              the same in shards; the index says which tensor lies where
    model.pt, model.pth                       PyTorch's own format, tensors alone (`weights_only`)

A file that was cut off, a shard that is missing and a tensor that does not fit are named, each with its file.
"""

import json
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspatio_gym.extras import extra

if TYPE_CHECKING:
    from torch import Tensor, nn

SAFETENSORS, INDEX, PICKLED = ".safetensors", ".safetensors.index.json", (".pt", ".pth")
MAX_HEADER = 100 * 2**20  # what the format itself allows


class WeightsError(ValueError):
    """A weight file that cannot be read, or that does not fit the network."""


def read_header(path: Path) -> dict[str, Any]:
    """What a safetensors file says it holds: name -> {"dtype", "shape", "data_offsets"}; reads the header alone.

    Raises WeightsError if the file is shorter or longer than its header says, or is no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER + 1
        try:
            if length > MAX_HEADER:
                raise ValueError("its header has no sensible length")
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
            raise WeightsError(f"expected a safetensors file, got {path} ({problem}): {_AGAIN}") from None
    if size != end:
        state = "cut off" if size < end else "followed by something else"
        raise WeightsError(
            f"expected {end:,} bytes in {path}, as its header says, got {size:,}: it is {state}; {_AGAIN}"
        )
    return header


_AGAIN = "get it again, `inspatio-gym checkpoints download` resumes what was cut off"


def read_weights(path: str | Path) -> dict[str, "Tensor"]:
    """The tensors of a weight file by name, on the CPU, of the types they were stored in.

    Raises FileNotFoundError for a file or a shard that is not there, WeightsError for one that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a weight file at {path}, which is {'a folder' if path.is_dir() else 'not there'}"
        )
    if path.name.endswith(INDEX):
        weights: dict[str, Tensor] = {}
        for shard in shards(path):
            if not shard.is_file():
                raise FileNotFoundError(
                    f"expected the shard {shard.name} that {path} names, which is missing: {_AGAIN}"
                )
            weights |= read_weights(shard)
        return weights
    with extra("star"):
        import torch
        from safetensors.torch import load_file
    if path.suffix == SAFETENSORS:
        read_header(path)
        return load_file(path)
    if path.suffix in PICKLED:
        try:
            found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except Exception as problem:  # whatever torch makes of a damaged or hostile file
            raise WeightsError(
                f"expected tensors and nothing else in {path}, got {_first_line(problem)}: {_AGAIN}"
            ) from None
        for wrapper in ("state_dict", "model", "generator"):
            if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
                found = found[wrapper]
        if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
            raise WeightsError(f"expected tensors by name in {path}, got {type(found).__name__}")
        return found
    raise WeightsError(f"expected a weight file of {(SAFETENSORS, INDEX, *PICKLED)}, got {path}")


def shards(index: Path) -> list[Path]:
    """The files that the index of a sharded safetensors checkpoint names. Raises WeightsError if it cannot be read."""
    try:
        return [index.parent / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, KeyError, AttributeError, TypeError) as problem:
        raise WeightsError(f"expected an index of safetensors shards, got {index} ({problem!r}): {_AGAIN}") from None


def load_strictly(module: "nn.Module", weights: dict[str, "Tensor"], path: str | Path) -> None:
    """Make `weights` (name -> tensor) the parameters and buffers of `module`, without a copy and with none left over.

    path: where they came from, for the error. Raises WeightsError naming the first tensors that are missing, unexpected or
    of the wrong shape.
    """
    wanted = module.state_dict()
    problems = []
    if missing := [name for name in wanted if name not in weights]:
        problems.append(f"misses {_some(missing)}")
    if unexpected := [name for name in weights if name not in wanted]:
        problems.append(f"has {_some(unexpected)}, which the network does not know")
    wrong = [name for name in wanted if name in weights and weights[name].shape != wanted[name].shape]
    if wrong:
        name = wrong[0]
        problems.append(
            f"has {name} of shape {tuple(weights[name].shape)} where the network has {tuple(wanted[name].shape)}"
            + (f", and {len(wrong) - 1} more of the wrong shape" if len(wrong) > 1 else "")
        )
    if problems:
        raise WeightsError(
            f"expected the weights of {type(module).__name__} in {path}, which {'; '.join(problems)}: "
            "is it another model's file, or of another size?"
        )
    module.load_state_dict(weights, strict=True, assign=True)


def _some(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
