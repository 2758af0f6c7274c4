"""Answers through shared memory: what is packed is what is opened, and what does not fit goes as it is."""

from pathlib import Path

import numpy as np
import pytest

from inspatio_gym.envs import ray_mail
from inspatio_gym.envs.ray_mail import Inbox, Outbox, Parcel

pytestmark = pytest.mark.skipif(not ray_mail.SHARED.is_dir(), reason="this system has no files without a disk")


def answer(rows: int) -> dict:
    """Arrays of all kinds and what is no array, of `rows` times 8 kB and a little."""
    generator = np.random.default_rng(rows)
    return {
        "rgb": generator.integers(0, 256, (rows, 8000), np.uint8),
        "odd": generator.random((3, 5)).T[::2],
        "none": np.zeros((0, 4)),
        "final_obs": np.array([None, {"pose": np.arange(7.0)}], object),
        "word": "time limit",
    }


def same(ours: dict, theirs: dict) -> None:
    for key in ("rgb", "odd", "none"):
        assert ours[key].dtype == theirs[key].dtype
        assert np.array_equal(ours[key], theirs[key])
    assert ours["final_obs"][0] is None
    assert (ours["final_obs"][1]["pose"] == theirs["final_obs"][1]["pose"]).all()
    assert ours["word"] == theirs["word"]


def test_what_is_packed_is_what_is_opened_however_large():
    inbox = Inbox()
    outbox = Outbox(inbox.path)
    inbox.hide()
    assert not Path(inbox.path).exists()
    for rows in (20, 10, 200, 20):  # the memory grows when it must
        parcel = outbox.pack(answer(rows))
        assert isinstance(parcel, Parcel)
        assert len(parcel.data) < 2000
        same(inbox.open(parcel), answer(rows))


def test_what_is_small_or_has_no_room_or_goes_to_another_machine_goes_as_it_is(monkeypatch):
    inbox = Inbox()
    outbox, elsewhere = Outbox(inbox.path), Outbox(inbox.path + "-on-another-machine")
    small, large = answer(1), answer(100)
    assert outbox.pack(small) is small
    assert elsewhere.pack(large) is large
    assert inbox.open(large) is large

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ray_mail.os, "posix_fallocate", full)
    assert outbox.pack(large) is large


def test_nothing_is_left_of_an_inbox():
    inbox = Inbox()
    path = Path(inbox.path)
    assert path.exists()
    del inbox
    assert not path.exists()
