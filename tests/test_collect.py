"""Datasets: the same episodes whatever plays them, whole or absent whatever kills it, and readable by their readers."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box

from inspatio_gym.agents.baselines import Random
from inspatio_gym.cli import main
from inspatio_gym.collect.command import collect
from inspatio_gym.collect.config import FORMATS, CollectConfig
from inspatio_gym.collect.episode import Episode, Source
from inspatio_gym.collect.rollout import roll
from inspatio_gym.collect.writing import LEDGER_FILE, QUEUE, Writer
from inspatio_gym.extras import MissingExtra
from inspatio_gym.geometry.logdepth import decode_depth

pq = pytest.importorskip("pyarrow.parquet")
minari = pytest.importorskip("minari")

ROOT = Path(__file__).resolve().parent.parent
SIZE = (48, 80)
RGB = "observation.images.rgb"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> CollectConfig:
    """Seven episodes of up to five steps over two scenes, in all formats."""
    folder = tmp_path_factory.mktemp("scenes")
    write_box(folder / "box")
    write_box(folder / "other", frames=20, name="other", metric=2.0)
    return CollectConfig(
        scene=(str(folder / "box"), str(folder / "other")),
        model="fake",
        size=SIZE,
        episodes=7,
        max_episode_steps=5,
        num_envs=1,
        format=("minari,lerobot", "plain"),
        output=tmp_path_factory.mktemp("collected") / "one",
    )


@pytest.fixture(scope="module")
def one(asked: CollectConfig) -> Path:
    """What a single world makes of it: what all others are compared with."""
    return collect(asked)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def same(folder: Path, other: Path) -> None:
    """Assert that all files are equal: to the bit, but for pictures, where H.264 may round another way now and then."""
    ours, theirs = content(folder), content(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        if ours[name] != theirs[name]:
            assert name.endswith(".mp4"), name
            apart = frames(folder / name, "rgb24").astype(int) - frames(other / name, "rgb24")
            assert np.abs(apart).max() <= 4, name


def steps(folder: Path, index: int) -> dict[str, list]:
    return pq.read_table(folder / f"plain/episode_{index:06d}/steps.parquet").to_pydict()


def frames(path: Path, form: str) -> np.ndarray:
    with av.open(str(path)) as film:
        return np.stack([frame.to_ndarray(format=form) for frame in film.decode(video=0)])


# --- the same episodes, whatever plays them -------------------------------------------------------------------------------


@pytest.mark.parametrize("num_envs", [4, 16])
def test_episodes_do_not_depend_on_the_number_of_worlds(asked, one, tmp_path, num_envs):
    many = collect(replace(asked, num_envs=num_envs, output=tmp_path / "many"))
    same(many, one)


def test_episodes_do_not_depend_on_the_engine(asked, one, tmp_path):
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        many = collect(replace(asked, engine="ray", num_envs=3, num_actors=2, output=tmp_path / "ray"))
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    same(many, one)


def test_another_seed_makes_other_episodes(asked, one, tmp_path):
    other = collect(replace(asked, seed=1, format=("plain",), episodes=2, output=tmp_path / "other"))
    assert steps(other, 0)["action"] != steps(one, 0)["action"]
    seeds = [{line["seed"] for line in described(folder)["episodes"]} for folder in (one, other)]
    assert seeds[0].isdisjoint(seeds[1])


def test_an_episode_is_what_a_single_world_shows_from_its_seed(asked, one, monkeypatch):
    """The first observation is the reset's, the last one the one that ended it, and no row is a reset's."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(one / "minari"))
    dataset = minari.load_dataset("inspatio-v0")
    assert dataset.total_episodes == 7
    lines, ends = described(one)["episodes"], set()
    assert {line["scene"] for line in lines} == {"box", "other"}
    env = dataset.recover_environment()
    for episode, line in zip(dataset.iterate_episodes(), lines, strict=True):
        observation, info = env.reset(seed=line["seed"])
        assert info["scene"] == line["scene"]
        for t, action in enumerate(episode.actions):
            for name, value in observation.items():
                assert np.array_equal(episode.observations[name][t], value)
            assert np.array_equal(episode.infos["c2w"][t], info["c2w"])
            assert episode.infos["coverage"][t] == info["coverage"]
            observation, reward, terminated, truncated, info = env.step(action)
            assert episode.rewards[t] == reward
            assert episode.terminations[t] == terminated
            assert episode.truncations[t] == truncated
        assert terminated or truncated
        ends.add(line["reason"])
        assert all(np.array_equal(episode.observations[name][-1], value) for name, value in observation.items())
        assert len(episode.observations["rgb"]) == len(episode.actions) + 1 == line["steps"] + 1
    assert ends == {"corridor", "time limit"}


class Counting:
    """Worlds that count: from seed s an episode lasts 1 + s % 4 steps, and observation t is s + t / 10. They need their
    reset, and are stepped no further than to their end; in `cursed` ones the third step raises, and is quarantined."""

    def __init__(self, num_envs: int, cursed: tuple[int, ...] = ()):
        self.num_envs, self.cursed = num_envs, cursed
        self.seeds, self.t = np.zeros(num_envs, int), np.full(num_envs, 99)

    def reset(self, *, seed, options):
        chosen = np.flatnonzero(options["reset_mask"])
        assert (self.t[chosen] == 99).all()
        self.seeds[chosen], self.t[chosen] = [seed[k] for k in chosen], 0
        infos = {"scene": np.array(["here"] * self.num_envs, object), "_scene": options["reset_mask"]}
        return {"count": (self.seeds + self.t / 10)[:, None]}, infos | self._infos(range(self.num_envs))

    def step_slots(self, worlds, actions):
        assert (self.t[worlds] < 99).all()
        assert (actions == self.seeds[worlds]).all()
        broken = np.array([self.seeds[k] in self.cursed and self.t[k] == 2 for k in worlds])
        self.t[worlds] += ~broken
        observations, infos = {"count": (self.seeds + self.t / 10)[worlds, None]}, self._infos(worlds)
        infos["_t"] = ~broken
        infos |= {
            "truncated_reason": np.array(["quarantined: a pity"] * len(worlds), object),
            "_truncated_reason": broken,
        }
        ended = self.t[worlds] >= 1 + self.seeds[worlds] % 4
        results = observations, self.t[worlds] * 1.0, ended & ~broken, broken, infos
        self.t[np.array(worlds)[ended | broken]] = 99
        return results

    def _infos(self, worlds):
        return {"t": self.t[list(worlds)] * 1.0, "_t": np.ones(len(worlds), bool)}


class Echo:
    """Acts its seed."""

    def begin(self, seeds):
        (self.seed,) = seeds

    def act(self, observations, infos):
        assert observations["count"].shape == (1, 1)
        return np.array([self.seed])


@pytest.mark.parametrize("num_envs", [1, 2, 5, 12])
def test_every_transition_is_there_once_and_in_its_place(num_envs):
    seeds = [7, 3, 11, 2, 8, 0, 15, 6, 1, 4, 9, 5]
    episodes = list(roll(Counting(num_envs), [Echo() for _ in range(num_envs)], seeds))
    assert [episode.index for episode in episodes] == list(range(12))
    for episode, seed in zip(episodes, seeds, strict=True):
        count = 1 + seed % 4
        assert episode.observations["count"][:, 0].tolist() == [seed + t / 10 for t in range(count + 1)]
        assert episode.actions.tolist() == [seed] * count
        assert episode.rewards.tolist() == list(range(1, count + 1))
        assert episode.terminations.tolist() == [False] * (count - 1) + [True]
        assert not episode.truncations.any()
        assert episode.infos["t"].tolist() == list(range(count + 1))


def test_a_step_in_which_a_world_has_raised_is_no_transition():
    episodes = list(roll(Counting(2, cursed=(3, 7)), [Echo(), Echo()], [2, 3, 7, 11]))
    assert [len(episode) for episode in episodes] == [3, 2, 2, 4]
    assert [episode.reason for episode in episodes] == ["", "quarantined: a pity", "quarantined: a pity", ""]
    assert episodes[1].observations["count"][:, 0].tolist() == [3, 3.1, 3.2]
    assert episodes[1].truncations.tolist() == [False, True]
    assert not episodes[1].terminated


@pytest.mark.parametrize("control", ["discrete", "rotation"])
@pytest.mark.parametrize("policy", ["scripted:look-around", "scripted:hold-still"])
def test_scripted_policies_act(asked, tmp_path, policy, control):
    config = replace(asked, policy=policy, control=control, episodes=3, num_envs=2, output=tmp_path / "scripted")
    folder = collect(config)
    alone = collect(replace(config, num_envs=1, output=tmp_path / "alone"))
    same(folder, alone)
    actions = np.array([action for action in steps(folder, 0)["action"][:-1]])
    assert (actions != actions.flat[0]).any() == (policy == "scripted:look-around")


def test_a_trained_policy_acts_in_its_own_world(asked, tmp_path):
    torch = pytest.importorskip("torch")
    from inspatio_gym.agents.policy import make_policy, save_policy
    from tests.test_agents_policy import make_card

    card = make_card("recurrent-ppo")
    torch.manual_seed(0)
    save_policy(tmp_path / "run" / "policy.safetensors", make_policy(card), card)
    config = CollectConfig(
        policy=str(tmp_path / "run"), scene=asked.scene, episodes=4, num_envs=3, output=tmp_path / "trained"
    )
    folder = collect(config)
    alone = collect(replace(config, num_envs=1, output=tmp_path / "alone"))
    same(folder, alone)
    assert described(folder)["world"]["size"] == list(card.world["size"])
    assert described(folder)["policy"].startswith("recurrent-ppo ")
    with pytest.raises(ValueError, match="expected the policy's own world"):
        collect(replace(config, size=(64, 64), output=tmp_path / "other"))


# --- whole or absent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_episode_that_some_format_has_not_written_is_written_again(asked, one, tmp_path, monkeypatch, form, when):
    config = replace(asked, output=tmp_path / "resumed", num_envs=2)
    module, name = FORMATS[form].split(":")
    kind = getattr(importlib.import_module(module), name)
    whole = kind.write

    def write(self, episode):
        if episode.index == 3 and when == "before":
            raise OSError("the disk is full")
        whole(self, episode)
        if episode.index == 3:
            raise OSError("the disk is full")

    monkeypatch.setattr(kind, "write", write)
    with pytest.raises(OSError, match="disk is full"):
        collect(config)
    assert json.loads((config.output / LEDGER_FILE).read_text())["written"] == 3
    monkeypatch.setattr(kind, "write", whole)
    (config.output / "plain" / ".episode_000009.1.partial").mkdir(parents=True)  # as a kill leaves it
    collect(replace(config, num_envs=3))
    same(config.output, one)


def test_kill_9_and_the_same_command_again(asked, tmp_path, monkeypatch):
    many = replace(asked, episodes=40, format=("plain,lerobot,minari",), num_envs=3)
    expected = collect(replace(many, output=tmp_path / "whole"))
    folder = tmp_path / "killed"
    options = ["--scene", *asked.scene, "--model", "fake", "--size", *map(str, SIZE), "--episodes", "40"]
    options += ["--max-steps", "5", "--num-envs", "3", "--output", str(folder)]
    options += ["--format", "minari", "lerobot", "plain"]
    command = [sys.executable, "-m", "inspatio_gym.cli", "collect", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    child = subprocess.Popen(command, env=environment, cwd=tmp_path)
    until = time.monotonic() + 60
    while not (folder / "plain" / "episode_000002").is_dir():
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    ledger = json.loads((folder / LEDGER_FILE).read_text())
    assert 2 <= ledger["written"] < 40
    assert not ledger["finished"]
    for index in range(ledger["written"]):
        assert len(steps(folder, index)["step"]) == len(frames(folder / f"plain/episode_{index:06d}/rgb.mp4", "rgb24"))
    assert main(["collect", *options]) == 0
    same(folder, expected)


def test_ctrl_c_leaves_a_dataset_that_can_be_read_and_gone_on_with(asked, one, tmp_path, monkeypatch, capsys):
    config = replace(asked, output=tmp_path / "stopped")
    act, calls = Random.act, []

    def interrupted(self, observations, infos):
        calls.append(None)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return act(self, observations, infos)

    monkeypatch.setattr(Random, "act", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"stopped after [2-6] of 7 episodes; the same command goes on"):
        collect(config)
    written = json.loads((config.output / LEDGER_FILE).read_text())["written"]
    assert minari.MinariDataset(config.output / "minari/inspatio-v0/data").total_episodes == written
    assert len(described(config.output)["episodes"]) == written
    collect(config)
    same(config.output, one)


def test_more_episodes_are_added_and_fewer_refused(asked, one, tmp_path, capsys):
    config = replace(asked, episodes=4, output=tmp_path / "growing")
    collect(config)
    with pytest.raises(ValueError, match="expected --episodes of 4 or more"):
        collect(replace(config, episodes=3))
    collect(replace(config, episodes=7))
    same(config.output, one)
    capsys.readouterr()
    collect(replace(config, episodes=7))
    assert "all 7 episodes are there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"seed": 1}, "seed 0, got 1"),
        ({"policy": "scripted:hold-still"}, "policy 'random', got 'scripted:hold-still'"),
        ({"max_episode_steps": 6}, "max_episode_steps 5, got 6"),
        ({"format": ("plain",)}, "format .*'minari'.*, got .'plain'."),
    ],
)
def test_other_arguments_are_refused_in_the_same_folder(asked, one, changes, why):
    before = content(one)
    with pytest.raises(ValueError, match=f"was begun with, {why}: run the same command again"):
        collect(replace(asked, **changes))
    assert content(one) == before


def test_a_folder_of_something_else_is_left_alone(asked, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="which holds something else"):
        collect(replace(asked, output=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / LEDGER_FILE).write_text('{"schema": "of next year"}')
    with pytest.raises(ValueError, match="expected a collection of this version"):
        collect(replace(asked, output=tmp_path))


# --- the thread that writes -----------------------------------------------------------------------------------------------


def test_a_slow_disk_holds_up_the_worlds():
    gate, written = threading.Event(), []

    def slow(episode):
        gate.wait(10)
        written.append(episode)

    put = []

    def produce():
        with Writer(slow) as writer:
            for k in range(20):
                writer.put(k)  # type: ignore[arg-type]
                put.append(k)

    producer = threading.Thread(target=produce)
    producer.start()
    time.sleep(0.3)
    assert len(put) == QUEUE + 1  # the queue, and one in hand
    gate.set()
    producer.join(10)
    assert written == list(range(20))


def test_what_goes_wrong_while_writing_reaches_the_caller_and_nothing_hangs():
    written = []

    def broken(episode):
        if episode == 2:
            raise OSError("the disk is full")
        written.append(episode)

    def produce():
        with Writer(broken) as writer:
            for k in range(100):
                writer.put(k)  # type: ignore[arg-type]

    with pytest.raises(OSError, match="disk is full"):
        produce()
    assert written == [0, 1]


# --- formats --------------------------------------------------------------------------------------------------------------


def described(folder: Path) -> dict:
    return json.loads((folder / "plain/dataset.json").read_text())


def test_plain_files_say_what_minari_says(one):
    truth = minari.MinariDataset(one / "minari/inspatio-v0/data")
    for index, episode in enumerate(truth.iterate_episodes()):
        rows, folder = steps(one, index), one / f"plain/episode_{index:06d}"
        assert np.array_equal(np.array(rows["pose"], np.float32), episode.observations["pose"])
        assert np.array_equal(np.array(rows["action"][:-1], np.float32), episode.actions)
        assert rows["action"][-1] is None
        assert rows["reward"] == [*episode.rewards.tolist(), None]
        assert rows["truncated"] == [*episode.truncations.tolist(), None]
        assert np.array_equal(np.array(rows["info.c2w"]).reshape(-1, 4, 4), episode.infos["c2w"])
        depth = decode_depth(frames(folder / "depth.mkv", "gray16le"))[..., None]
        assert depth == pytest.approx(episode.observations["depth"], rel=1.1e-4)
        rgb = frames(folder / "rgb.mp4", "rgb24").astype(int)
        assert rgb.shape == episode.observations["rgb"].shape
        assert np.abs(rgb - episode.observations["rgb"]).mean() < 4


def test_the_lerobot_layout_says_what_minari_says(one):
    """By the rules of version 3.0: info.json leads to everything else."""
    folder = one / "lerobot"
    truth = minari.MinariDataset(one / "minari/inspatio-v0/data")
    info = json.loads((folder / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["total_episodes"] == 7
    assert info["splits"] == {"train": "0:7"}
    records = [
        row
        for file in sorted((folder / "meta/episodes").glob("*/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    assert [record["episode_index"] for record in records] == list(range(7))
    numbers = {name for name, each in info["features"].items() if each["dtype"] != "video"}
    index, everything = 0, []
    for record, episode in zip(records, truth.iterate_episodes(), strict=True):
        place = {"chunk_index": record["data/chunk_index"], "file_index": record["data/file_index"]}
        table = pq.read_table(folder / info["data_path"].format(**place))
        assert set(table.column_names) == numbers
        for name in numbers:
            each, column = info["features"][name], table[name].to_pylist()
            assert all(np.shape(value) == (tuple(each["shape"]) if each["shape"] != [1] else ()) for value in column)
            wanted = table.schema.field(name).type
            assert str(getattr(wanted, "value_type", wanted)).replace("float", "float32") == each["dtype"]
        rows = table.to_pydict()
        count = len(episode.actions)
        assert record["length"] == count == len(rows["index"])
        assert rows["index"] == list(range(index, index + count))
        assert (record["dataset_from_index"], record["dataset_to_index"]) == (index, index + count)
        assert np.array_equal(np.array(rows["action"], np.float32), episode.actions)
        state = np.concatenate([episode.observations["pose"], episode.observations["time"]], 1)[:-1]
        assert np.array_equal(np.array(rows["observation.state"], np.float32), state)
        assert rows["next.reward"] == episode.rewards.astype(np.float32).tolist()
        assert rows["next.done"] == [False] * (count - 1) + [True]
        assert rows["timestamp"] == [pytest.approx(t / info["fps"]) for t in range(count)]
        place = {part: record[f"videos/{RGB}/{part}"] for part in ("chunk_index", "file_index")}
        film = folder / info["video_path"].format(video_key=RGB, **place)
        rgb = frames(film, "rgb24").astype(int)
        assert rgb.shape == (count, *info["features"][RGB]["shape"])
        assert np.abs(rgb - episode.observations["rgb"][:-1]).mean() < 4
        with av.open(str(film)) as opened:
            assert [frame.time for frame in opened.decode(video=0)] == rows["timestamp"]
        assert record[f"videos/{RGB}/to_timestamp"] == count / info["fps"]
        index += count
        everything.append((rows, episode))
    assert info["total_frames"] == index
    stats = json.loads((folder / "meta/stats.json").read_text())
    assert set(stats) == set(info["features"])
    actions = np.concatenate([episode.actions for _, episode in everything]).astype(np.float64)
    assert np.array(stats["action"]["mean"]) == pytest.approx(actions.mean(0))
    assert np.array(stats["action"]["std"]) == pytest.approx(actions.std(0))
    assert np.array(stats["action"]["max"]) == pytest.approx(actions.max(0))
    pictures = np.concatenate([episode.observations["rgb"][:-1] for _, episode in everything]) / 255
    assert np.array(stats[RGB]["mean"]).shape == (3, 1, 1)
    share = [len(episode.actions) / index for _, episode in everything]
    assert sum(share) == pytest.approx(1)
    assert np.array(stats[RGB]["mean"])[:, 0, 0] == pytest.approx(pictures.mean((0, 1, 2)))
    assert np.array(stats[RGB]["std"])[:, 0, 0] == pytest.approx(pictures.std((0, 1, 2)))


def test_pandas_finds_the_tasks_as_lerobot_does(one):
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(one / "lerobot/meta/tasks.parquet")
    assert tasks.iloc[0].name == "explore"
    assert int(tasks.loc["explore"].task_index) == 0


def test_what_a_task_adds_is_written_too(tmp_path):
    """A goal picture, a map, some numbers, one number; discrete actions; a terminated episode."""
    draw = np.random.default_rng(0)
    box = gym.spaces.Box
    spaces = {
        "rgb": box(0, 255, (32, 48, 3), np.uint8),
        "goal": box(0, 255, (16, 16, 3), np.uint8),
        "depth": box(0, 10, (32, 48, 1), np.float32),
        "pose": box(-1, 1, (7,), np.float32),
        "time": box(-1, 1, (2,), np.float32),
        "bearing": box(-1, 1, (3,), np.float32),
        "left": box(0, 1, (1,), np.float32),
    }
    world = {"id": "InSpatio-v0", "max_episode_steps": 9, "scene": ["room"], "task": "find", "control": "discrete"}
    source = Source(world, gym.spaces.Dict(spaces), gym.spaces.Discrete(4), ("a", "b", "c", "d"), 2, "random")
    seen = {
        name: draw.integers(0, 256, (4, *space.shape)).astype(np.uint8)
        if space.dtype == np.uint8
        else draw.uniform(0.1, 1, (4, *space.shape)).astype(np.float32)
        for name, space in spaces.items()
    }
    actions, rewards = np.array([3, 0, 2]), np.array([0.0, 0.5, 1.0])
    episode = Episode(0, 5, "room", seen, actions, rewards, True, False, "", {"coverage": np.linspace(0, 1, 4)})
    for name, home in FORMATS.items():
        module, kind = home.split(":")
        form = getattr(importlib.import_module(module), kind)(tmp_path / name, source)
        form.write(episode)
        form.finish(1)
    (read,) = minari.MinariDataset(tmp_path / "minari/inspatio-v0/data").iterate_episodes()
    assert all(np.array_equal(read.observations[name], value) for name, value in seen.items())
    assert read.actions.tolist() == actions.tolist()
    assert read.terminations.tolist() == [False, False, True]
    assert read.infos["coverage"].tolist() == np.linspace(0, 1, 4).tolist()
    table = pq.read_table(tmp_path / "lerobot/data/chunk-000/file-000.parquet").to_pydict()
    assert table["action"] == actions.tolist()
    assert np.array_equal(np.array(table["observation.bearing"], np.float32), seen["bearing"][:-1])
    assert table["observation.left"] == seen["left"][:-1, 0].tolist()
    assert len(frames(tmp_path / "lerobot/videos/observation.images.goal/chunk-000/file-000.mp4", "rgb24")) == 3
    assert len(frames(tmp_path / "plain/episode_000000/goal.mp4", "rgb24")) == 4
    rows = pq.read_table(tmp_path / "plain/episode_000000/steps.parquet").to_pydict()
    assert rows["action"] == [3, 0, 2, None]
    assert rows["terminated"] == [False, False, True, None]


# --- the command ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--format", "hdf5"], "expected --format as distinct ones out of"),
        (["--format", "plain,plain"], "expected --format as distinct ones out of"),
        (["--episodes", "0"], "expected --episodes of 1 to 1,000,000, got 0"),
        (["--num-envs", "0"], "expected --num-envs of 1 or more, got 0"),
        (["--seed", "1000"], "expected --seed from 0 to 999, got 1000"),
        (["--policy", "scripted:dance"], "expected a script out of ['look-around', 'hold-still'], got 'dance'"),
        (
            ["--policy", "runs/none"],
            "expected a policy out of random, scripted:look-around, scripted:hold-still, or the",
        ),
        (["--scene", "nowhere"], "expected"),
    ],
)
def test_what_no_dataset_can_be_made_of_is_one_line(options, why, tmp_path, capsys):
    assert main(["collect", "--model", "fake", "--output", str(tmp_path / "new"), *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: expected ")
    assert why in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_package_is_an_error_that_names_the_extra(form, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("inspatio_gym.collect.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingExtra, match=r"'pyarrow', which is not installed: pip install \"inspatio-gym\[datasets\]\""
    ):
        importlib.import_module(FORMATS[form].split(":")[0])


def test_the_modules_above_the_formats_are_light(tmp_path):
    code = (
        "import sys, inspatio_gym.collect.config, inspatio_gym.collect.rollout\n"
        "print(sorted({'torch', 'ray', 'pyarrow', 'minari', 'stable_baselines3'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
