"""`model="tiny"`: what it may cost, the folder that it is read from, and the world that it makes."""

import json
import shutil
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inspatio_gym.checkpoints import WeightsNotFound, locate
from inspatio_gym.checkpoints.locate import places
from inspatio_gym.checkpoints.registry import checkpoint_named
from inspatio_gym.checkpoints.weights import WeightsError
from inspatio_gym.evaluation.images import psnr
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.star import precision
from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.schedule import Schedule, sample_block
from inspatio_gym.star.taehv import Taehv, TaehvConfig
from inspatio_gym.star.tiny import (
    CODEC,
    CONFIG,
    DIT,
    NAME,
    TINY,
    TINY_CODEC,
    TextTable,
    load_tiny,
    new_codec,
    new_dit,
    save_tiny,
)
from inspatio_gym.world import MODELS, BlockRequest, best_model, load_model
from tests.star_worlds import SIZE, tiny_dit

OBSERVED = {"scene": "room", "size": (32, 48), "render_size": SIZE}
SMALL = TaehvConfig((8, 8, 8, 8), (16, 8, 8, 8), (1, 1, 1), (1, 1, 1))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A checkpoints' folder with a small model of random weights."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    dit = tiny_dit(text_len=TINY.text_len, text_dim=TINY.text_dim)
    save_tiny(root / NAME, dit, TextTable(), Taehv(SMALL), background=True)
    return root


def flow_of(dit: Dit, words: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Of a block behind a context, from fixed noise."""
    rng = torch.Generator().manual_seed(seed)
    noisy, context = torch.randn(2, 2, 3, 16, 4, 4, generator=rng)
    text = dit.read(words)
    timestep = torch.tensor([900.0, 400.0])
    return dit.denoise(noisy, torch.randn(2, 3, 20, 4, 4, generator=rng), timestep, dit.attended(context, text), text)


class TestBudget:
    """For a block of 12 frames at 128x224, as the world model makes it; 0 FLOP are done here."""

    def test_the_transformer_takes_at_most_90_gflop(self):
        with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
            dit = Dit(TINY)
            text = dit.read(torch.empty(1, 4, TINY.text_dim))
            block = torch.empty(1, 3, 16, 16, 28)
            cache = dit.prefill(torch.empty(1, 6, 16, 16, 28), text, block_frames=3)
            renoise, steps = torch.empty(1, 3, 3, 16, 16, 28), Schedule()
            sample_block(dit, torch.empty(1, 3, 20, 16, 28), block, renoise, cache, text, steps)
        assert 50e9 < counter.get_total_flops() < 90e9
        assert 10e6 < sum(p.numel() for p in dit.parameters()) < 30e6

    def test_the_codec_takes_at_most_30_gflop(self):
        with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
            codec = Taehv(TINY_CODEC)
            for _ in range(2):  # of a later block: the frame that waited, 12, and the last one held
                codec.encode_steps(torch.empty(1, 16, 3, 128, 224))
            codec.decode_steps(torch.empty(1, 3, 16, 16, 28))
        assert 20e9 < counter.get_total_flops() < 30e9

    def test_the_files_take_at_most_60_megabytes(self, tmp_path):
        save_tiny(tmp_path, Dit(TINY), TextTable(), Taehv(TINY_CODEC))
        assert 25e6 < sum(file.stat().st_size for file in tmp_path.iterdir()) < 60e6


class TestNothing:
    """What a training begins with."""

    CONFIG = DitConfig(dim=32, ffn_dim=32, num_heads=2, num_layers=2, text_dim=8, text_len=4, freq_dim=16)

    def test_the_flow_begins_as_zero_and_every_weight_soon_learns(self):
        torch.manual_seed(0)
        dit, table = new_dit(self.CONFIG), TextTable(text_dim=8)
        optimizer = torch.optim.SGD([*dit.parameters(), *table.parameters()], lr=0.3)
        assert not flow_of(dit, table(["null", "camera"])).any()
        for _ in range(4):
            optimizer.zero_grad()
            (flow_of(dit, table(["null", "camera"])) - 1).square().mean().backward()
            optimizer.step()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in dit.parameters())
        assert table.rows.grad is not None
        assert [bool(row.any()) for row in table.rows.grad] == [True, False, True]

    def test_the_codec_begins_as_a_mosaic_and_every_weight_soon_learns(self):
        torch.manual_seed(0)
        codec, clip = new_codec(SMALL), torch.rand(2, 9, 3, 16, 16)
        latents = codec.encode_clip(clip)
        assert 0.3 < latents.std() < 3
        means = torch.nn.functional.avg_pool2d(clip.flatten(0, 1), 8).unflatten(0, (2, 9))
        torch.testing.assert_close(latents[:, 1, :3], (means[:, 4:8].mean(1) - 0.45) / 0.22, rtol=1e-4, atol=1e-4)
        grey = torch.full_like(latents, 0.0)
        grey[:, :, :3] = latents[:, 1:2, :3]
        frames = codec.decode_clip(grey)
        light = (0.45 + 0.22 * 3 * torch.tanh(grey[:, 0, :3] / 3)).repeat_interleave(8, 2).repeat_interleave(8, 3)
        torch.testing.assert_close(frames, light[:, None].expand_as(frames), rtol=1e-4, atol=1e-4)
        optimizer = torch.optim.SGD(codec.parameters(), lr=0.1)
        for _ in range(3):
            frames = codec.decode_clip(codec.encode_clip(clip))
            optimizer.zero_grad()
            (frames - clip).square().mean().backward()
            optimizer.step()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in codec.parameters())

    @pytest.mark.parametrize("new", [lambda: new_dit(TestNothing.CONFIG), lambda: new_codec(SMALL)])
    def test_seeds_make_it_again(self, new):
        made = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            made.append(next(new().parameters()))
        assert torch.equal(made[0], made[1])
        assert not torch.equal(made[0], made[2])


class TestText:
    def test_rows_have_names_and_numbers(self):
        table = TextTable(("null", "plain"), text_len=2, text_dim=3)
        assert table(["plain", "null", "plain"]).shape == (3, 2, 3)
        assert torch.equal(table(["plain", "null"]), table(torch.tensor([1, 0])))

    def test_an_unknown_one_is_named(self, saved):
        with pytest.raises(ValueError, match=r"a prompt out of \['null', 'plain', 'camera'\].*got 'a street'"):
            load_tiny(SIZE, path=saved / NAME, prompt="a street")


class TestFolder:
    @pytest.mark.parametrize(
        ("native", "size", "asked", "kernel"),
        [
            (True, SIZE, None, "products"),
            (True, (144, 224), None, "sdpa"),
            (True, SIZE, "sdpa", "sdpa"),
            (False, SIZE, None, "sdpa"),
        ],
    )
    def test_short_blocks_in_bfloat16_are_attended_to_by_products(
        self, saved, monkeypatch, native, size, asked, kernel
    ):
        monkeypatch.setattr(precision, "_native", lambda: native)
        if asked:
            monkeypatch.setenv("INSPATIO_GYM_ATTENTION", asked)
        assert load_tiny(size, path=saved / NAME).dit.kernel == kernel

    def test_holes_are_filled_if_they_were_in_the_training(self, saved, tmp_path):
        shutil.copytree(saved / NAME, tmp_path, dirs_exist_ok=True)
        record = json.loads((tmp_path / CONFIG).read_text())
        older = {name: value for name, value in record.items() if name != "background"}
        for told, expected in ((record, True), (record | {"background": False}, False), (older, False)):
            (tmp_path / CONFIG).write_text(json.dumps(told))
            assert (load_tiny(SIZE, path=tmp_path)._warp is not None) == expected

    def test_weights_come_back_rounded_to_16_bits(self, saved):
        model = load_tiny(SIZE, dtype="float32", path=saved / NAME)
        dit = tiny_dit(text_len=TINY.text_len, text_dim=TINY.text_dim)
        assert model.dit.config == dit.config
        assert (model.dit.dtype, model.encoder.network.config) == (torch.float32, SMALL)
        for ours, theirs in zip(model.dit.parameters(), dit.parameters(), strict=True):
            assert torch.equal(ours, theirs.half().float())
            assert not ours.requires_grad

    @pytest.mark.parametrize("gone", [DIT, CONFIG, CODEC])
    def test_what_is_missing_is_named(self, saved, tmp_path, gone):
        for file in (saved / NAME).iterdir():
            if file.name != gone:
                (tmp_path / file.name).write_bytes(file.read_bytes())
        with pytest.raises(FileNotFoundError, match=rf"expected {gone} in {tmp_path}"):
            load_tiny(SIZE, path=tmp_path)

    @pytest.mark.parametrize("spoilt", [DIT, CODEC, "text.safetensors"])
    def test_what_is_cut_off_is_named(self, saved, tmp_path, spoilt):
        for file in (saved / NAME).iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes()[: -10 if file.name == spoilt else None])
        with pytest.raises(WeightsError, match=rf"{tmp_path / spoilt}.*cut off"):
            load_tiny(SIZE, path=tmp_path)

    def test_sizes_that_do_not_fit_are_named(self, saved, tmp_path):
        for file in (saved / NAME).iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        record = json.loads((tmp_path / CONFIG).read_text())
        record["rows"].append("night")
        (tmp_path / CONFIG).write_text(json.dumps(record))
        with pytest.raises(
            WeightsError, match=r"text.safetensors.*shape \(3, 4, 64\) where the network has \(4, 4, 64\)"
        ):
            load_tiny(SIZE, path=tmp_path)

    def test_it_comes_with_the_package_and_one_of_ones_own_goes_before(self, saved, monkeypatch):
        package = Path(places.__code__.co_filename).parent
        assert package / NAME in places(checkpoint_named(NAME))
        assert locate(NAME) == package / NAME
        monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(saved))
        assert locate(NAME) == saved / NAME


class TestWorld:
    @pytest.mark.filterwarnings("ignore:.*not within the observation space")
    def test_the_environment_steps_it_by_name(self, saved, monkeypatch):
        monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(saved))
        seen = []
        for model in ("tiny", load_tiny(SIZE, path=saved / NAME), load_tiny(SIZE, path=saved / NAME, prompt="plain")):
            env = gym.make("InSpatio-v0", model=model, **OBSERVED)
            first = env.reset(seed=3)[0]["rgb"]
            later = env.step(np.zeros(7, np.float32))[0]["rgb"]
            seen.append(later)
            assert first.std() > 0
            assert (first != later).any()
        np.testing.assert_array_equal(seen[0], seen[1])
        assert (seen[0] != seen[2]).any()  # another prompt

    def test_what_comes_along_shows_a_room_from_where_the_camera_is(self, room_scene):
        models = load_model("tiny"), load_model("warp", render_size=MODELS["tiny"].render_size)

        def seen(turn_deg: float) -> list[np.ndarray]:
            """By both models, the recorded camera turned to the right."""
            cameras = room_scene.c2w[:9] @ compose(rotation_ypr(turn_deg), np.zeros(3))
            request = BlockRequest(np.arange(9), cameras, np.arange(9))
            return [model.start([room_scene], [0], [request])[1][0].rgb for model in models]

        (ahead, filmed), (aside, warped) = seen(0), seen(12)
        assert psnr(ahead, filmed) > 20
        assert psnr(aside, warped) > 3 + psnr(aside, filmed)

    def test_without_weights_the_error_names_the_command(self, tmp_path, monkeypatch):
        monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
        module = sys.modules["inspatio_gym.checkpoints.locate"]
        monkeypatch.setattr(module, "places", lambda checkpoint: iter([tmp_path / NAME]))
        with pytest.raises(WeightsNotFound, match="inspatio-gym train-world"):
            gym.make("InSpatio-v0", model="tiny", **OBSERVED)

    def test_it_has_a_size_of_its_own_and_is_never_the_automatic_choice(self, saved, monkeypatch):
        monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(saved))
        assert load_model("tiny").render_size == MODELS["tiny"].render_size == (128, 224)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert best_model("cuda") == best_model("cpu") == "warp"

    def test_a_gpu_that_is_not_there_is_named(self, saved, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ValueError, match="a device that torch can use, got 'cuda'"):
            load_tiny(SIZE, "cuda", path=saved / NAME)
