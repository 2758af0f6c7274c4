"""What is freed stays at hand, unless the user said otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from inspatio_gym.star import model
from inspatio_gym.star.memory import KEPT, M_MMAP_THRESHOLD, SETTINGS
from tests.star_worlds import tiny_star

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone is this known")

FAULTS = """
import resource, sys
import torch
from inspatio_gym.star.memory import keep_freed
said = keep_freed()
pages = []
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(int(sys.argv[1]) // 4) for _ in range(4)]
    del tensors
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(said, min(pages[1:]))
"""


def told(**settings: str) -> list[str]:
    """Whether memory is kept, and how many pages were made at least when four times 31 MB were asked for once more."""
    plain = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", FAULTS, str(KEPT[M_MMAP_THRESHOLD] - 2**20)]
    done = subprocess.run(command, env=plain | settings, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.split()


def test_what_was_freed_is_asked_for_without_new_pages():
    said, pages = told()
    assert said == "True"
    assert int(pages) < 100  # of 31,744; left to itself, glibc hands back all of it in most runs


def test_a_world_on_the_cpu_keeps_it(monkeypatch: pytest.MonkeyPatch):
    asked: list[bool] = []
    monkeypatch.setattr(model, "keep_freed", lambda: asked.append(True))
    tiny_star()
    assert asked


@pytest.mark.parametrize("name", SETTINGS[:2])
def test_the_users_word_stands(name):
    assert told(**{name: "65536"})[0] == "False"
