"""The benchmark of the tiny world: its rulers, the ways of its camera, and that it judges what is shipped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from benchmarks import disoccluded  # noqa: E402
from benchmarks.codec_ceiling import pieces, principal  # noqa: E402
from benchmarks.frechet import DIMENSIONS, Normal, distance, features  # noqa: E402
from benchmarks.tiny_films import filmed, fine_depth, shown, truth, wander  # noqa: E402
from benchmarks.tiny_judges import fused, sums  # noqa: E402
from benchmarks.tiny_rows import Networks  # noqa: E402
from benchmarks.tiny_world import played  # noqa: E402
from inspatio_gym.evaluation.clips import ModelSource, Take  # noqa: E402
from inspatio_gym.evaluation.images import psnr  # noqa: E402
from inspatio_gym.evaluation.subject import Subject  # noqa: E402
from inspatio_gym.geometry.poses import compose, invert, rotation_ypr  # noqa: E402
from inspatio_gym.scenes.synthetic.batch import Renderer  # noqa: E402
from inspatio_gym.star.dit import Dit, DitConfig  # noqa: E402
from inspatio_gym.star.noise import block_noise  # noqa: E402
from inspatio_gym.star.taehv import Taehv, TaehvConfig  # noqa: E402
from inspatio_gym.star.tiny import TextTable, load_tiny, save_tiny  # noqa: E402
from inspatio_gym.training.world import causal  # noqa: E402
from inspatio_gym.training.world.networks import Prompted  # noqa: E402

SIZES = DitConfig(dim=32, ffn_dim=32, num_heads=2, num_layers=1, text_dim=8, text_len=2, freq_dim=16)
CODEC = TaehvConfig(encoder=(4, 4, 8, 8), decoder=(8, 8, 4, 4), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
FRAMES = 21


@pytest.fixture(scope="module")
def subject() -> Subject:
    return filmed("synthetic:room?seed=200&style=camera", (32, 48), Renderer())


def test_the_distance_of_two_normals_is_that_worked_out_by_hand():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    a = Normal(np.zeros(2), turn @ np.diag([1.0, 4.0]) @ turn.T)
    b = Normal(np.array([3.0, 0.0]), turn @ np.diag([9.0, 16.0]) @ turn.T)
    assert distance(a, a) == pytest.approx(0, abs=1e-9)
    assert distance(a, b) == pytest.approx(9 + (3 - 1) ** 2 + (4 - 2) ** 2)


def test_features_tell_grain_from_smoothness_and_not_which_picture_it_is():
    draw = torch.Generator().manual_seed(0)
    smooth = torch.randint(256, (256, 3, 2, 2), generator=draw).float()
    smooth = torch.nn.functional.interpolate(smooth, (32, 32), mode="bilinear")
    grainy = smooth + 12 * torch.randn(smooth.shape, generator=draw)
    some, other, noisy = (
        features(video.clamp(0, 255).to(torch.uint8)) for video in (smooth[:128], smooth[128:], grainy[128:])
    )
    assert some.shape == (128, 1, DIMENSIONS)
    assert distance(Normal.of(some), Normal.of(noisy)) > 1.5 * distance(Normal.of(some), Normal.of(other))


def test_a_piece_is_8_by_8_pixels_of_4_frames():
    clips = torch.randint(256, (2, 9, 3, 16, 24), dtype=torch.uint8)
    rows = pieces(clips).mul(255).round().byte().unflatten(0, (2, 2, 2, 3))  # clip, latent, row, column
    assert torch.equal(rows[1, 1, 1, 2], clips[1, 5:9, :, 8:, 16:].flatten())
    assert rows.shape[-1] == 768


def test_principal_components_are_those_along_which_rows_vary_most():
    draw = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=draw)).Q
    rows = torch.randn(4000, 5, generator=draw) * torch.tensor([0.1, 9.0, 1.0, 3.0, 0.3]) @ turn.T + 7
    torch.testing.assert_close((principal(rows).T @ turn[:, [1, 3, 2, 4, 0]]).abs(), torch.eye(5), atol=0.05, rtol=0)


def test_a_camera_rests_goes_out_and_comes_back(subject: Subject):
    take = wander(subject, played(subject, 9 + 36), np.array([0, 1, 0]), 12)
    offsets = invert(subject.view.c2w[take.source]) @ take.c2w
    for home in (slice(0, 10), 21, 33):
        np.testing.assert_allclose(offsets[home], np.broadcast_to(np.eye(4), offsets[home].shape), atol=1e-9)
    np.testing.assert_allclose(offsets[9:21], offsets[33:45], atol=1e-9)
    assert np.abs(offsets[9:21] - offsets[21:33]).max() > 0.05


def test_networks_are_shown_and_judged_by_the_truth_of_the_cameras(subject: Subject):
    take = wander(subject, played(subject, FRAMES), np.zeros(1, int), 12)
    clips, true = shown([subject], [take], "cpu"), truth(subject, take, Renderer())
    render, mask = clips.render[0].movedim(1, -1).numpy(), clips.mask[0, :, 0].numpy()
    assert psnr(render, true.rgb, mask) > psnr(np.roll(render, 1, 0), true.rgb, mask)
    filled = shown([subject], [take], "cpu", [fused(subject.view, take)])
    render, known = filled.render[0].movedim(1, -1).numpy(), filled.mask[0, :, 0].numpy() & ~mask
    assert known.sum() > 0.1 * np.count_nonzero(~mask)
    assert psnr(render, true.rgb, known) > psnr(np.roll(render, 2, 2), true.rgb, known) + 1
    pixels, squares = sums(true.rgb, true.rgb, mask)["disoccluded"]
    assert (pixels, squares) == (np.count_nonzero(~mask), 0)


def test_a_place_is_shown_by_the_film_if_any_of_its_frames_sees_it(subject: Subject):
    film, renderer = subject.view, Renderer()
    fine = fine_depth(subject, np.arange(film.num_frames), renderer)
    away = film.c2w[3] @ compose(rotation_ypr(np.array(180.0)), np.zeros(3))  # where nothing was filmed
    cameras = np.stack([film.c2w[3], away])
    depth = truth(subject, Take(np.full(2, 3), cameras), renderer).depth
    here, there = disoccluded.shown_by(film, fine, depth, cameras)
    assert here.mean() > 0.9
    assert not there.any()
    for k in (0, 3, film.num_frames - 1):
        one = replace(film, c2w=film.c2w[k : k + 1], intrinsics=film.intrinsics[k : k + 1])
        assert here[disoccluded.shown_by(one, fine[k : k + 1], depth, cameras)[0]].all()


@pytest.mark.parametrize("shown_by_the_film", [True, False])
def test_disoccluded_pixels_are_shown_by_the_film_or_never(monkeypatch: pytest.MonkeyPatch, shown_by_the_film: bool):
    monkeypatch.setattr(disoccluded, "shown_by", lambda _, __, depth, ___: np.full(depth.shape, shown_by_the_film))
    known, unknown = disoccluded.counted("synthetic:room?seed=200&style=camera", 2, (32, 48))
    some, none = (known, unknown) if shown_by_the_film else (unknown, known)
    assert (some > 0).all()
    assert (none == 0).all()


def test_the_film_known_by_heart_leaves_the_errors_of_what_is_never_shown():
    words = disoccluded.words(np.array([[30, 30 * 255**2 / 100], [70, 70 * 255**2 / 10]]))
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in words.splitlines()[2:]]
    assert cells == [
        [disoccluded.KNOWN, "0.30", "20.00"],
        [disoccluded.UNKNOWN, "0.70", "10.00"],
        ["all", "1.00", "11.37"],  # a mean square of 0.3 * 0.01 + 0.7 * 0.1
        ["all, were those shown by the film true", "", "11.55"],  # of 0.7 * 0.1
    ]


@pytest.mark.parametrize("background", [True, False])
def test_a_rollout_is_what_the_shipped_model_shows(
    background: bool, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(0)
    network, codec = Prompted(Dit(SIZES), TextTable(text_len=2, text_dim=8)), Taehv(CODEC)
    save_tiny(tmp_path, network.dit.half().float(), network.table.half().float(), codec, background)
    save_file(network.state_dict(), tmp_path / "jdmd.safetensors")
    take = wander(subject, played(subject, FRAMES), np.zeros(1, int), 12)
    expected = ModelSource(load_tiny(subject.size, dtype="float32", path=tmp_path), subject, key=7).film(take).rgb

    shape = 3, 16, subject.size[0] // 8, subject.size[1] // 8
    noise = torch.stack([block_noise(7, block, 4, shape) for block in range(2)])
    draws = iter((noise[:, 0].flatten(0, 1)[None], noise[:, 1:].movedim(1, 0).flatten(1, 2)[None]))
    monkeypatch.setattr(causal, "draw_noise", lambda *_: next(draws))
    networks = Networks(tmp_path, SIZES, "cpu")
    behind = [fused(subject.view, take)] if background else None
    made = networks.student("jdmd", networks.known(shown([subject], [take], "cpu", behind)))
    assert expected.std() > 5
    np.testing.assert_array_equal(made[0].movedim(1, -1).numpy(), expected)
