"""Weights on disk: found wherever they may be, missed with a way out, and verified without reading them all."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from inspatio_gym.checkpoints import CHECKPOINTS, WeightsNotFound, checkpoint_folder, locate, present
from inspatio_gym.checkpoints.locate import expect_diffusers_folder
from inspatio_gym.checkpoints.registry import Known
from inspatio_gym.cli import main
from inspatio_gym.doctor import _weights

V1, V15 = "InSpatio-World-1.3B.safetensors", "InSpatio-World-1.5-1.3B.safetensors"


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkpoints' folder, and an empty Hugging Face cache."""
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "weights"


def tensors(file: Path, *names: str) -> Path:
    """A safetensors file of small tensors."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.arange(64, dtype=np.float32) for name in names or ("a", "b")}, file)
    return file


def text(file: Path, content: str = "{}") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def diffusers(folder: Path, shards: int = 3) -> Path:
    """A tiny checkpoint in the layout of wan2.1-diffusers, its text encoder in shards."""
    text(folder / "vae/config.json")
    tensors(folder / "vae/diffusion_pytorch_model.safetensors")
    text(folder / "tokenizer/tokenizer.json")
    text(folder / "text_encoder/config.json")
    names = {f"layer.{k}": f"model-{k + 1:05}-of-{shards:05}.safetensors" for k in range(shards)}
    for name, shard in names.items():
        tensors(folder / "text_encoder" / shard, name)
    text(folder / "text_encoder/model.safetensors.index.json", json.dumps({"weight_map": names}))
    return folder


def cut(file: Path, bytes_off: int = 10) -> Path:
    file.write_bytes(file.read_bytes()[:-bytes_off])
    return file


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    _, err = capsys.readouterr()
    assert err.startswith("error: expected ")
    assert err.count("\n") == 1
    return err


# --- the registry


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_checkpoint_says_what_a_user_must_know(name: str):
    checkpoint = CHECKPOINTS[name]
    assert checkpoint.name == name
    assert checkpoint.purpose
    assert checkpoint.licence
    assert bool(checkpoint.file) != bool(checkpoint.needs)  # a file or a folder
    assert bool(checkpoint.repository) != bool(checkpoint.source)
    if checkpoint.repository:
        owner, _, repository = checkpoint.repository.partition("/")
        assert owner
        assert repository
        assert any("*" not in pattern for pattern in checkpoint.file + checkpoint.needs)  # what the cache is asked for
    assert not any(pattern.endswith((".bin", ".pt", "/*.pth")) for pattern in checkpoint.fetch)  # no pickles


@pytest.mark.parametrize("name", [name for name, one in CHECKPOINTS.items() if one.repository])
def test_what_is_fetched_holds_all_that_is_needed(name: str):
    one = CHECKPOINTS[name]
    for needed in (*one.file[:1], *(need.split("|")[0] for need in one.needs)):
        example = needed.replace("*", "model")
        assert any(fnmatch(example, pattern) for pattern in one.fetch), needed


def test_weights_that_forbid_commerce_say_so():
    assert "not for commercial use" in CHECKPOINTS["depth-anything-3-nested-giant"].licence
    assert CHECKPOINTS["depth-anything-3-base"].licence == "Apache-2.0"


# --- where they are


def test_the_environment_names_the_folder_and_a_source_tree_has_one(monkeypatch: pytest.MonkeyPatch, weights: Path):
    assert checkpoint_folder() == weights
    monkeypatch.delenv("INSPATIO_GYM_CHECKPOINTS")
    assert checkpoint_folder().name == "checkpoints"
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", "~/w")
    assert checkpoint_folder() == Path.home() / "w"


def test_a_single_file_is_found_under_any_name_in_its_own_folder(weights: Path):
    assert not present("inspatio-1.3b")
    file = tensors(weights / "inspatio-1.3b/renamed.safetensors")
    assert locate("inspatio-1.3b") == file
    assert present("inspatio-1.3b")


def test_two_generations_in_the_released_folder_are_told_apart(weights: Path):
    later = tensors(weights / "InSpatio-World-1.3B" / V15)
    assert locate("inspatio-1.5-1.3b") == later
    assert not present("inspatio-1.3b")
    first = tensors(weights / "InSpatio-World-1.3B" / V1)
    assert locate("inspatio-1.3b") == first
    assert locate("inspatio-1.5-1.3b") == later


def test_the_own_folder_comes_before_the_released_one_and_both_before_the_hub_cache(weights: Path, tmp_path: Path):
    snapshot = tmp_path / "hub/models--inspatio--world/snapshots/0123abcd"
    text(snapshot.parent.parent / "refs/main", "0123abcd")
    assert tensors(snapshot / V1) == locate("inspatio-1.3b")
    assert tensors(weights / V1) == locate("inspatio-1.3b")
    assert tensors(weights / "InSpatio-World-1.3B" / V1) == locate("inspatio-1.3b")
    assert tensors(weights / "inspatio-1.3b/model.safetensors") == locate("inspatio-1.3b")


def test_a_folder_is_found_in_the_hub_cache_if_it_is_whole(tmp_path: Path):
    snapshot = diffusers(tmp_path / "hub/models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers/snapshots/0123abcd")
    text(snapshot.parent.parent / "refs/main", "0123abcd")
    assert locate("wan2.1-diffusers") == snapshot
    (snapshot / "tokenizer/tokenizer.json").unlink()
    with pytest.raises(WeightsNotFound, match=r"0123abcd \(without tokenizer/tokenizer.json\)"):
        locate("wan2.1-diffusers")


@pytest.mark.parametrize("file", ["taew2_1.pth", "taew2_1.safetensors", "safetensors/taew2_1.safetensors"])
def test_either_format_of_the_tiny_codec_is_found(weights: Path, file: str):
    text(weights / "taehv" / file)
    assert locate("taehv") == weights / "taehv" / file


def test_what_is_not_there_is_missed_with_the_command_the_places_and_the_offline_way(weights: Path):
    with pytest.raises(WeightsNotFound) as error:
        locate("inspatio-1.3b")
    for part in (
        "inspatio-gym checkpoints download inspatio-1.3b",
        f"copy the files into {weights / 'inspatio-1.3b'}",
        "INSPATIO_GYM_CHECKPOINTS",
        f"{weights / 'InSpatio-World-1.3B'} (no such folder)",
    ):
        assert part in str(error.value)
    assert isinstance(error.value, FileNotFoundError)


def test_what_is_not_on_the_hub_is_missed_with_where_it_is():
    with pytest.raises(WeightsNotFound, match=r"https://github.com/madebyollin/taehv"):
        locate("taehv")


def test_several_files_of_other_names_are_not_guessed_among(weights: Path):
    tensors(weights / "inspatio-1.3b/a.safetensors")
    tensors(weights / "inspatio-1.3b/b.safetensors")
    assert not present("inspatio-1.3b")
    with pytest.raises(WeightsNotFound, match=rf"{V1} to tell which of a.safetensors, b.safetensors is meant"):
        locate("inspatio-1.3b")
    assert tensors(weights / "inspatio-1.3b" / V1) == locate("inspatio-1.3b")


def test_a_download_that_was_broken_off_is_not_there(weights: Path):
    folder = diffusers(weights / "wan2.1-diffusers")
    assert locate("wan2.1-diffusers") == folder
    index = folder / "text_encoder/model.safetensors.index.json"
    content = index.read_text()
    index.unlink()
    assert not present("wan2.1-diffusers")  # shards without an index
    index.write_text(content)
    (folder / "text_encoder/model-00002-of-00003.safetensors").unlink()
    assert not present("wan2.1-diffusers")


def test_a_name_nobody_registered():
    with pytest.raises(ValueError, match=r"expected a checkpoint out of .*'taehv'.* got 'taehw'"):
        locate("taehw")


# --- the layout of diffusers


def test_a_diffusers_folder_is_itself_or_the_one_above(tmp_path: Path):
    folder = diffusers(tmp_path / "wan")
    for name in ("vae", "text_encoder", "tokenizer"):
        assert expect_diffusers_folder(folder, name) == folder / name
        assert expect_diffusers_folder(folder / name, name) == folder / name


def test_the_original_layout_is_named_with_the_way_out(tmp_path: Path, weights: Path):
    original = weights / "Wan2.1-T2V-1.3B"
    for name in ("config.json", "Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"):  # its config is the transformer's
        text(original / name)
    with pytest.raises(FileNotFoundError, match=r"got Wan2.1_VAE.pth, .*checkpoints download wan2.1-diffusers"):
        expect_diffusers_folder(original, "vae")
    with pytest.raises(WeightsNotFound, match=r"Wan2.1-T2V-1.3B \(without vae/config.json, .*Wan's original layout"):
        locate("wan2.1-diffusers")


def test_another_folder_is_named_with_what_is_in_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"vae/config.json in .*, got no such folder"):
        expect_diffusers_folder(tmp_path / "nowhere", "vae")
    text(tmp_path / "some" / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"got notes.txt: pass"):
        expect_diffusers_folder(tmp_path / "some", "vae")


# --- the command


def test_list_tells_what_is_here(weights: Path, capsys: pytest.CaptureFixture[str]):
    file = tensors(weights / "inspatio-1.3b" / V1)
    assert main(["checkpoints", "list"]) == 0
    out = capsys.readouterr().out
    assert "ok  inspatio-1.3b  " in out
    assert f"in {file}" in out
    assert "--  wan2.1-diffusers " in out
    assert "CC BY-NC 4.0" in out
    assert "unknown" in out  # sizes that nobody looked up


def test_list_tells_of_a_download_that_was_broken_off(weights: Path, capsys: pytest.CaptureFixture[str]):
    (diffusers(weights / "wan2.1-diffusers") / "text_encoder/model-00003-of-00003.safetensors").unlink()
    assert main(["checkpoints", "list", "wan2.1-diffusers"]) == 0
    assert f"not whole in {weights / 'wan2.1-diffusers'}" in capsys.readouterr().out


def test_path_says_where_it_is_or_would_be(weights: Path, capsys: pytest.CaptureFixture[str]):
    file = tensors(weights / "InSpatio-World-1.3B" / V1)
    assert main(["checkpoints", "path", "inspatio-1.3b", "taehv"]) == 0
    assert capsys.readouterr().out.split() == [str(file), str(weights / "taehv")]


@pytest.mark.parametrize("action", ["download", "path"])
def test_some_actions_need_a_name(action: str, capsys: pytest.CaptureFixture[str]):
    assert main(["checkpoints", action]) == 1
    assert "expected the name of a checkpoint, got none" in said(capsys)


def test_verify_finds_nothing_wrong_with_what_is_whole(weights: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["checkpoints", "verify"]) == 0
    assert capsys.readouterr().out.startswith("ok  depth-small: ")  # comes with the package
    diffusers(weights / "wan2.1-diffusers")
    tensors(weights / "inspatio-1.3b" / V1)
    assert main(["checkpoints", "verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok  inspatio-1.3b",
        "ok  wan2.1-diffusers",
        "ok  depth-small",
        "ok  inspatio-tiny",
    ]


def garble(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"<html>not found</html>")


def drop_tensor(folder: Path) -> None:
    tensors(folder / "text_encoder/model-00002-of-00003.safetensors", "another")


@pytest.mark.parametrize(
    ("damage", "named", "why"),
    [
        (lambda f: cut(f / "vae/diffusion_pytorch_model.safetensors"), "diffusion_pytorch_model", "it is cut off"),
        (
            lambda f: cut(f / "vae/diffusion_pytorch_model.safetensors", 600),
            "diffusion_pytorch_model",
            "safetensors file",
        ),
        (lambda f: cut(f / "text_encoder/model-00001-of-00003.safetensors"), "model-00001-of-00003", "it is cut off"),
        (
            lambda f: (f / "text_encoder/model-00002-of-00003.safetensors").unlink(),
            "model-00002-of-00003",
            "is missing",
        ),
        (
            lambda f: (f / "text_encoder/model.safetensors.index.json").unlink(),
            "model.safetensors.index.json",
            "missing",
        ),
        (lambda f: text(f / "text_encoder/model.safetensors.index.json", '{"we'), "index.json", "readable"),
        (lambda f: (f / "vae/config.json").unlink(), "vae/config.json", "is missing"),
        (lambda f: text(f / "vae/config.json", '{"a'), "vae/config.json", "is no JSON"),
        (garble, "diffusion_pytorch_model", "expected a safetensors file"),
        (drop_tensor, "model-00002-of-00003", "does not hold layer.1"),
    ],
)
def test_verify_names_what_is_wrong(
    weights: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], named: str, why: str
):
    damage(diffusers(weights / "wan2.1-diffusers"))
    assert main(["checkpoints", "verify"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("BAD wan2.1-diffusers: ")]
    assert any(named in line and why in line for line in lines), lines


def test_verify_of_a_name_that_is_not_here(capsys: pytest.CaptureFixture[str]):
    assert main(["checkpoints", "verify", "inspatio-1.3b"]) == 1
    assert "BAD inspatio-1.3b: " in capsys.readouterr().out


def test_verify_knows_length_and_hash_where_they_are_known(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = tensors(weights / "taehv/taew2_1.safetensors")
    size, sha256 = file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()

    def verify(known: Known) -> tuple[int, str]:
        monkeypatch.setitem(CHECKPOINTS, "taehv", replace(CHECKPOINTS["taehv"], known={file.name: known}))
        return main(["checkpoints", "verify", "taehv"]), capsys.readouterr().out

    assert verify(Known(size, sha256))[0] == 0
    status, out = verify(Known(size + 1, sha256))
    assert status == 1
    assert f"expected {size + 1:,} bytes, got {size:,}" in out
    status, out = verify(Known(size, "0" * 64))
    assert status == 1
    assert f"got {sha256}" in out


def test_verify_tells_a_pth_that_was_cut_off(weights: Path, capsys: pytest.CaptureFixture[str]):
    file = weights / "taehv/taew2_1.pth"
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
    assert main(["checkpoints", "verify"]) == 0
    cut(file, 100)
    assert main(["checkpoints", "verify"]) == 1
    assert f"{file}: is cut off" in capsys.readouterr().out


# --- downloads


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A Hub of our own: what it was asked for, and what it does then."""
    fake = SimpleNamespace(asked=[], deed=lambda folder: None)

    def snapshot_download(repo_id: str, *, allow_patterns: list[str], local_dir: Path) -> str:
        fake.asked.append((repo_id, allow_patterns, Path(local_dir)))
        fake.deed(Path(local_dir))
        return str(local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return fake


def test_download_shows_the_licence_fetches_and_verifies(
    weights: Path, hub: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    hub.deed = lambda folder: tensors(folder / V1)
    assert main(["checkpoints", "download", "inspatio-1.3b"]) == 0
    ((repository, patterns, folder),) = hub.asked
    assert (repository, folder) == ("inspatio/world", weights / "inspatio-1.3b")
    assert "*1.3B*.safetensors" in patterns
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["inspatio-1.3b: licence Apache-2.0", f"ok  inspatio-1.3b: {folder}"]
    assert locate("inspatio-1.3b") == folder / V1


def test_download_leaves_out_the_transformer_of_wan(hub: SimpleNamespace):
    hub.deed = diffusers
    assert main(["checkpoints", "download", "wan2.1-diffusers"]) == 0
    assert not any("transformer" in pattern or pattern == "*" for pattern in hub.asked[0][1])


def test_download_of_a_damaged_file_is_told(hub: SimpleNamespace, capsys: pytest.CaptureFixture[str]):
    hub.deed = lambda folder: cut(tensors(folder / V1))
    assert main(["checkpoints", "download", "inspatio-1.3b"]) == 1
    assert "it is cut off" in capsys.readouterr().out


def test_what_is_here_in_another_place_is_not_fetched_again(
    weights: Path, hub: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    tensors(weights / "InSpatio-World-1.3B" / V1)
    assert main(["checkpoints", "download", "inspatio-1.3b"]) == 0
    assert not hub.asked
    assert str(weights / "InSpatio-World-1.3B") in capsys.readouterr().out


def test_offline_is_one_line_with_the_way_out(weights: Path, hub: SimpleNamespace, capsys: pytest.CaptureFixture[str]):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(folder: Path) -> None:
        raise LocalEntryNotFoundError("the Hub cannot be reached\nand more")

    hub.deed = offline
    assert main(["checkpoints", "download", "inspatio-1.3b"]) == 1
    line = said(capsys)
    assert "the Hub cannot be reached" in line
    assert f"copy the files into {weights / 'inspatio-1.3b'}" in line


def test_an_old_folder_is_not_taken_for_a_download(hub: SimpleNamespace, capsys: pytest.CaptureFixture[str]):
    assert main(["checkpoints", "download", "inspatio-1.3b"]) == 1  # the fake Hub brought nothing
    assert f"without {V1}" in said(capsys)


@pytest.mark.parametrize(
    ("error", "why"),
    [("GatedRepoError", "accept its terms there"), ("RepositoryNotFoundError", "whether it has moved")],
)
def test_a_repository_that_is_closed_or_gone(
    hub: SimpleNamespace, capsys: pytest.CaptureFixture[str], error: str, why: str
):
    from huggingface_hub import errors

    def refuse(folder: Path) -> None:
        kind = getattr(errors, error)
        problem = kind.__new__(kind)  # as the Hub's client raises it, without a response to make it from
        Exception.__init__(problem, "401")
        raise problem

    hub.deed = refuse
    assert main(["checkpoints", "download", "florence-2"]) == 1
    line = said(capsys)
    assert why in line
    assert "https://huggingface.co/florence-community/Florence-2-large" in line


def test_no_room_is_found_out_first(
    hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**9))
    assert main(["checkpoints", "download", "wan2.1-diffusers"]) == 1
    assert "expected 23.3 GB free" in said(capsys)
    assert not hub.asked


def test_what_is_not_on_the_hub_is_explained(weights: Path, hub: SimpleNamespace, capsys: pytest.CaptureFixture[str]):
    assert main(["checkpoints", "download", "taehv"]) == 1
    line = said(capsys)
    assert "https://github.com/madebyollin/taehv" in line
    assert str(weights / "taehv") in line
    assert not hub.asked


def test_doctor_tells_of_weights(weights: Path):
    file = tensors(weights / "inspatio-1.3b" / V1)
    found = {name: (here, where) for here, name, where in _weights()}
    assert found["inspatio-1.3b"] == (True, str(file))
    assert found["taehv"] == (False, "not here")


def test_a_folder_that_may_not_be_read_is_as_good_as_none(monkeypatch, tmp_path):
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
    (tmp_path / "florence-2").mkdir()

    def refuse(self, pattern):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "glob", refuse)
    assert not present("florence-2")
    with pytest.raises(WeightsNotFound, match="permission to read it"):
        locate("florence-2")
