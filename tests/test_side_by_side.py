"""Stages of a training in processes of their own: their order, their GPUs, their failures, their end."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from inspatio_gym.training.world import side_by_side as side_by_side_module
from inspatio_gym.training.world.side_by_side import side_by_side

NEEDS = {"first": (), "left": ("first",), "right": ("first",), "last": ("left", "right")}


def note(folder: Path, what: str) -> None:
    (folder / f"{time.monotonic():020.6f} {what} {os.environ['CUDA_VISIBLE_DEVICES']}").touch()


def noted(folder: Path) -> list[list[str]]:
    """Words of all notes in the order of time, without that."""
    return [path.name.split()[1:] for path in sorted(folder.iterdir())]


def work(folder: Path, broken: str, name: str) -> None:
    note(folder, f"begins {name}")
    if name == broken:
        sys.exit(3)
    others = {"left": "right", "right": "left"}
    # Each of the two in the middle waits for the other: one after another they would wait in vain.
    while name in others and not any(words[:2] == ["begins", others[name]] for words in noted(folder)):
        time.sleep(0.01)
    note(folder, f"ends {name}")


def spare(folder: Path) -> None:
    for_ever(folder, "spare")


def for_ever(folder: Path, name: str) -> None:
    note(folder, f"begins {name}")
    try:
        time.sleep(600)
    finally:
        note(folder, f"ends {name}")


class Deaf:
    """While it is done away with, no exception gets out."""

    def __del__(self) -> None:
        time.sleep(600)


def deaf(folder: Path, times: int) -> None:
    """A spare that does not hear the first so many signals."""
    note(folder, "begins spare")
    for _ in range(times):
        Deaf()
        note(folder, "goes on")
    time.sleep(600)


def until(folder: Path, what: str, name: str) -> None:
    while not any(words[0] == what for words in noted(folder)):
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("times", "heard"), [(1, 1), (9, side_by_side_module.ASKED)])
def test_a_spare_that_does_not_hear_that_it_is_to_end_is_asked_again_and_killed_at_last(
    times: int, heard: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(side_by_side_module, "GRACE_S", 1.5)  # time for a busy machine to go on
    work = partial(until, tmp_path, "begins")
    side_by_side(["one", "two"], {"one": (), "two": ("one",)}, (0, 1), work, partial(deaf, tmp_path, times), ())
    assert [words[:2] for words in noted(tmp_path)][1:] == [["goes", "on"]] * heard


@pytest.mark.slow
def test_a_stage_begins_once_those_it_needs_have_ended_and_each_has_a_gpu_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-a,7")
    needs, waiting = {**NEEDS, "very last": ("last",)}, ("left", "right")
    side_by_side(list(needs), needs, (0, 1), partial(work, tmp_path, ""), partial(spare, tmp_path), waiting)
    told = re.findall(r"^(.*) (begins|ends) on GPU (\S+), \d+ s after the begin$", capfd.readouterr().out, re.M)
    assert [who for who, what, _ in told if what == "ends"][::4] == ["first", "very last"]
    assert len(told) == 2 * len(needs)
    words = noted(tmp_path)
    where = {(what, " ".join(name)): place for place, (what, *name, _) in enumerate(words)}
    gpu = {name: number for _, *name, number in words for name in [" ".join(name)]}
    for name, needed in needs.items():
        assert all(where["ends", other] < where["begins", name] for other in needed)
    assert {gpu["left"], gpu["right"]} == {gpu["last"], gpu["spare"]} == {"5", "GPU-a"}
    assert where["ends", "right"] < where["begins", "spare"] < where["ends", "spare"]


def test_a_gpu_that_is_not_to_be_seen_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with pytest.raises(ValueError, match="expected GPUs among the 1 of CUDA_VISIBLE_DEVICES=5, numbered from 0, got 1"):
        side_by_side(list(NEEDS), NEEDS, (0, 1), partial(work, tmp_path, ""), partial(spare, tmp_path), ())


@pytest.mark.slow
def test_a_stage_that_fails_stops_those_that_need_it_alone(tmp_path: Path):
    needs = {"first": (), "beside": ("first",), "last": ("beside",), "broken": ("first",), "after": ("broken",)}
    with pytest.raises(RuntimeError, match=r"failures of \['broken'\].*not begun: \['after'\]"):
        side_by_side(list(needs), needs, (0,), partial(work, tmp_path, "broken"), partial(spare, tmp_path), ("after",))
    assert [name for what, name, _ in noted(tmp_path) if what == "ends"] == ["first", "beside", "last"]


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from tests.test_side_by_side import for_ever, spare
from inspatio_gym.training.world.side_by_side import side_by_side

if __name__ == "__main__":
    needs, folder = {"one": (), "two": ("one",)}, Path(sys.argv[1])
    side_by_side(list(needs), needs, (0, 1), partial(for_ever, folder), partial(spare, folder), ())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_end_with_the_one_that_began_them(number: int, tmp_path: Path):
    file, notes = tmp_path / "program.py", tmp_path / "notes"
    file.write_text(PROGRAM)
    notes.mkdir()
    root = Path(__file__).parents[1]
    process = subprocess.Popen([sys.executable, str(file), str(notes)], env=os.environ | {"PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while len(noted(notes)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.wait(60)
    assert sorted(words[:2] for words in noted(notes)) == [
        ["begins", "one"],
        ["begins", "spare"],
        ["ends", "one"],
        ["ends", "spare"],
    ]
