"""Where weights live: `$INSPATIO_GYM_CHECKPOINTS`, else `./checkpoints` of a source tree, else the user's cache.

No world model that needs weights ships yet; the folder's address is fixed here so that everything later looks in one
place; `inspatio-gym doctor` says which place that is.
"""

import os
from pathlib import Path

import platformdirs

import inspatio_gym


def checkpoint_folder() -> Path:
    """The folder that weights are read from; it need not exist yet."""
    if chosen := os.environ.get("INSPATIO_GYM_CHECKPOINTS"):
        return Path(chosen).expanduser()
    for root in inspatio_gym.__path__[1:]:
        if (Path(root) / "pyproject.toml").is_file():
            return Path(root) / "checkpoints"
    return platformdirs.user_cache_path("inspatio-gym") / "checkpoints"
