"""Weights from the Hugging Face Hub into the checkpoints' folder; what was broken off is resumed."""

import shutil
from pathlib import Path

from inspatio_gym.checkpoints.locate import lacking, own_folder, way_out
from inspatio_gym.checkpoints.registry import Checkpoint
from inspatio_gym.extras import extra


class DownloadError(OSError):
    """Weights could not be fetched."""


def download(checkpoint: Checkpoint) -> Path:
    """Fetch a checkpoint into its own folder, with the Hub's progress bars; returns that folder.

    Raises ValueError where it is not on the Hub, DownloadError where it cannot be had or there is no room for it, and
    MissingExtra without huggingface_hub.
    """
    folder = own_folder(checkpoint)
    if checkpoint.repository is None:
        raise ValueError(
            f"expected a checkpoint on the Hugging Face Hub, got {checkpoint.name!r}: {way_out(checkpoint)}"
        )
    with extra("star"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    _expect_room(checkpoint, folder)
    page = f"https://huggingface.co/{checkpoint.repository}"
    try:
        snapshot_download(checkpoint.repository, allow_patterns=list(checkpoint.fetch), local_dir=folder)
    except GatedRepoError as problem:
        raise DownloadError(
            f"expected access to {page}, which asks for consent: accept its terms there, run `hf auth login` (or set "
            "HF_TOKEN), and try again"
        ) from problem
    except RepositoryNotFoundError as problem:
        raise DownloadError(
            f"expected a repository at {page}, which is not there or not public: look whether it has moved, or log in "
            "with `hf auth login`"
        ) from problem
    except Exception as problem:  # whatever the network does to it
        raise DownloadError(
            f"expected the files of {page}, got {type(problem).__name__} ({_first_line(problem)}): try again, it resumes "
            f"where it broke off; offline, copy the files into {folder}"
        ) from problem
    if missing := lacking(checkpoint, folder):  # the Hub's client takes an old folder for an answer when it is offline
        raise DownloadError(
            f"expected the files of {page}, got a folder {folder} without {', '.join(missing)}: is the network there, and "
            "does the repository still hold them? Try again, it resumes where it broke off"
        )
    return folder


def _expect_room(checkpoint: Checkpoint, folder: Path) -> None:
    """Raise DownloadError unless what is still to come fits on the disk, as far as its size is known."""
    if checkpoint.gigabytes is None:
        return
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    wanted = checkpoint.gigabytes * 1e9 - sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise DownloadError(
            f"expected {wanted / 1e9:.1f} GB free for {checkpoint.name} in {there}, got {free / 1e9:.1f} GB: free some, or "
            "set INSPATIO_GYM_CHECKPOINTS to a folder on another disk"
        )


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [""])[0]
