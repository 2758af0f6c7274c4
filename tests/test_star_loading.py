"""Weights of a transformer from disk: names as trainings leave them, sizes told or found, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from inspatio_gym import star
from inspatio_gym.checkpoints.weights import WeightsError
from inspatio_gym.star import generate_latents, load_dit
from inspatio_gym.star.dit import DitConfig
from tests.star_worlds import tiny_dit


def vars_of(config: DitConfig):
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


class TestLoading:
    def save(self, tmp_path, rename=lambda name: name, drop=()):
        state = {rename(k): v for k, v in tiny_dit().state_dict().items() if k not in drop}
        save_file(state, tmp_path / "weights.safetensors")
        return tmp_path / "weights.safetensors"

    @pytest.mark.parametrize(
        "rename",
        [
            lambda name: name,
            lambda name: f"model.{name}",
            lambda name: f"model._fsdp_wrapped_module.{name}".replace("blocks.0.", "blocks.0._fsdp_wrapped_module."),
        ],
    )
    def test_every_naming_of_the_release(self, tmp_path, rename):
        loaded = load_dit(self.save(tmp_path, rename), vars_of(tiny_dit().config))
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), tiny_dit().parameters(), strict=True))

    def test_a_folder_with_one_file_and_a_config_file(self, tmp_path):
        self.save(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps({"config": vars_of(tiny_dit().config), "blocks": 3}))
        assert load_dit(tmp_path, tmp_path / "config.json").config == tiny_dit().config

    def test_sizes_are_read_off_the_weights(self, tmp_path):
        dit = tiny_dit(dim=256, num_heads=2, text_len=512)
        save_file(dit.state_dict(), tmp_path / "w.safetensors")
        assert load_dit(tmp_path / "w.safetensors").config == dit.config

    def test_bfloat16_is_float32_rounded(self, tmp_path):
        noise, renoise, mask = torch.randn(1, 2, 16, 4, 4), torch.randn(1, 3, 2, 16, 4, 4), torch.ones(1, 2, 4, 4, 4)
        file = self.save(tmp_path)
        exact, rounded = (
            generate_latents(
                load_dit(file, tiny_dit().config, dtype=dtype),
                noise,
                noise,
                mask,
                torch.ones(1, 3, 24),
                noise,
                renoise,
                2,
            )
            for dtype in (torch.float32, torch.bfloat16)
        )
        assert rounded.dtype == torch.float32
        assert 0 < float((exact - rounded).norm() / exact.norm()) < 0.03

    def test_a_config_beside_the_weights_is_read(self, tmp_path):
        self.save(tmp_path)
        with pytest.raises(WeightsError, match="whole heads of 128"):
            load_dit(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps(vars_of(tiny_dit().config)))
        assert load_dit(tmp_path).config == tiny_dit().config

    def test_the_names_that_are_promised(self):
        assert {"Taehv", "generate_latents", "load_dit"} <= set(vars(star))

    def test_a_missing_key_is_named(self, tmp_path):
        file = self.save(tmp_path, drop=("blocks.1.self_attn.q.weight",))
        with pytest.raises(WeightsError, match=r"weights.safetensors, which misses blocks.1.self_attn.q.weight"):
            load_dit(file, tiny_dit().config)

    def test_a_wrong_shape_is_named(self, tmp_path):
        file = self.save(tmp_path)
        with pytest.raises(
            WeightsError, match=r"blocks.0.ffn.0.weight of shape \(32, 32\) where the network has \(48, 32\)"
        ):
            load_dit(file, {**vars_of(tiny_dit().config), "ffn_dim": 48})

    def test_a_truncated_file_is_named(self, tmp_path):
        file = self.save(tmp_path)
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(WeightsError, match=r"weights.safetensors.*cut off.*checkpoints download"):
            load_dit(file, tiny_dit().config)

    def test_a_missing_shard_is_named(self, tmp_path):
        index = tmp_path / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
        save_file({"a": torch.zeros(1)}, tmp_path / "one.safetensors")
        with pytest.raises(FileNotFoundError, match="the shard two"):
            load_dit(tmp_path)

    def test_no_code_runs_from_a_weight_file(self, tmp_path):
        class Hostile:
            def __reduce__(self):
                return (tmp_path.joinpath("ran").touch, ())

        torch.save({"x": Hostile()}, tmp_path / "weights.pt")
        with pytest.raises(WeightsError, match="expected tensors and nothing else"):
            load_dit(tmp_path / "weights.pt")
        assert not (tmp_path / "ran").exists()

    def test_other_networks_are_refused(self, tmp_path):
        save_file({"encoder.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
        with pytest.raises(WeightsError, match="weights of a diffusion transformer"):
            load_dit(tmp_path / "other.safetensors")
