"""What a folder of videos is taken to mean."""

from pathlib import Path

# fmt: off
VIDEOS = frozenset((
    ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv",
    ".ts", ".vob", ".webm", ".wmv", ".y4m",
))
# fmt: on
"""Endings of the files that count as videos in a folder; a file that is named may have any."""


def videos_in(folder: Path) -> list[Path]:
    """The videos in a folder, by name, without hidden ones. Raises ValueError if there are none."""
    found = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in VIDEOS and file.is_file() and not file.name.startswith(".")
    )
    if not found:
        raise ValueError(f"expected videos in the folder {folder}, got none of {', '.join(sorted(VIDEOS))}")
    return found
