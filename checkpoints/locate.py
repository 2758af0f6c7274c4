"""Where weights are on this machine.

    $INSPATIO_GYM_CHECKPOINTS, else ./checkpoints of a source tree, else the user's cache      the checkpoints' folder
      inspatio-1.3b/*.safetensors                                                 1. a checkpoint's own folder
      InSpatio-World-1.3B/InSpatio-World-1.3B.safetensors                         2. where the released project keeps it
    ~/.cache/huggingface/hub                                                      3. what was fetched by other means

The first place that holds all of a checkpoint wins; a download that was broken off is no such place.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

import inspatio_gym
from inspatio_gym.checkpoints.registry import Checkpoint, checkpoint_named
from inspatio_gym.checkpoints.weights import INDEX, SAFETENSORS, WeightsError, shards


class WeightsNotFound(FileNotFoundError):
    """Weights that are needed are not on this machine."""


def checkpoint_folder() -> Path:
    """The folder that weights are read from; it need not exist yet."""
    if chosen := os.environ.get("INSPATIO_GYM_CHECKPOINTS"):
        return Path(chosen).expanduser()
    for root in inspatio_gym.__path__[1:]:
        if (Path(root) / "pyproject.toml").is_file():
            return Path(root) / "checkpoints"
    return platformdirs.user_cache_path("inspatio-gym") / "checkpoints"


def locate(name: str) -> Path:
    """Where the checkpoint `name` is: its weight file if it is a single one, else its folder.

    Raises WeightsNotFound where it is not, or not whole, and ValueError for a name nobody registered.
    """
    checkpoint = checkpoint_named(name)
    looked = []
    for folder in places(checkpoint):
        missing = lacking(checkpoint, folder)
        if not missing:
            return found_in(checkpoint, folder)
        looked.append(f"{folder} ({_state(folder, missing)})")
    raise WeightsNotFound(f"expected the weights {name!r}, got none in {'; '.join(looked)}: {way_out(checkpoint)}")


def present(name: str) -> bool:
    """Whether all of the checkpoint `name` is on this machine. Raises ValueError for a name nobody registered."""
    checkpoint = checkpoint_named(name)
    return any(not lacking(checkpoint, folder) for folder in places(checkpoint))


def own_folder(checkpoint: Checkpoint) -> Path:
    """Where a download of it goes."""
    return checkpoint_folder() / checkpoint.name


def way_out(checkpoint: Checkpoint) -> str:
    """What somebody without these weights can do."""
    get = f"run `inspatio-gym checkpoints download {checkpoint.name}`" if checkpoint.repository else checkpoint.source
    return (
        f"{get}; offline, copy the files into {own_folder(checkpoint)}, "
        f"or set INSPATIO_GYM_CHECKPOINTS to the folder that holds {checkpoint.name}/"
    )


def places(checkpoint: Checkpoint) -> Iterator[Path]:
    """The folders that a checkpoint may be in, best first; they need not exist."""
    yield own_folder(checkpoint)
    if checkpoint.bundled:
        yield Path(__file__).parent / ("" if checkpoint.file else checkpoint.name)
    for folder in checkpoint.released:
        yield checkpoint_folder() / folder
    if cached := _cached(checkpoint):
        yield cached


UNREADABLE = "permission to read it"


def lacking(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """What of a checkpoint is not in `folder`: patterns, or the names of shards."""
    try:
        return _lacking(checkpoint, folder)
    except PermissionError:
        return [UNREADABLE]


def _lacking(checkpoint: Checkpoint, folder: Path) -> list[str]:
    if checkpoint.file:
        files = _weight_files(checkpoint, folder)
        if len(files) > 1:
            return [f"a file {checkpoint.file[0]} to tell which of {', '.join(file.name for file in files)} is meant"]
        return [] if files else [" or ".join(_patterns(checkpoint, folder))]
    missing = []
    for need in checkpoint.needs:
        found = [path for pattern in need.split("|") for path in folder.glob(pattern)]
        if not found:
            missing.append(need.replace("|", " or "))
        missing += [index for path in found if (index := _missing_index(path))]
        for path in folder.glob(f"{need}.index.json"):
            missing += _missing_shards(path)
    return list(dict.fromkeys(missing))


def found_in(checkpoint: Checkpoint, folder: Path) -> Path:
    """The file or folder that a checkpoint is of which `folder` lacks nothing."""
    return _weight_files(checkpoint, folder)[0] if checkpoint.file else folder


def begun(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether `folder` holds anything of a checkpoint."""
    if checkpoint.file:
        return bool(_weight_files(checkpoint, folder))
    return any(any(folder.glob(pattern)) for need in checkpoint.needs for pattern in need.split("|"))


ORIGINAL = ("Wan*_VAE.pth", "models_t5_*.pth")  # what the Wan project itself publishes, in a layout of its own


def expect_diffusers_folder(path: str | Path, subfolder: str) -> Path:
    """The folder of one network, "vae", "text_encoder" or "tokenizer", given it or the one above it, as diffusers has them.

    Raises FileNotFoundError where it is neither, saying what is there.
    """
    path = Path(path)
    marker = "tokenizer.json" if subfolder == "tokenizer" else "config.json"
    if (path / subfolder / marker).is_file():
        return path / subfolder
    found = sorted(file.name for pattern in ORIGINAL for file in path.glob(pattern))
    if not found and (path / marker).is_file():
        return path
    wanted = f"expected {subfolder}/{marker} in {path}, the layout of diffusers"
    get = "run `inspatio-gym checkpoints download wan2.1-diffusers`"
    if found:
        raise FileNotFoundError(f"{wanted}, got {', '.join(found)}, Wan's original layout, which is not read: {get}")
    there = sorted(file.name for file in path.iterdir())[:5] if path.is_dir() else []
    got = ", ".join(there) or ("an empty folder" if path.is_dir() else "no such folder")
    raise FileNotFoundError(f"{wanted}, got {got}: pass the folder of a whole download, or {get}")


def _patterns(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """Of its one file: in a checkpoint's own folder any name will do, elsewhere the released one alone."""
    return [pattern for pattern in checkpoint.file if "*" not in pattern or folder == own_folder(checkpoint)]


def _weight_files(checkpoint: Checkpoint, folder: Path) -> list[Path]:
    """What may be the one file of a checkpoint."""
    for pattern in _patterns(checkpoint, folder):
        if files := sorted(file for file in folder.glob(pattern) if file.is_file()):
            return files
    return []


def _missing_index(shard: Path) -> str | None:
    """The index that a file named like a shard is of no use without."""
    head, numbered, _ = shard.stem.rpartition("-of-")
    index = f"{head.rpartition('-')[0]}{INDEX}"
    return index if numbered and shard.suffix == SAFETENSORS and not (shard.parent / index).is_file() else None


def _state(folder: Path, missing: list[str]) -> str:
    if not folder.is_dir():
        return "no such folder"
    original = missing != [UNREADABLE] and any(any(folder.glob(pattern)) for pattern in ORIGINAL)
    return f"without {', '.join(missing)}" + (", in Wan's original layout, which is not read" if original else "")


def _missing_shards(index: Path) -> list[str]:
    try:
        return [shard.name for shard in shards(index) if not shard.is_file()]
    except WeightsError:
        return [f"a readable {index.name}"]


def _cached(checkpoint: Checkpoint) -> Path | None:
    """The snapshot of its repository in the Hugging Face cache, which may lack files."""
    if checkpoint.repository is None:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:  # then nobody has filled that cache from here
        return None
    file = next(name for name in (*checkpoint.file, *checkpoint.needs) if "*" not in name)
    found = try_to_load_from_cache(checkpoint.repository, file)
    return Path(found).parents[file.count("/")] if isinstance(found, str) else None
