"""Networks that transformers knows, loaded from a folder in the layout of their public repositories.

    folder/config.json         sizes
    folder/*.safetensors       weights, one file or shards with an index; nothing else is read, pickles least of all

Offline, strictly, without anybody's code, and without a progress bar: that belongs to commands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def load_pretrained(cls: Any, folder: str | Path, *, device: "str | torch.device", dtype: "torch.dtype") -> Any:
    """The network of class `cls` (one of transformers') in `folder`, for inference on `device` in `dtype`.

    Raises FileNotFoundError where files are missing, ValueError where weights and configuration do not agree.
    """
    folder = Path(folder)
    require_files(folder, "config.json", "*.safetensors")
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True, "ignore_mismatched_sizes": True}
    with _no_progress_bar():
        network, found = cls.from_pretrained(folder, output_loading_info=True, **options)
    wrong = {kind: found[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if found[kind]}
    if wrong:
        listed = "; ".join(
            f"{len(keys)} {kind.replace('_', ' ')}, {min(map(str, keys))}" for kind, keys in wrong.items()
        )
        raise ValueError(f"expected the weights of a {cls.__name__} in {folder}, got {listed}: download it again")
    return network.to(device).eval().requires_grad_(False)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
