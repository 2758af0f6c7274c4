"""The STAR world behind the protocol: laws of sessions, on the real classes and small random weights."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from inspatio_gym.star.mask import mask_latents
from inspatio_gym.star.model import StarModel
from inspatio_gym.star.noise import block_noise
from inspatio_gym.star.offline import generate_latents
from inspatio_gym.warp import WarpModel
from inspatio_gym.world import BlockRequest, best_model, load_model
from tests.star_worlds import SIZE, tiny_codec, tiny_star


@pytest.fixture(scope="module")
def model() -> StarModel:
    return tiny_star()


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def request(scene, first: int, frames: int, sideways: float = 0.02) -> BlockRequest:
    """Frames that play on from `first` while the camera drifts; the first and the last one are observed."""
    source = np.arange(first, first + frames) % scene.num_frames
    c2w = scene.c2w[source].copy()
    c2w[:, 0, 3] += sideways * np.arange(frames) / frames * scene.median_depth
    return BlockRequest(source, c2w, np.array([0, frames - 1]))


def begin(model, scene, key: int = 0, first: int = 0):
    (session,), (block,) = model.start([scene], [key], [request(scene, first, model.first_frames)])
    return session, block


def go_on(model, scene, session, steps: int, first: int = 20):
    return [
        model.step([session], [request(scene, first + k * model.block_frames, model.block_frames)])[0]
        for k in range(steps)
    ]


def same(blocks, others):
    assert len(blocks) == len(others)
    for block, other in zip(blocks, others, strict=True):
        for name in ("rgb", "depth", "covered"):
            np.testing.assert_array_equal(getattr(block, name), getattr(other, name))


def differ(blocks, others):
    return any((a.rgb != b.rgb).any() for a, b in zip(blocks, others, strict=True))


class TestBlocks:
    def test_shapes_and_types(self, model, room_scene):
        session, first = begin(model, room_scene)
        assert (model.first_frames, model.block_frames) == (9, 12)
        for block in [first, *go_on(model, room_scene, session, 1)]:
            assert block.rgb.shape == (2, *SIZE, 3)
            assert block.rgb.dtype == np.uint8
            assert block.rgb.std() > 10  # a picture of something, or nothing below could fail
            assert block.depth.shape == block.covered.shape == (2, *SIZE)
            assert block.depth.dtype == np.float32
            assert np.isfinite(block.depth).all()
            assert (block.depth > 0).all()
            assert 0.5 < block.covered.mean() <= 1

    def test_depth_is_the_scenes(self, model, room_scene):
        """From the recorded camera, what is covered lies where the scene says."""
        source = np.arange(9)
        still = BlockRequest(source, room_scene.c2w[source].copy(), np.array([8]))
        _, (block,) = model.start([room_scene], [0], [still])
        truth, seen = room_scene.view(SIZE).depth(8), block.covered[0]
        assert seen.mean() > 0.99
        assert np.median(np.abs(block.depth[0] - truth)[seen] / truth[seen]) < 0.01

    @pytest.mark.parametrize("latents", [1, 2])
    def test_other_block_lengths(self, room_scene, latents):
        model = tiny_star(latents_per_block=latents)
        assert (model.first_frames, model.block_frames) == (4 * latents - 3, 4 * latents)
        session, _ = begin(model, room_scene)
        assert len(go_on(model, room_scene, session, 2)) == 2

    def test_a_long_request_is_many_blocks(self, model, room_scene):
        one, other = begin(model, room_scene)[0], begin(model, room_scene)[0]
        long = request(room_scene, 20, 24)
        (block,) = model.step([one], [long])
        halves = [
            BlockRequest(long.source[:12], long.c2w[:12], np.array([0])),
            BlockRequest(long.source[12:], long.c2w[12:], np.array([11])),
        ]
        parts = [model.step([other], [half])[0] for half in halves]
        np.testing.assert_array_equal(block.rgb, np.concatenate([part.rgb for part in parts]))
        np.testing.assert_array_equal(block.depth, np.concatenate([part.depth for part in parts]))

    def test_frames_come_in_the_order_in_which_they_are_wanted(self, model, room_scene):
        session, _ = begin(model, room_scene)
        wanted, long = np.array([23, 0, 13, 12]), request(room_scene, 20, 24)
        (block,) = model.step([session.fork()], [BlockRequest(long.source, long.c2w, wanted)])
        (whole,) = model.step([session], [BlockRequest(long.source, long.c2w, np.arange(24))])
        np.testing.assert_array_equal(block.rgb, whole.rgb[wanted])

    @pytest.mark.parametrize("seen", [[11], [7, 8], []])
    def test_what_somebody_looks_at_does_not_depend_on_what_else_is_looked_at(
        self, model, room_scene, seen, monkeypatch
    ):
        """Neither now nor in the next block, although frames before the first one seen are not decoded."""
        futures, decode, asked = [], model.decoder.decode, []
        monkeypatch.setattr(model.decoder, "decode", lambda z, past, last: asked.append(last) or decode(z, past, last))
        for observe in (np.arange(12), np.array(seen, np.int64)):
            session, _ = begin(model, room_scene)
            asked.clear()
            (block,) = model.step([session], [replace(request(room_scene, 9, 12), observe=observe)])
            assert asked == [12 - min(observe, default=11)]
            futures.append((block, go_on(model, room_scene, session, 1)[0]))
        (whole, after), (some, same_after) = futures
        assert len(some.rgb) == len(seen)
        for found, expected in ((some.rgb, whole.rgb[seen]), (same_after.rgb, after.rgb)):
            np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)

    def test_streaming_is_the_offline_rollout(self, room_scene):
        """Block by block through sessions = the clip as a whole: one splat, one rollout, one pass of the decoder."""
        model, requests = tiny_star(), [request(room_scene, 0, 9)]
        (session,), (block,) = model.start([room_scene], [0], requests)
        made, shown = [session.previous], [block.rgb]
        for k in range(2):
            requests.append(request(room_scene, 20 + 12 * k, 12))
            shown.append(model.step([session], requests[-1:])[0].rgb)
            made.append(session.previous)

        source, c2w = (np.concatenate([getattr(r, name) for r in requests]) for name in ("source", "c2w"))
        whole = BlockRequest(source, c2w, source[:0])
        with torch.inference_mode():
            fresh = model.session(room_scene, 0)
            frames = model._frames(fresh.view, source)[None]
            render, mask, _ = model._splat(frames, [fresh], [whole])
            noise = torch.stack([block_noise(0, k, 4, (3, 16, SIZE[0] // 8, SIZE[1] // 8)) for k in range(3)])
            latents = generate_latents(
                model.dit,
                in_blocks(model.encoder, frames),
                in_blocks(model.encoder, render),
                mask_latents(mask[:, :, 0] * 2 - 1, first=True),
                model.embed(room_scene.caption),
                noise[:, 0].flatten(0, 1)[None],
                noise[:, 1:],
            )
            video, _ = model.decoder.decode(latents, None)
        assert float((torch.cat(made, 1) - latents).abs().max()) < 2e-5
        wanted = [0, 8, 9, 20, 21, 32]
        pictures = ((video[0, wanted] + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
        assert np.abs(np.concatenate(shown) - pictures).max() <= 1

    def test_a_background_fills_holes_as_the_warp_world_does(self, model, room_scene):
        asked = request(room_scene, 30, 12, sideways=0.3)
        filling = tiny_star(background=True)
        (warped,) = WarpModel(SIZE).start([room_scene], [0], [replace(asked, observe=np.arange(12))])[1]
        with torch.inference_mode():
            fresh = model.session(room_scene, 0)
            frames = model._frames(fresh.view, asked.source)[None]
            render, mask, depth = model._splat(frames, [fresh], [asked])
            filled, known, deep = filling._splat(frames, [fresh], [asked])
        new = (known > mask)[0, :, 0].numpy()
        assert 0.01 < new.mean() < 0.5
        np.testing.assert_array_equal(new, (mask[0, :, 0] == 0).numpy() & warped.covered)
        for before, after, other in (
            (render, filled, warped.rgb / np.float32(127.5) - 1),
            (depth, deep, warped.depth[..., None]),
        ):
            before, after = (part[0].movedim(1, -1).numpy() for part in (before, after))
            np.testing.assert_array_equal(after[~new], before[~new])
            np.testing.assert_allclose(after[new], other[new], atol=1e-6)
        assert filling.digest != model.digest

    def test_wrong_requests_are_named(self, model, room_scene):
        with pytest.raises(ValueError, match="first block of 9 frames, got 12"):
            model.start([room_scene], [0], [request(room_scene, 0, 12)])
        session, _ = begin(model, room_scene)
        with pytest.raises(ValueError, match="multiple of 12 frames, got 9"):
            model.step([session], [request(room_scene, 0, 9)])
        beyond = BlockRequest(np.full(12, room_scene.num_frames), np.tile(np.eye(4), (12, 1, 1)), np.array([11]))
        with pytest.raises(IndexError):
            model.step([session], [beyond])
        blocks = session.blocks
        half = BlockRequest(np.r_[np.zeros(12, int), beyond.source], np.tile(np.eye(4), (24, 1, 1)), np.array([0]))
        with pytest.raises(IndexError):
            model.step([session], [half])
        assert session.blocks == blocks  # refused before anything moved
        with pytest.raises(ValueError, match="one of them twice"):
            model.step([session, session], [request(room_scene, 0, 12)] * 2)
        with pytest.raises(ValueError, match="sessions that have begun"):
            model.step([model.session(room_scene, 0)], [request(room_scene, 0, 12)])
        with pytest.raises(ValueError, match="a session that has begun"):
            model.session(room_scene, 0).snapshot()
        with pytest.raises(ValueError, match=r"multiples of 16, got \(50, 64\): pass render_size=\(48, 64\)"):
            tiny_star(render_size=(50, 64))


def in_blocks(encoder, frames):
    """Latents of a clip, coded as a stream has to: what lies beyond a block's end is not known yet."""
    pieces, stream = [], None
    for part in frames.split([9, 12, 12], 1):
        latents, stream = encoder.encode(part, stream)
        pieces.append(latents)
    return torch.cat(pieces, 1)


class TestSessions:
    def test_a_batch_of_five_is_five_singles(self, model, room_scene, street_scene):
        scenes, keys = [room_scene, street_scene, room_scene, room_scene, street_scene], [3, 1, 4, 1, 5]
        firsts = [0, 2, 4, 0, 6]
        sessions, blocks = model.start(scenes, keys, [request(s, f, 9) for s, f in zip(scenes, firsts, strict=True)])
        nexts = [request(s, f + 9, 12) for s, f in zip(scenes, firsts, strict=True)]
        together = [*blocks, *model.step(sessions, nexts)]
        alone, later = [], []
        for scene, key, first, following in zip(scenes, keys, firsts, nexts, strict=True):
            session, block = begin(model, scene, key, first)
            alone.append(block)
            later += model.step([session], [following])
        same(together, [*alone, *later])

    def test_batching_changes_nothing_but_rounding(self, room_scene):
        """What a GPU does, on the CPU: five worlds in one call of the networks."""
        model = tiny_star()
        singles = [begin(model, room_scene, key)[0] for key in range(5)]
        for session in singles:
            go_on(model, room_scene, session, 1)
        model.max_batch = 5
        batched, _ = model.start([room_scene] * 5, range(5), [request(room_scene, 0, 9)] * 5)
        model.step(batched, [request(room_scene, 20, 12)] * 5)
        for one, other in zip(singles, batched, strict=True):
            assert float((one.previous - other.previous).abs().max()) < 1e-4

    def test_a_batch_may_have_any_prompts(self, room_scene, monkeypatch):
        monkeypatch.setattr("inspatio_gym.star.model.KEPT_PROMPTS", 2)
        model = tiny_star()
        model.max_batch = 4
        sessions = [model.session(room_scene, k) for k in range(4)]
        for caption, session in zip("abca", sessions, strict=True):
            session.caption = caption
        text = model._text(sessions)
        assert text.keys.shape[1] == 4
        assert torch.equal(text.keys[:, 0], text.keys[:, 3])
        model._text(sessions[3:])
        model._text([model.session(room_scene, 9)])
        assert list(model._texts) == ["a", room_scene.caption]  # what was asked for last stays

    def test_models_of_equal_digest_continue_each_others_sessions(self, model):
        others = [tiny_star(prompt="a street"), tiny_star(far=1.0)]
        assert tiny_star().digest == model.digest
        codec = tiny_codec()
        codec.network.decoder[1].bias += 1
        others.append(StarModel(model.dit, codec, codec, model.embed, render_size=SIZE))
        assert len({model.digest, *(other.digest for other in others)}) == 4

    def test_keys_make_different_worlds(self, model, room_scene):
        assert (begin(model, room_scene, 1)[1].rgb != begin(model, room_scene, 2)[1].rgb).any()

    def test_snapshot_ten_steps_restore_ten_steps(self, model, room_scene):
        session, _ = begin(model, room_scene, key=2**63 + 1)
        go_on(model, room_scene, session, 1)
        snapshot = session.snapshot()
        blocks = go_on(model, room_scene, session, 10)
        session.restore(snapshot)
        same(blocks, go_on(model, room_scene, session, 10))
        stranger = model.session(room_scene, key=0)
        stranger.restore(snapshot)
        same(blocks[:2], go_on(model, room_scene, stranger, 2))

    def test_a_snapshot_is_plain_arrays_that_nobody_shares(self, model, room_scene):
        session, _ = begin(model, room_scene)
        snapshot = session.snapshot()
        assert all(isinstance(value, np.ndarray | int | str) for value in snapshot.values())
        again = session.snapshot()
        for value in snapshot.values():
            if isinstance(value, np.ndarray):
                value[...] = 0
        for name, value in again.items():
            np.testing.assert_array_equal(value, session.snapshot()[name])

    def test_a_light_snapshot_continues_up_to_rounding(self, room_scene):
        model = tiny_star()
        session, _ = begin(model, room_scene)
        go_on(model, room_scene, session, 5)
        whole, light = session.snapshot(), session.snapshot(light=True)
        assert size_of(light) < size_of(whole)
        blocks = go_on(model, room_scene, session, 2)
        model = tiny_star()  # nothing is remembered of the frames shown
        other = model.session(room_scene, key=0)
        other.restore(light)
        for block, again in zip(blocks, go_on(model, room_scene, other, 2), strict=True):
            assert np.abs(block.rgb.astype(int) - again.rgb).max() <= 2
            np.testing.assert_allclose(block.depth, again.depth, rtol=1e-5)

    def test_a_fork_is_two_independent_equal_futures(self, model, room_scene):
        session, _ = begin(model, room_scene)
        twin = session.fork()
        other_way = go_on(model, room_scene, twin, 2, first=50)
        third = session.fork()
        blocks = go_on(model, room_scene, session, 2)
        same(blocks, go_on(model, room_scene, third, 2))
        assert differ(blocks, other_way)

    def test_interleaved_sessions_do_not_disturb_each_other(self, model, room_scene, street_scene):
        one, _ = begin(model, room_scene, 1)
        undisturbed = go_on(model, room_scene, one, 3)
        one, _ = begin(model, room_scene, 1)
        blocks = []
        for k in range(3):
            blocks += go_on(model, room_scene, one, 1, first=20 + 12 * k)
            other, _ = begin(model, street_scene, k)
            go_on(model, street_scene, other, 1)
        same(undisturbed, blocks)

    def test_references_shown_before_are_not_coded_again(self, room_scene, monkeypatch):
        model, calls = tiny_star(), []
        encode = model.encoder.encode
        monkeypatch.setattr(model.encoder, "encode", lambda *a: (calls.append(1), encode(*a))[1])
        first = begin(model, room_scene, 1)[1]
        assert len(calls) == 2  # the render and the reference
        begin(model, room_scene, 2)
        assert len(calls) == 3
        fresh = tiny_star()
        same([first], [begin(fresh, room_scene, 1)[1]])

    def test_its_size_is_stated_and_never_grows(self, model, room_scene):
        session, _ = begin(model, room_scene)
        go_on(model, room_scene, session, 4)
        before = session.nbytes
        go_on(model, room_scene, session, 40)
        assert session.nbytes == before
        whole = session.snapshot()
        assert before == sum(v.nbytes for k, v in whole.items() if isinstance(v, np.ndarray) and k not in LOG)

    def test_it_moves_between_devices(self, model, room_scene):
        session, _ = begin(model, room_scene)
        moved = session.to("meta")
        assert moved.previous.device.type == "meta"
        assert session.previous.device.type == "cpu"
        same(go_on(model, room_scene, session.to("cpu"), 1), go_on(model, room_scene, session, 1))


LOG = ("past.source", "past.c2w")


def size_of(snapshot):
    return sum(value.nbytes for value in snapshot.values() if isinstance(value, np.ndarray))


class TestEnvironment:
    @pytest.mark.filterwarnings("ignore:.*not within the observation space")
    def test_it_passes_gymnasiums_check(self, model):
        env = gym.make("InSpatio-v0", scene="room", model=model, size=(32, 48))
        check_env(env.unwrapped, skip_render_check=True)

    def test_it_is_deterministic_and_snapshots_through_the_environment(self, model):
        env = gym.make("InSpatio-v0", scene="room", model=model, size=(32, 48))
        frames = []
        for _ in range(2):
            env.action_space.seed(0)
            env.reset(seed=7)
            frames.append([env.step(env.action_space.sample())[0]["rgb"] for _ in range(3)])
        np.testing.assert_array_equal(frames[0], frames[1])
        snapshot = env.unwrapped.snapshot()
        action = env.action_space.sample()
        after = env.step(action)[0]
        env.unwrapped.restore(snapshot)
        np.testing.assert_array_equal(env.step(action)[0]["rgb"], after["rgb"])

    def test_a_vector_of_worlds_is_so_many_singles(self, model):
        arguments = {"scene": "room", "model": model, "size": (32, 48)}
        envs = gym.make_vec("InSpatio-v0", num_envs=2, vectorization_mode="vector_entry_point", **arguments)
        observed, _ = envs.reset(seed=[3, 4])
        actions = envs.action_space.sample() * 0
        stepped = envs.step(actions)[0]
        for k, seed in enumerate((3, 4)):
            env = gym.make("InSpatio-v0", **arguments)
            np.testing.assert_array_equal(env.reset(seed=seed)[0]["rgb"], observed["rgb"][k])
            np.testing.assert_array_equal(env.step(actions[k])[0]["rgb"], stepped["rgb"][k])

    def test_without_weights_the_error_names_the_command(self, tmp_path, monkeypatch):
        monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r"inspatio-gym checkpoints download inspatio-1.3b"):
            gym.make("InSpatio-v0", scene="room", model="inspatio-1.3b")

    def test_auto_is_the_warp_world_without_weights(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        with caplog.at_level("INFO", logger="inspatio_gym"):
            assert load_model("auto").name == "warp"
        assert "'warp'" in caplog.text

    @pytest.mark.parametrize(
        ("gpu", "here", "best"), [(True, True, "inspatio-1.5-1.3b"), (True, False, "warp"), (False, True, "warp")]
    )
    def test_auto_is_the_diffusion_model_where_weights_and_a_gpu_are(self, monkeypatch, gpu, here, best):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr("inspatio_gym.checkpoints.present", lambda name: here)
        assert best_model("cuda") == best
        assert best_model("cpu") == "warp"

    def test_an_option_that_a_model_does_not_know(self):
        with pytest.raises(ValueError, match=r"options of the model 'warp'.*got \['prompt'\]"):
            load_model("warp", prompt="a street")
