"""Codecs of the STAR model: one contract for both, the reference tensors of TAEHV, diffusers' own coding of whole clips."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers import AutoencoderKLWan  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from inspatio_gym.checkpoints.weights import WeightsError  # noqa: E402
from inspatio_gym.star import codec as protocol  # noqa: E402
from inspatio_gym.star.codec import nbytes, split, stack  # noqa: E402
from inspatio_gym.star.taehv import Taehv, TaehvCodec, TaehvConfig  # noqa: E402
from inspatio_gym.star.vae import WanVae  # noqa: E402

SIZE = (32, 48)
BATCHED = 1e-4  # kernels sum in another order for another number of worlds; blocks agree to 1e-5


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def lively(network, seed=0):
    """Random weights whose outputs are of order one, so that a frame more or less of memory shows."""
    rng = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        if weight.ndim > 3 and weight[0].numel() > 1:
            weight.data = torch.randn(weight.shape, generator=rng) * weight[0].numel() ** -0.5
    return network


@pytest.fixture(scope="module")
def taehv_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("taehv") / "taew.safetensors"
    save_file(lively(Taehv()).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def wan_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wan")
    network = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1)
    lively(network).save_pretrained(folder / "vae")
    return folder


@pytest.fixture(scope="module", params=["taehv", "wan-vae"])
def codec(request, taehv_file, wan_folder):
    made = TaehvCodec(Taehv.load(taehv_file)) if request.param == "taehv" else WanVae.load(wan_folder)
    assert made.name == request.param
    return made


def frames(count, worlds=1, seed=0, size=SIZE):
    return torch.rand(worlds, count, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def latents(count, worlds=1, seed=0, size=SIZE):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(worlds, count, 16, size[0] // 8, size[1] // 8, generator=rng)


def code(function, blocks, stream=None):
    """What a codec's `encode` or `decode` makes of each block, and the stream after the last."""
    results = []
    for block in blocks:
        result, stream = function(block, stream)
        results.append(result)
    return results, stream


def ends(codec):
    """Both directions as (function, blocks of 3, 3 and 3 latents by seed)."""
    yield codec.encode, lambda seed, worlds=1: frames(33, worlds, seed).split([9, 12, 12], 1)
    yield codec.decode, lambda seed, worlds=1: latents(9, worlds, seed).split(3, 1)


CUTS = [[3, 3, 3], [1, 1, 1, 1, 1], [2, 2, 2], [1, 4], [5]]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_blocks_make_what_the_whole_clip_makes(codec, cut):
    count = sum(cut)
    clip = frames(1 + 4 * (count - 1))
    blocks = clip.split([4 * cut[0] - 3, *(4 * n for n in cut[1:])], 1)
    (whole,), after = code(codec.encode, [clip])
    parts, stream = code(codec.encode, blocks)
    assert [part.shape[1] for part in parts] == cut
    for kept, expected in zip(stream, after, strict=True):
        close(kept, expected)
    for part, expected in zip(parts, whole.split(cut, 1), strict=True):
        # TAEHV has not seen all of a block's last latent yet.
        known = slice(0, -1 if codec.name == "taehv" else None)
        close(part[:, known], expected[:, known])

    (whole,), after = code(codec.decode, [latents(count)])
    parts, stream = code(codec.decode, latents(count).split(cut, 1))
    assert [part.shape[1:] for part in parts] == [(block.shape[1], 3, *SIZE) for block in blocks]
    close(torch.cat(parts, 1), whole)
    for kept, expected in zip(stream, after, strict=True):
        close(kept, expected)


def test_the_last_frames_alone_are_the_last_of_all(codec):
    """In a stream's first block and in a later one, down to one frame; what comes after does not notice."""
    stream = None
    for block in latents(4, worlds=2).split(2, 1):
        whole, after = codec.decode(block, stream)
        for last in (1, 3, 7):
            some, same = codec.decode(block, stream, last)
            assert len(some[0]) == min(last, len(whole[0]))
            close(some, whole[:, -last:])
            for kept, expected in zip(same, after, strict=True):
                close(kept, expected)
        stream = after


def test_what_nobody_looks_at_is_not_decoded(taehv_file):
    network = Taehv.load(taehv_file)
    images: list[int] = []
    network.decoder[-1].register_forward_hook(lambda _, inputs, out: images.append(len(out)))
    codec = TaehvCodec(network)
    _, stream = codec.decode(latents(3), None)
    codec.decode(latents(3), stream, 1)
    assert images == [12, 2]  # no fewer than a step of the last MemBlock grows into


def test_the_past_matters(codec):
    for function, blocks in ends(codec):
        (_, second, _), _ = code(function, blocks(0))
        (_, other, _), _ = code(function, [blocks(1)[0], *blocks(0)[1:]])
        assert (second - other).abs().max() > 1e-2
        assert 0.05 < second.std() < 10


def test_interleaved_sessions_do_not_disturb_each_other(codec):
    for function, blocks in ends(codec):
        alone = [code(function, blocks(seed))[0] for seed in (0, 1)]
        streams = [None, None]
        for step in range(3):
            for seed in (0, 1):
                result, streams[seed] = function(blocks(seed)[step], streams[seed])
                assert torch.equal(result, alone[seed][step])


def test_worlds_stack_and_split_at_any_age(codec):
    for function, blocks in ends(codec):
        young = function(blocks(0)[0][:, :1], None)[1]
        old = code(function, blocks(1)[:2])[1]
        third = blocks(2)[2]
        expected = [function(third, stream) for stream in (young, old)]
        together, stream = function(third.expand(2, *third.shape[1:]), stack([young, old]))
        for k, (kept, (result, after)) in enumerate(zip(split(stream, 2), expected, strict=True)):
            close(together[k : k + 1], result, BATCHED)
            for part, wanted in zip(kept, after, strict=True):
                close(part, wanted, BATCHED)
                assert part.untyped_storage().nbytes() == part.nbytes


def test_more_worlds_than_fit_take_turns(codec, monkeypatch):
    for function, blocks in ends(codec):
        together, stream = code(function, blocks(0, worlds=3))
        with monkeypatch.context() as patch:
            patch.setattr(protocol, "WORKSPACE", 1)
            turns, after = code(function, blocks(0, worlds=3))
        for part, wanted in zip((*turns, *after), (*together, *stream), strict=True):
            close(part, wanted, BATCHED)


def test_a_stream_is_left_as_it_was_and_keeps_nothing_else_alive(codec):
    for function, blocks in ends(codec):
        _, stream = code(function, blocks(0)[:2])
        before = [part.clone() for part in stream]
        first, _ = function(blocks(0)[2], stream)
        again, _ = function(blocks(0)[2], stream)
        assert torch.equal(first, again)
        assert all(torch.equal(part, old) for part, old in zip(stream, before, strict=True))
        assert nbytes(stream) == sum(part.untyped_storage().nbytes() for part in stream) > 0


def test_the_last_latents_rebuild_the_stream(codec):
    count = codec.receptive_latents
    pixels = frames(4 * count + 13, size=(8, 16))
    _, true = codec.encode(pixels, None)
    _, rebuilt = codec.encode(pixels[:, -(4 * count - 3) :], None)
    codes = latents(count + 3, size=(8, 16))
    _, true_too = codec.decode(codes, None)
    _, rebuilt_too = codec.decode(codes[:, -count:], None)
    for part, wanted in zip((*rebuilt, *rebuilt_too), (*true, *true_too), strict=True):
        close(part, wanted)
    _, short = codec.decode(codes[:, -2:], None)
    assert max((part - wanted).abs().max() for part, wanted in zip(short, true_too, strict=True)) > 1e-2


@pytest.mark.parametrize("count", [0, 2, 4, 12])
def test_a_first_block_is_one_frame_and_then_fours(codec, count):
    with pytest.raises(ValueError, match=rf"1 \+ 4 k frames .* got {count}"):
        codec.encode(frames(count), None)


@pytest.mark.parametrize("count", [0, 1, 9, 11])
def test_a_later_block_is_fours(codec, count):
    _, stream = codec.encode(frames(9), None)
    with pytest.raises(ValueError, match=f"4 k frames in a later block of a stream, got {count}"):
        codec.encode(frames(count), stream)


def test_other_shapes_are_refused(codec):
    for shape in [(1, 9, 3, 30, 48), (1, 9, 3, 32, 44), (1, 9, 4, 32, 48), (9, 3, 32, 48)]:
        with pytest.raises(ValueError, match="multiples of 8"):
            codec.encode(torch.zeros(shape), None)
    for shape in [(1, 3, 4, 4, 6), (1, 0, 16, 4, 6), (3, 16, 4, 6)]:
        with pytest.raises(ValueError, match="expected latents"):
            codec.decode(torch.zeros(shape), None)


def test_pixels_stay_in_range(codec):
    pixels, _ = codec.decode(latents(3) * 10, None)
    assert pixels.min() == -1
    assert pixels.max() == 1


@pytest.mark.parametrize("kind", ["taehv", "wan-vae"])
def test_half_precision_is_the_codecs_own(kind, taehv_file, wan_folder):
    """Frames and latents come in any float type; what comes out and what is kept is of the network's."""
    half = torch.bfloat16
    codec = TaehvCodec(Taehv.load(taehv_file, dtype=half)) if kind == "taehv" else WanVae.load(wan_folder, dtype=half)
    for function, blocks in ends(codec):
        results, stream = code(function, blocks(0)[:2])
        assert {part.dtype for part in (*results, *stream)} == {half}
        assert not any(part.requires_grad for part in (*results, *stream))


# TAEHV


@pytest.fixture(scope="module")
def taehv(taehv_file):
    return Taehv.load(taehv_file)


def test_taehv_agrees_with_the_reference(shared):
    network = Taehv.load(shared / "fixtures/tae/weights.safetensors")
    reference = load_file(shared / "fixtures/tae/tensors.safetensors")
    close(network.encode(reference["video"]), reference["encoded"], 1e-4)
    close(network.decode(reference["latent"]), reference["decoded"], 1e-4)
    assert reference["decoded"].std() > 5e-3  # the reference has little contrast, but more than the tolerance


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_taehv_in_any_chunks_is_taehv_at_once(taehv, cut):
    size = (16, 16)
    codec = TaehvCodec(taehv)
    clip = frames(4 * sum(cut) - 3, size=size)
    whole = taehv.encode((clip + 1) / 2).split(cut, 1)
    parts, _ = code(codec.encode, clip.split([4 * cut[0] - 3, *(4 * n for n in cut[1:])], 1))
    for part, expected in zip(parts, whole, strict=True):
        close(part[:, :-1], expected[:, :-1])
    close(parts[-1], whole[-1])  # here the clip itself ends, and its last frame is held

    codes = latents(sum(cut), size=size)
    parts, _ = code(codec.decode, codes.split(cut, 1))
    close(torch.cat(parts, 1), taehv.decode(codes) * 2 - 1)


def test_taehv_keeps_real_frames_alone(taehv):
    """A block's held frames show in its last latent, which is what a clip that ends there has, and nowhere later."""
    codec = TaehvCodec(taehv)
    clip = frames(33)
    (first, second, third), _ = code(codec.encode, clip.split([9, 12, 12], 1))
    for end, part in ((9, first), (21, second), (33, third)):
        close(part, taehv.encode((clip[:, :end] + 1) / 2)[:, -3:])
    truth = taehv.encode((clip + 1) / 2)
    assert (first[:, -1] - truth[:, 2]).abs().max() > 1e-2  # what was held is not what came
    close(third[:, :2], truth[:, 6:8])


def test_taehv_reaches_no_further_than_it_says_and_no_less(taehv_file):
    """In double precision, where the faint trace of the oldest latent shows."""
    codec = TaehvCodec(Taehv.load(taehv_file, dtype=torch.float64))
    encoder, decoder = codec.network.reach()
    assert codec.receptive_latents == encoder + 1
    pixels, codes = frames(4 * encoder + 17, size=(16, 16)).double(), latents(decoder + 4, size=(16, 16)).double()

    def error(function, whole, part):
        (_, true), (_, rebuilt) = function(whole, None), function(part, None)
        return max((part - wanted).abs().max() for part, wanted in zip(rebuilt, true, strict=True))

    assert error(codec.encode, pixels, pixels[:, -(4 * encoder + 1) :]) < 1e-12
    assert error(codec.encode, pixels, pixels[:, -(4 * encoder - 3) :]) > 1e-9
    assert error(codec.decode, codes, codes[:, -decoder:]) < 1e-12
    assert error(codec.decode, codes, codes[:, 1 - decoder :]) > 1e-9


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_taehv_holds_the_last_frame_of_a_clip(taehv, count):
    clip = frames(count) / 2 + 0.5
    held = torch.cat([clip, clip[:, -1:].expand(-1, -count % 4, -1, -1, -1)], 1)
    assert taehv.encode(clip).shape == (1, -(-count // 4), 16, 4, 6)
    close(taehv.encode(clip), taehv.encode(held))


def test_taehv_takes_a_long_clip_in_pieces(taehv, monkeypatch):
    clip, codes = frames(30) / 2 + 0.5, latents(7)
    whole = taehv.encode(clip), taehv.decode(codes)
    monkeypatch.setattr("inspatio_gym.star.taehv.WORKSPACE", 3 * 4 * 64 * SIZE[0] * SIZE[1])
    close(taehv.encode(clip), whole[0])
    close(taehv.decode(codes), whole[1])


def test_taehv_reads_either_format_any_float_type_and_wider_growths(taehv, taehv_file, tmp_path):
    weights = {name: weight.half() for name, weight in load_file(taehv_file).items()}
    rounded = tmp_path / "half.safetensors"
    save_file(weights, rounded)
    name = "decoder.7.conv.weight"
    weights[name] = torch.cat([torch.ones_like(weights[name]), weights[name]])
    torch.save(weights, tmp_path / "taew.pth")
    codes = latents(3)
    expected = Taehv.load(rounded).decode(codes)
    assert expected.dtype == torch.float32
    assert torch.equal(Taehv.load(tmp_path / "taew.pth").decode(codes), expected)
    close(expected, taehv.decode(codes), 0.05)


def test_taehv_names_the_file_and_the_tensor_that_do_not_fit(taehv_file, tmp_path):
    weights = load_file(taehv_file)
    path = tmp_path / "taew.safetensors"
    save_file({**weights, "encoder.17.weight": torch.zeros(48, 64, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"taew\.safetensors.*encoder\.17\.weight of shape \(48, 64, 3, 3\)"):
        Taehv.load(path)
    save_file({name: weight for name, weight in weights.items() if name != "decoder.22.bias"}, path)
    with pytest.raises(WeightsError, match=r"taew\.safetensors.*misses decoder\.22\.bias"):
        Taehv.load(path)
    path.write_bytes(taehv_file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"taew\.safetensors.*cut off"):
        Taehv.load(path)


SMALL = TaehvConfig((4, 4, 6, 8), (12, 8, 6, 4), (1, 2, 1), (2, 0, 1))


@pytest.fixture(scope="module")
def small():
    """A network to train, in double precision."""
    return lively(Taehv(SMALL)).double()


@pytest.mark.parametrize("config", [TaehvConfig(), SMALL])
def test_taehv_reads_its_sizes_off_the_weights(config, tmp_path):
    with torch.device("meta"):
        weights = Taehv(config).state_dict()
    assert TaehvConfig.of(weights) == config
    if config == SMALL:
        save_file({name: torch.ones(weight.shape) for name, weight in weights.items()}, tmp_path / "w.safetensors")
        assert Taehv.load(tmp_path / "w.safetensors").config == config


def test_taehv_refuses_sizes_and_weights_of_something_else(tmp_path):
    with pytest.raises(ValueError, match="four widths and three numbers of MemBlocks a side"):
        TaehvConfig(encoder=(64, 64, 64))
    save_file({"blocks.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"weights of a Taehv in .*other\.safetensors"):
        Taehv.load(tmp_path / "other.safetensors")


def test_taehv_of_another_size_reaches_as_far_as_it_says(small):
    assert small.reach() == (4, 3)
    codec, pixels, codes = TaehvCodec(small), frames(33, size=(16, 16)).double(), latents(6, size=(16, 16)).double()
    for function, whole, wanted in ((codec.encode, pixels, 17), (codec.decode, codes, 3)):
        less = wanted - (4 if whole is pixels else 1)
        with torch.no_grad():
            (_, true), (_, rebuilt), (_, short) = (
                function(x, None) for x in (whole, whole[:, -wanted:], whole[:, -less:])
            )
        assert max((a - b).abs().max() for a, b in zip(rebuilt, true, strict=True)) < 1e-12
        assert max((a - b).abs().max() for a, b in zip(short, true, strict=True)) > 1e-9


def test_taehv_codes_a_clip_as_a_stream_does(small):
    codec, clip = TaehvCodec(small), frames(33, worlds=2, size=(16, 16)).double()
    with torch.no_grad():
        blocks, _ = code(codec.encode, clip.split([9, 12, 12], 1))
        close(small.encode_clip((clip + 1) / 2), torch.cat(blocks, 1), 1e-12)
        pairs, _ = code(codec.encode, clip.split([5, *[8] * 3, 4], 1))
        close(small.encode_clip((clip + 1) / 2, block=2), torch.cat(pairs, 1), 1e-12)
        codes = latents(5, size=(16, 16)).double()
        shown, _ = code(codec.decode, codes.split([3, 2], 1))
        close(small.decode_clip(codes).clamp(0, 1) * 2 - 1, torch.cat(shown, 1), 1e-12)


def test_taehv_has_the_gradients_of_finite_differences(small):
    clip, codes = frames(21, size=(8, 16)).double() / 2 + 0.5, latents(4, size=(8, 16)).double()
    for function, x in ((small.encode_clip, clip), (small.decode_clip, codes)):
        assert torch.autograd.gradcheck(function, x.requires_grad_(True), fast_mode=True)
    (small.decode_clip(small.encode_clip(clip)) - clip).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in small.parameters())


def test_taehv_has_a_gradient_out_of_range(small):
    codes = latents(3, size=(16, 16)).double()
    far = (small.decode_clip(codes) < 0) | (small.decode_clip(codes) > 1)
    assert far.any()
    assert torch.equal(small.decode(codes), small.decode_clip(codes).clamp(0, 1))
    inputs = codes.requires_grad_(True)
    (slope,) = torch.autograd.grad(small.decode_clip(inputs)[far].sum(), inputs)
    assert slope.abs().max() > 0


# The Wan VAE


def test_the_wan_vae_agrees_with_diffusers_own_coding_of_whole_clips(wan_folder):
    codec = WanVae.load(wan_folder)
    network = AutoencoderKLWan.from_pretrained(wan_folder / "vae").eval()
    mean, std = (
        torch.tensor(values).view(16, 1, 1) for values in (network.config.latents_mean, network.config.latents_std)
    )
    clip = frames(33, worlds=2)
    parts, _ = code(codec.encode, clip.split([9, 12, 12], 1))
    with torch.no_grad():
        mode = network.encode(clip.transpose(1, 2)).latent_dist.mode().transpose(1, 2)
        close(torch.cat(parts, 1), (mode - mean) / std)
        codes = latents(9, worlds=2)
        parts, _ = code(codec.decode, codes.split(3, 1))
        close(torch.cat(parts, 1), network.decode((codes * std + mean).transpose(1, 2)).sample.transpose(1, 2))


def test_the_wan_vae_is_found_in_its_folder_and_in_the_pipelines(wan_folder):
    codes = latents(2)
    root, folder = WanVae.load(wan_folder), WanVae.load(wan_folder / "vae")
    assert torch.equal(root.decode(codes, None)[0], folder.decode(codes, None)[0])


def test_the_wan_vae_names_what_is_missing_or_does_not_fit(wan_folder, tmp_path):
    source = wan_folder / "vae"
    config = json.loads((source / "config.json").read_text())
    weights = source / "diffusion_pytorch_model.safetensors"
    with pytest.raises(FileNotFoundError, match=r"vae/config\.json"):
        WanVae.load(tmp_path)
    for wrong in ("{", "[]", json.dumps({"z_dim": 16}), json.dumps({**config, "z_dim": 48})):
        (tmp_path / "config.json").write_text(wrong)
        with pytest.raises(ValueError, match=r"expected .* in .*config\.json"):
            WanVae.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match=weights.name):
        WanVae.load(tmp_path)
    copy = tmp_path / weights.name
    copy.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=f"{weights.name}.*cut off"):
        WanVae.load(tmp_path)
    copy.write_bytes(weights.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "base_dim": 8}))
    with pytest.raises(WeightsError, match=rf"{weights.name}.*encoder\.conv_in\.weight of shape"):
        WanVae.load(tmp_path)
