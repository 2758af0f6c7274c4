"""Files that are whole or not there, and that whoever may read the folder may read."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from inspatio_gym.files import written_whole


def test_what_fails_while_it_is_written_leaves_what_was_there(tmp_path: Path):
    file = tmp_path / "deeper" / "a.json"
    for text in ("old", "new"):
        with written_whole(file) as partial:
            partial.write_text(text)
            assert file.exists() is (text == "new")
        assert file.read_text() == text

    def failing() -> None:
        with written_whole(file) as partial:
            partial.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        failing()
    with pytest.raises(FileNotFoundError), written_whole(file):
        pass
    assert {path.name: path.read_text() for path in file.parent.iterdir()} == {"a.json": "new"}


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_others_may_read_what_they_could_have_read_of_any_file(tmp_path: Path, mask: int):
    """Weights are shared; the library that writes them leaves files to their owner alone."""
    before = os.umask(mask)
    try:
        with written_whole(tmp_path / "a.safetensors") as partial:
            save_file({"a": np.zeros(3)}, partial)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o666 & ~mask
