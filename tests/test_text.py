"""Prompt embeddings: what the encoder reads, zeros after the last token, and that it is loaded only when needed."""

import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
from transformers import UMT5EncoderModel

from inspatio_gym.checkpoints.weights import WeightsError
from inspatio_gym.scenes.cache import cache_root
from inspatio_gym.star.text import TextEncoder, embed

FLOAT = torch.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.text_encoder(tmp_path_factory.mktemp("wan"))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path / "cache"))
    return cache_root()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that encoders are loaded from, as it happens."""
    seen: list[Path] = []
    load = TextEncoder.load.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(
        TextEncoder, "load", classmethod(lambda cls, *a, **k: (seen.append(a[0]), load(cls, *a, **k))[1])
    )
    return seen


def test_what_follows_the_last_token_is_zero_and_the_rest_is_what_a_masked_batch_would_give(folder: Path):
    encoder = TextEncoder.load(folder, dtype=FLOAT, text_len=12)
    embeddings = encoder.encode(["a street", "a street, a car"])
    assert embeddings.shape == (2, 12, 16)
    assert (embeddings[0, :3] != 0).any(-1).all()  # ▁a ▁street </s>
    assert (embeddings[0, 3:] == 0).all()
    ids = torch.tensor([[36, 37, 1] + 9 * [0]])
    network = UMT5EncoderModel.from_pretrained(folder / "text_encoder").eval()
    with torch.no_grad():
        masked = network(input_ids=ids, attention_mask=(ids > 0).long()).last_hidden_state[0, :3]
    torch.testing.assert_close(embeddings[0, :3], masked, atol=1e-5, rtol=1e-5)
    assert TextEncoder.load(folder, text_len=12).encode([""]).dtype == torch.bfloat16


def test_a_longer_prompt_is_cut_and_still_ends_like_one(folder: Path):
    encoder = TextEncoder.load(folder, dtype=FLOAT, text_len=4)
    embeddings = encoder.encode(["a street a street a street", "a street a"])
    assert embeddings.shape == (2, 4, 16)
    assert (embeddings[0] != 0).any(-1).all()
    torch.testing.assert_close(embeddings[0], embeddings[1])  # both are ▁a ▁street ▁a </s>


@pytest.mark.parametrize("same", ["  a\n\tstreet ", "a&nbsp;street", "a&amp;nbsp;street", "\uff41 \uff53treet"])
def test_spaces_escapes_and_forms_of_letters_make_no_difference(folder: Path, same: str):
    encoder = TextEncoder.load(folder, dtype=FLOAT, text_len=8)
    plain, other = encoder.encode(["a street", same])
    assert torch.equal(plain, other)


def test_an_embedding_does_not_depend_on_its_batch(folder: Path):
    encoder = TextEncoder.load(folder, text_len=16)
    assert torch.equal(encoder.encode(["a car", "a street, a street"])[0], encoder.encode(["a car"])[0])


def test_the_encoder_is_loaded_only_for_a_prompt_that_is_new(folder: Path, own_cache: Path, loads: list[Path]):
    first = embed(["a street", "a car", "a street"], folder, text_len=10)
    assert loads == [folder]
    again = embed(["a  car", "a street"], folder, text_len=10)
    assert loads == [folder]
    assert torch.equal(again, first[[1, 0]])
    assert torch.equal(first, TextEncoder.load(folder, text_len=10).encode(["a street", "a car", "a street"]))
    assert sorted(path.suffix for path in own_cache.rglob("*") if path.is_file()) == 2 * [".safetensors"]
    loads.clear()
    embed(["a street", "a bus"], folder, text_len=10)
    embed(["a street"], folder, text_len=11)
    embed(["a street"], folder, dtype=FLOAT, text_len=10)
    assert loads == 3 * [folder]


def test_another_encoder_has_embeddings_of_its_own(folder: Path, own_cache: Path, loads: list[Path], tmp_path: Path):
    embed(["a street"], folder)
    other = tiny_models.text_encoder(tmp_path / "other", text_dim=32)
    assert embed(["a street"], other).shape == (1, 512, 32)
    copy = shutil.copytree(folder, tmp_path / "copy")
    embed(["a street"], copy)
    assert loads == [folder, other]


def test_an_embedding_that_cannot_be_read_is_made_again(folder: Path, own_cache: Path, loads: list[Path]):
    first = embed(["a street"], folder)
    (kept,) = (own_cache / "prompts").iterdir()
    kept.write_bytes(kept.read_bytes()[:50])
    assert torch.equal(embed(["a street"], folder), first)
    assert torch.equal(embed(["a street"], folder), first)
    assert loads == [folder, folder]


def test_a_cache_that_cannot_be_written_costs_time_and_a_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path / "file"))
    assert embed(["a street"], folder).shape == (1, 512, 16)
    assert "cannot be kept" in caplog.text


def test_missing_and_wrong_files_are_named(folder: Path, own_cache: Path, tmp_path: Path):
    with pytest.raises(
        FileNotFoundError, match=r"expected tokenizer/tokenizer.json in .*no such.*checkpoints download"
    ):
        TextEncoder.load(tmp_path / "nowhere")
    broken = shutil.copytree(folder, tmp_path / "broken")
    config = broken / "text_encoder" / "config.json"
    sizes = config.read_text()
    for right, wrong, words in (
        ('"num_layers": 2', '"num_layers": 3', r"UMT5EncoderModel in .*missing keys, encoder.block.2"),
        ('"num_layers": 2', '"num_layers": 1', r"unexpected keys, encoder.block.1"),
        ('"d_ff": 32', '"d_ff": 8', "mismatched keys"),
    ):
        config.write_text(sizes.replace(right, wrong))
        with pytest.raises(WeightsError, match=f"expected the weights of a .*{words}"):
            embed(["a street"], broken)
    config.write_text(sizes)
    files = sorted((broken / "text_encoder").glob("*.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:-10])
    with pytest.raises(WeightsError, match=f"{files[0].name}.* cut off"):
        embed(["a street"], broken)
    for file in files:
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"expected \*.safetensors in .*text_encoder"):
        embed(["a street"], broken)


def test_loading_shows_no_progress_bar(folder: Path, capfd: pytest.CaptureFixture):
    TextEncoder.load(folder)
    assert capfd.readouterr().err == ""
