"""`model="inspatio-1.3b"` from files in the released layout, as small as the classes allow; and what is said of bad ones."""

import shutil
import struct
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from gymnasium.utils.env_checker import check_env
from safetensors.torch import load_file, save_file

from inspatio_gym.checkpoints.weights import WeightsError
from inspatio_gym.scenes import load_scene
from inspatio_gym.star.release import load_release
from inspatio_gym.world import load_model
from tests.star_worlds import SIZE, tiny_codec, tiny_dit
from tests.tiny_models import text_encoder

NAME, TEXT_DIM = "inspatio-1.3b", 16
OBSERVED = {"scene": "room", "size": (32, 48)}


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A checkpoints' folder with a transformer, TAEHV, and text encoder and VAE in the layout of diffusers."""
    root = tmp_path_factory.mktemp("released")
    dit = tiny_dit(dim=128, num_heads=1, text_dim=TEXT_DIM, text_len=512)
    (root / NAME).mkdir()
    save_file({f"model.{k}": v for k, v in dit.state_dict().items()}, root / NAME / "InSpatio-World-1.3B.safetensors")
    (root / "taehv").mkdir()
    save_file(tiny_codec().network.state_dict(), root / "taehv" / "taew2_1.safetensors")
    wan = text_encoder(root / "wan2.1-diffusers", text_dim=TEXT_DIM)
    torch.manual_seed(0)
    AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).save_pretrained(wan / "vae")
    return root


@pytest.fixture
def checkpoints(released, tmp_path, monkeypatch) -> Path:
    """A copy of it to spoil, which is where weights are looked for."""
    root = Path(shutil.copytree(released, tmp_path / "checkpoints"))
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(root))
    return root


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.filterwarnings("ignore:.*not within the observation space")
@pytest.mark.parametrize("codec", ["taehv", "vae"])
def test_the_environment_steps_the_released_model(codec):
    model = load_model(NAME, render_size=SIZE, encoder=codec, decoder=codec)
    env = gym.make("InSpatio-v0", model=model, **OBSERVED)
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.usefixtures("checkpoints")
def test_by_name_and_by_itself_it_is_the_same_world():
    frames = []
    for model in (NAME, load_model(NAME, render_size=SIZE)):
        env = gym.make("InSpatio-v0", model=model, render_size=SIZE, **OBSERVED)
        env.reset(seed=3)
        frames.append(env.step(np.zeros(7, np.float32))[0]["rgb"])
    np.testing.assert_array_equal(frames[0], frames[1])


@pytest.mark.usefixtures("checkpoints")
def test_taehv_is_taken_where_it_is_and_the_prompt_replaces_the_caption():
    model = load_release(NAME, SIZE, prompt="a street")
    assert (model.encoder.name, model.decoder.name) == ("taehv", "taehv")
    room = load_scene("room")
    assert model.session(room, 0).caption == "a street"
    assert load_release(NAME, SIZE).session(room, 0).caption == room.caption
    mixed = load_release(NAME, SIZE, encoder="vae", decoder="taehv")
    assert (mixed.encoder.name, mixed.decoder.name) == ("wan-vae", "taehv")
    assert len({model.digest, mixed.digest, load_release(NAME, SIZE, dtype="bfloat16").digest}) == 3


def test_without_taehv_it_is_the_vae(checkpoints):
    shutil.rmtree(checkpoints / "taehv")
    assert load_release(NAME, SIZE).encoder.name == "wan-vae"


@pytest.mark.parametrize(
    ("gone", "named"),
    [(NAME, NAME), ("wan2.1-diffusers", "wan2.1-diffusers"), ("wan2.1-diffusers/vae", "wan2.1-diffusers")],
)
def test_missing_weights_name_the_command(checkpoints, gone, named):
    shutil.rmtree(checkpoints / gone)
    with pytest.raises(FileNotFoundError, match=f"inspatio-gym checkpoints download {named}"):
        gym.make("InSpatio-v0", model=NAME, **OBSERVED)


def test_a_transformer_of_the_wrong_shape_is_named(checkpoints):
    file = checkpoints / NAME / "InSpatio-World-1.3B.safetensors"
    weights = load_file(file)
    weights["model.blocks.1.ffn.2.weight"] = weights["model.blocks.1.ffn.2.weight"][:, :-1].contiguous()
    save_file(weights, file)
    with pytest.raises(WeightsError, match=rf"{file}.*blocks.1.ffn.2.weight of shape \(128, 31\)"):
        gym.make("InSpatio-v0", model=NAME, **OBSERVED)


@pytest.mark.parametrize(
    "name",
    [f"{NAME}/InSpatio-World-1.3B.safetensors", "taehv/taew2_1.safetensors", "wan2.1-diffusers/vae/*.safetensors"],
)
def test_a_truncated_file_is_named(checkpoints, name):
    (file,) = checkpoints.glob(name)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=rf"{file}.*cut off"):
        load_release(NAME, SIZE, encoder="vae", decoder="taehv")


def test_a_truncated_shard_of_the_text_encoder_is_named(checkpoints):
    shard = sorted((checkpoints / "wan2.1-diffusers/text_encoder").glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-10])
    model = load_release(NAME, SIZE, prompt="words that nobody has had encoded yet")
    with pytest.raises(WeightsError, match=rf"{shard}.*cut off"):
        gym.make("InSpatio-v0", model=model, **OBSERVED).reset(seed=0)


def test_a_missing_shard_is_named(checkpoints):
    shard = sorted((checkpoints / "wan2.1-diffusers/text_encoder").glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=rf"without {shard.name}.*checkpoints download wan2.1-diffusers"):
        gym.make("InSpatio-v0", model=NAME, **OBSERVED)


def test_a_file_of_another_kind_is_named(checkpoints):
    file = checkpoints / NAME / "InSpatio-World-1.3B.safetensors"
    file.write_bytes(struct.pack("<Q", 2**62) + b"nonsense")
    with pytest.raises(WeightsError, match=rf"expected a safetensors file, got {file}"):
        gym.make("InSpatio-v0", model=NAME, **OBSERVED)


@pytest.mark.usefixtures("checkpoints")
def test_options_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"encoder out of .*got 'mp4'"):
        load_release(NAME, SIZE, encoder="mp4")
    with pytest.raises(ValueError, match=r"dtype out of .*got 'float16'"):
        load_release(NAME, SIZE, dtype="float16")
    with pytest.raises(ValueError, match="attention kernel"):
        load_release(NAME, SIZE, attention="flash3")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="a device that torch can use, got 'cuda'"):
            load_release(NAME, SIZE, device="cuda")
