"""Networks that transformers knows, loaded from a folder in the layout of their public repositories.

    folder/config.json         sizes
    folder/*.safetensors       weights, one file or shards with an index; nothing else is read, pickles least of all

Offline, strictly, without anybody's code, and in silence: progress bars belong to commands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspatio_gym.checkpoints.weights import WeightsError, read_header

if TYPE_CHECKING:
    import torch


def require_files(folder: Path, *names: str) -> None:
    """Raise FileNotFoundError unless `folder` has files of all `names`, which may be glob patterns."""
    missing = [name for name in names if not any(folder.glob(name))]
    if missing:
        raise FileNotFoundError(
            f"expected {', '.join(missing)} in {folder}, got {'no such file' if folder.is_dir() else 'no such folder'}: "
            "pass the folder of a whole download"
        )


def best_device() -> str:
    """Where a large network runs best on this machine: a GPU if torch sees one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_pretrained(cls: Any, folder: str | Path, *, device: "str | torch.device", dtype: "torch.dtype") -> Any:
    """The network of class `cls` (one of transformers') in `folder`, for inference on `device` in `dtype`.

    Raises FileNotFoundError where files are missing, WeightsError for weights that are cut off or another network's.
    """
    folder = Path(folder)
    require_files(folder, "config.json", "*.safetensors")
    for file in folder.glob("*.safetensors"):
        read_header(file)  # raises if it was cut off
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True, "ignore_mismatched_sizes": True}
    with silent_transformers():
        network, found = cls.from_pretrained(folder, output_loading_info=True, **options)
    wrong = {kind: found[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if found[kind]}
    if wrong:
        listed = "; ".join(
            f"{len(keys)} {kind.replace('_', ' ')}, {min(map(str, keys))}" for kind, keys in wrong.items()
        )
        raise WeightsError(f"expected the weights of a {cls.__name__} in {folder}, got {listed}: download it again")
    return network.to(device).eval().requires_grad_(False)


@contextmanager
def silent_transformers() -> Iterator[None]:
    """Keep transformers from showing progress bars and from saying which of its backends it takes."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
