"""The study of tasks: what it keeps, that it goes on, and what it writes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tasks
from benchmarks.tasks import Config, fill, in_words, main, study, table
from inspatio_gym.agents import zoo
from inspatio_gym.agents.policy import load_policy
from inspatio_gym.agents.statistics import bootstrap, bootstrap_nested


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A study of one training, which hardly began."""
    config = Config(task="moment", seeds=1, minutes=1e-4, episodes=2, out=tmp_path_factory.mktemp("studies"))
    study(config, 0)
    return config


def test_a_record_has_every_episode_of_everybody(done: Config):
    record = json.loads(done.record(0).read_text())
    assert (record["env"], record["algo"], record["seed"]) == ("InSpatioMoment-v0", "ppo", 0)
    played = record["played"]["seen"]
    assert list(played) == ["trained policy", "oracle", "visual servo", "random", "hold still"]
    assert all(len(values) == 2 for one in played.values() for values in one.values())
    assert played["oracle"]["success"] == [1.0, 1.0]
    assert load_policy(done.folder / "seed-0")[1].world == record["world"]


def test_a_study_that_is_done_is_not_done_again_and_fills_its_page(done: Config, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(tasks.subprocess, "run", lambda *_, **__: pytest.fail("nothing was left to train"))
    monkeypatch.setattr(zoo, "SHELF", tmp_path / "zoo")
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- results moment-room -->\nstale\n<!-- end of results -->\nAfter.\n")
    main(replace(done, page=page, picture=tmp_path / "curves.png", zoo="tiny"))
    said, text = capsys.readouterr().out, page.read_text()
    assert text.startswith("Before.\n<!-- results moment-room -->\nOne training (ppo, seed 0) in room, ")
    assert text.endswith("<!-- end of results -->\nAfter.\n")
    assert "| oracle | 1.9" in said
    assert "stale" not in text
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    assert zoo.zoo_names() == ["tiny"]
    assert zoo.zoo_record("tiny")["scenes"] == ["room"]
    with pytest.raises(ValueError, match="expected <!-- results goal-room --> and"):
        fill(page, "goal-room", "words")


def test_the_table_has_means_over_trainings(done: Config):
    record = json.loads(done.record(0).read_text())
    other = json.loads(done.record(0).read_text())
    record["played"]["seen"]["oracle"]["return"] = [1.0, 2.0]
    other["played"]["seen"]["oracle"]["return"] = [4.0, 5.0]
    lines = table([one["played"]["seen"] for one in (record, other)])
    assert lines[0] == ["agent", "return", "success", "temporal error", "seeks", "steps"]
    assert lines[2][:3] == ["oracle", "3 [1.25, 4.75]", "1"]
    assert in_words([record, other], done).startswith("2 trainings (ppo, seeds 0, 0) in room")


def test_nested_intervals_tell_of_trainings_and_of_episodes():
    rng = np.random.default_rng(0)
    alike = [rng.normal(0, 1, 100) for _ in range(3)]
    apart = [values + shift for values, shift in zip(alike, (-5, 0, 5), strict=True)]
    mean, low, high = bootstrap_nested(alike)
    assert mean == pytest.approx(np.mean(alike))
    assert 0.5 < (high - low) / np.subtract(*bootstrap(np.concatenate(alike))[:0:-1]) < 3
    wide = bootstrap_nested(apart)
    assert wide.mean == pytest.approx(mean)
    assert wide.low < -4
    assert wide.high > 4
    assert bootstrap_nested([[2.0, 2.0]]) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="one or more groups"):
        bootstrap_nested([])


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="expected a task out of"):
        main(Config(task="lunch"))
