"""The diffusion transformer and its sampler: parity with the released implementation, and laws at other sizes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from inspatio_gym.star import generate_latents, load_dit
from inspatio_gym.star.attention import KERNELS, candidates, choose
from inspatio_gym.star.dit import Dit, DitConfig
from inspatio_gym.star.mask import mask_latents
from inspatio_gym.star.noise import block_noise
from inspatio_gym.star.rope import angles, rotate
from inspatio_gym.star.schedule import Schedule, to_clean, to_noisy
from tests.star_worlds import tiny_dit

ROLLOUT = ("ref_latent", "render_latent", "mask_latent", "prompt_embeds", "noise", "renoise")


@pytest.fixture(scope="module")
def released(shared):
    return load_file(shared / "fixtures/dit_tiny/tensors.safetensors")


@pytest.fixture(scope="module")
def dit(shared):
    folder = shared / "fixtures/dit_tiny"
    return load_dit(folder / "weights.safetensors", folder / "config.json")


def apart(a, b):
    assert a.shape == b.shape
    return float((a - b).abs().max())


class TestParity:
    @pytest.mark.parametrize("number", [0, 1])
    def test_context_keys_and_values_are_the_released_ones(self, dit, released, number):
        context = released[f"block{number}.context_in"]
        with torch.inference_mode():
            cache = dit.prefill(context[:, :, :16], dit.read(released["prompt_embeds"]), block_frames=3)
        for layer in range(dit.config.num_layers):
            for ours, theirs in ((cache.keys, "k"), (cache.values, "v")):
                expected = released[f"block{number}.kv.{layer}.{theirs}"]
                assert apart(ours[layer, :, : cache.length], expected) < 1e-4

    @pytest.mark.parametrize("number", [0, 1])
    def test_flow_and_clean_latents_of_every_step_are_the_released_ones(self, dit, released, number):
        part = slice(3 * number, 3 * number + 3)
        condition = torch.cat((released["mask_latent"], released["render_latent"]), 2)[:, part]
        schedule = Schedule()
        with torch.inference_mode():
            text = dit.read(released["prompt_embeds"])
            cache = dit.prefill(released[f"block{number}.context_in"][:, :, :16], text, block_frames=3)
            for k, timestep in enumerate(schedule.timesteps()):
                x = released[f"block{number}.step{k}.x"]
                flow = dit.denoise(x, condition, timestep[None], cache, text)
                assert apart(flow, released[f"block{number}.step{k}.flow"]) < 1e-4
                clean = to_clean(x, flow, schedule.sigma(timestep[None]))
                assert apart(clean, released[f"block{number}.step{k}.x0"]) < 1e-4

    def test_a_rollout_of_three_blocks_is_the_released_one(self, dit, released):
        assert apart(generate_latents(dit, *(released[name] for name in ROLLOUT)), released["output"]) < 1e-4

    def test_schedule(self, shared):
        released = load_file(shared / "fixtures/scheduler/scheduler.safetensors")
        schedule = Schedule()
        assert apart(schedule.training_timesteps(), released["timesteps"]) <= 1e-6
        assert apart(schedule.timesteps(), released["warped"]) <= 1e-6
        assert apart(schedule.sigma(released["timesteps"]), released["sigmas"]) <= 1e-6
        noisy = to_noisy(released["x"], released["noise"], schedule.sigma(released["t"]))
        assert apart(noisy, released["noisy"]) <= 1e-6

    @pytest.mark.parametrize("frames", [9, 12, 13, 25])
    def test_mask_channels(self, shared, frames):
        released = load_file(shared / "fixtures/scheduler/mask.safetensors")
        whole = 1 + (frames - 1) // 4 * 4  # frames that fill no whole latent are dropped
        ours = mask_latents(released[f"mask_{frames}"][:, 0, :whole], first=True)
        assert apart(ours, released[f"latent_mask_{frames}"]) <= 1e-6

    def test_a_mask_in_blocks_is_the_whole_one(self, shared):
        mask = load_file(shared / "fixtures/scheduler/mask.safetensors")["mask_25"][:, 0, :21]
        blocks = [mask_latents(mask[:, :9], first=True), mask_latents(mask[:, 9:], first=False)]
        assert torch.equal(torch.cat(blocks, 1), mask_latents(mask, first=True))


class TestNetwork:
    @settings(max_examples=8, deadline=None)
    @given(
        heads=st.integers(1, 3),
        half=st.sampled_from([4, 10, 16]),
        height=st.sampled_from([2, 4, 6]),
        width=st.sampled_from([2, 8]),
        block=st.sampled_from([1, 2, 3]),
    )
    def test_any_size_and_block_length(self, heads, half, height, width, block):
        dit = tiny_dit(dim=heads * half * 2, num_heads=heads)
        noise = torch.randn(2, 2 * block, 16, height, width)
        mask, renoise = torch.randn(2, 2 * block, 4, height, width), torch.randn(2, 3, block, 16, height, width)
        text = torch.randn(1, 5, 24)
        both = generate_latents(dit, noise, noise, mask, text, noise, renoise, frames_per_block=block)
        assert both.shape == noise.shape
        for k in (0, 1):
            one, mask_of_one = noise[k : k + 1], mask[k : k + 1]
            alone = generate_latents(dit, one, one, mask_of_one, text, one, renoise, frames_per_block=block)
            assert apart(both[k : k + 1], alone) < 1e-4

    def test_what_is_not_attended_to_does_not_matter(self):
        """What is given for the second block does not reach the first, and reaches the second."""
        dit = tiny_dit()
        noise, mask, renoise = torch.randn(1, 4, 16, 4, 4), torch.randn(1, 4, 4, 4, 4), torch.randn(2, 3, 2, 16, 4, 4)
        text = torch.randn(1, 5, 24)
        given = [torch.randn(1, 4, 16, 4, 4), noise.clone(), mask, text, noise, renoise]
        before = generate_latents(dit, *given, frames_per_block=2)
        for number in (0, 1, 2, 4):  # reference, render, mask, noise
            changed = list(given)
            changed[number] = given[number].clone()
            changed[number][:, 2:] += 1
            after = generate_latents(dit, *changed, frames_per_block=2)
            assert torch.equal(before[:, :2], after[:, :2])
            assert apart(before[:, 2:], after[:, 2:]) > 1e-3
        changed = [*given[:3], text + 1, *given[4:]]
        assert apart(before[:, :2], generate_latents(dit, *changed, frames_per_block=2)[:, :2]) > 1e-3

    def test_a_cache_is_written_again_without_a_trace_of_the_last_block(self):
        dit, context, other = tiny_dit(), torch.randn(1, 2, 16, 4, 4), torch.randn(1, 2, 16, 4, 4)
        with torch.inference_mode():
            text = dit.read(torch.randn(1, 5, 24))
            noisy, condition, timestep = torch.randn(1, 2, 16, 4, 4), torch.randn(1, 2, 20, 4, 4), torch.tensor([625.0])
            fresh = dit.denoise(noisy, condition, timestep, dit.prefill(context, text), text)
            used = dit.prefill(other, text)
            dit.denoise(noisy + 1, condition, timestep, used, text)
            again = dit.prefill(context, text, used)
            assert again.keys.data_ptr() == used.keys.data_ptr()
            assert torch.equal(dit.denoise(noisy, condition, timestep, again, text), fresh)
            assert torch.equal(dit.denoise(noisy, condition, timestep, again, text), fresh)

    def test_shapes_that_do_not_go_together_are_named(self):
        noise, mask, renoise = torch.randn(1, 2, 16, 4, 4), torch.ones(1, 2, 4, 4, 4), torch.randn(1, 3, 2, 16, 4, 4)
        text = torch.ones(1, 3, 24)
        with pytest.raises(ValueError, match=r"expected ref_latents \(1, 2, 16, 4, 4\).*got \(1, 1, 16, 4, 4\)"):
            generate_latents(tiny_dit(), noise[:, :1], noise, mask, text, noise, renoise, 2)
        with pytest.raises(ValueError, match="expected renoise"):
            generate_latents(tiny_dit(), noise, noise, mask, text, noise, renoise[:, :2], 2)
        with pytest.raises(ValueError, match="multiple of 3 latent frames, got 2"):
            generate_latents(tiny_dit(), noise, noise, mask, text, noise, renoise)

    def test_no_room_and_other_mistakes_are_named(self):
        dit = tiny_dit()
        with torch.inference_mode():
            text = dit.read(torch.randn(1, 5, 24))
            cache = dit.prefill(torch.randn(1, 2, 16, 4, 4), text, block_frames=1)
            with pytest.raises(ValueError, match="room for 8 tokens"):
                dit.denoise(torch.randn(1, 2, 16, 4, 4), torch.randn(1, 2, 20, 4, 4), torch.tensor([1.0]), cache, text)
            with pytest.raises(ValueError, match="even height and width"):
                dit.prefill(torch.randn(1, 2, 16, 3, 4), text)
            with pytest.raises(ValueError, match="prompt embeddings"):
                dit.read(torch.randn(1, 5, 23))

    def test_padding_of_a_prompt_is_zeros(self):
        dit, text = tiny_dit(), torch.randn(1, 3, 24)
        with torch.inference_mode():
            short, full = dit.read(text), dit.read(torch.cat((text, torch.zeros(1, 5, 24)), 1))
        assert torch.equal(short.keys, full.keys)


class TestTraining:
    """The same network with gradients, and as a teacher that sees a whole clip."""

    @staticmethod
    def given(batch=2, frames=3, seed=0):
        rng = torch.Generator().manual_seed(seed)
        noisy, context = torch.randn(2, batch, frames, 16, 4, 4, generator=rng)
        condition = torch.randn(batch, frames, 20, 4, 4, generator=rng)
        return noisy, condition, torch.tensor([937.5, 250.0])[:batch], context, torch.randn(batch, 5, 24, generator=rng)

    def test_a_context_with_gradients_is_the_cached_one(self):
        dit = tiny_dit().requires_grad_(True)
        noisy, condition, timestep, context, words = self.given()
        text = dit.read(words)
        with torch.no_grad():
            cached = dit.denoise(noisy, condition, timestep, dit.prefill(context, text), text)
        attended = dit.attended(context, text)
        first = dit.denoise(noisy, condition, timestep, attended, text)
        assert torch.equal(first, cached)
        dit.denoise(noisy + 1, condition, timestep, attended, text)
        assert torch.equal(dit.denoise(noisy, condition, timestep, attended, text), cached)

    @pytest.mark.parametrize("causal", [True, False])
    def test_gradients_are_finite_differences(self, causal):
        """Along the gradient, of the weights and of everything that is given."""
        dit = tiny_dit(dim=16, ffn_dim=16).requires_grad_(True)
        noisy, condition, timestep, context, words = (x.requires_grad_(x.ndim > 1) for x in self.given())
        weight = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(1)) / noisy.numel() ** 0.5

        def loss():
            text = dit.read(words)
            if causal:
                flow = dit.denoise(noisy, condition, timestep, dit.attended(context, text), text)
            else:
                flow = dit.joint(noisy, condition, timestep, text, context)
            return (flow * weight).sum()

        for inputs in ([noisy], [condition], [context], [words], list(dit.parameters())):
            gradients = torch.autograd.grad(loss(), inputs)
            length = sum(g.square().sum() for g in gradients).sqrt()
            assert length > 1e-2
            values = []
            with torch.no_grad():
                for step in (0.01, -0.02):
                    for x, gradient in zip(inputs, gradients, strict=True):
                        x += step * gradient / length
                    values.append(loss())
                for x, gradient in zip(inputs, gradients, strict=True):
                    x += 0.01 * gradient / length
            assert float((values[0] - values[1]) / 0.02) == pytest.approx(float(length), rel=0.01)

    def test_every_weight_of_a_causal_step_has_a_gradient(self):
        dit = tiny_dit().requires_grad_(True)
        noisy, condition, timestep, context, words = self.given()
        text = dit.read(words)
        dit.denoise(noisy, condition, timestep, dit.attended(context, text), text).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in dit.parameters())

    def test_all_frames_of_a_clip_see_all_frames(self):
        dit = tiny_dit()
        noisy, condition, timestep, reference, words = self.given(frames=4)
        text = dit.read(words)
        before = dit.joint(noisy, condition, timestep, text, reference)
        assert before.shape == noisy.shape
        for inputs in ("noisy", "condition", "reference"):
            for frame in range(4):
                given = {"noisy": noisy.clone(), "condition": condition.clone(), "reference": reference.clone()}
                given[inputs][:, frame] += 1
                after = dit.joint(given["noisy"], given["condition"], timestep, text, given["reference"])
                assert ((after - before).abs().amax((0, 2, 3, 4)) > 1e-4).all()

    def test_samples_have_their_own_timesteps_texts_and_nothing_else(self):
        dit = tiny_dit()
        noisy, condition, timestep, reference, words = self.given()
        both = dit.joint(noisy, condition, timestep, dit.read(words), reference)
        for k in (0, 1):
            one = slice(k, k + 1)
            alone = dit.joint(noisy[one], condition[one], timestep[one], dit.read(words[one]), reference[one])
            assert apart(both[one], alone) < 1e-5
            assert apart(dit.joint(noisy, condition, timestep.flip(0), dit.read(words), reference)[one], alone) > 1e-3
            assert apart(dit.joint(noisy, condition, timestep, dit.read(words.flip(0)), reference)[one], alone) > 1e-3

    def test_without_a_reference_a_clip_is_a_block_that_nothing_came_before(self):
        """At other frames of the rotary embedding, where distance alone counts."""
        dit = tiny_dit()
        noisy, condition, timestep, _, words = self.given()
        text = dit.read(words)
        block = dit.denoise(noisy, condition, timestep, dit.attended(None, text), text)
        assert apart(dit.joint(noisy, condition, timestep, text), block) < 1e-5

    def test_in_one_layer_a_reference_is_a_context_at_the_same_frames(self):
        """Six frames of it end where a block begins. A second layer would know that the reference has seen the noise."""
        dit = tiny_dit(num_layers=1)
        noisy, condition, _, _, words = self.given()
        reference, never = torch.randn(2, 6, 16, 4, 4), torch.zeros(2)
        text = dit.read(words)
        block = dit.denoise(noisy, condition, never, dit.attended(reference, text), text)
        assert apart(dit.joint(noisy, condition, never, text, reference), block) < 1e-5

    def test_a_past_alone_lies_where_it_lies_behind_a_reference(self):
        dit = tiny_dit(num_layers=1)
        _, _, _, past, words = self.given()
        text = dit.read(words)
        (both,) = dit.attended(torch.cat((torch.randn(past.shape), past), 1), text).parts
        (alone,) = dit.attended(past, text, first_frame=3).parts
        for ours, theirs in zip(alone, both, strict=True):
            assert apart(ours, theirs[:, ours.shape[1] :]) < 1e-5
        assert apart(alone.keys, dit.attended(past, text).parts[0].keys) > 1e-2

    def test_a_context_of_other_worlds_is_refused(self):
        dit = tiny_dit()
        noisy, condition, timestep, context, words = self.given()
        text = dit.read(words[:1])
        with pytest.raises(ValueError, match="context of 2 worlds, got one of 1"):
            dit.denoise(noisy, condition, timestep, dit.attended(context[:1], text), text)

    def test_autocast_is_close(self):
        """As on a GPU: weights at float32, products at bfloat16."""
        dit = tiny_dit().requires_grad_(True)
        noisy, condition, timestep, context, words = self.given()
        flows, slopes = [], []
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled):
                text = dit.read(words)
                flow = dit.denoise(noisy, condition, timestep, dit.attended(context, text), text)
            slopes += torch.autograd.grad(flow.square().mean(), [dit.patch_embedding.weight])
            flows.append(flow.detach())
        for exact, rounded in (flows, slopes):
            assert rounded.dtype == torch.float32
            assert 0 < float((exact - rounded).norm() / exact.norm()) < 0.05


class TestRope:
    @settings(max_examples=20, deadline=None)
    @given(offset=st.integers(0, 40), frame=st.integers(0, 3), other=st.integers(0, 3))
    def test_attention_depends_on_distance_alone(self, offset, frame, other):
        q, k = torch.randn(2, 1, 4 * 2 * 3, 1, 44)

        def score(first):
            turn = angles((4, 2, 3), first, 44, torch.device("cpu"))
            a, b = rotate(q, *turn)[0, frame * 6, 0], rotate(k, *turn)[0, other * 6, 0]
            return a @ b

        assert float((score(0) - score(offset)).abs()) < 1e-4

    def test_the_first_token_is_not_turned_and_no_length_changes(self):
        x = torch.randn(1, 12, 2, 20)
        turned = rotate(x, *angles((3, 2, 2), 0, 20, torch.device("cpu")))
        assert torch.equal(turned[:, 0], x[:, 0])
        assert apart(turned.norm(dim=-1), x.norm(dim=-1)) < 1e-5

    def test_gradients_are_possible_after_inference(self):
        with torch.inference_mode():
            angles((1, 1, 2), 5, 8, torch.device("cpu"))
        q = torch.randn(1, 2, 1, 8, requires_grad=True)
        rotate(q, *angles((1, 1, 2), 5, 8, torch.device("cpu"))).sum().backward()
        assert q.grad is not None


class TestSchedule:
    @given(sigma=st.floats(0.05, 1), seed=st.integers(0, 99))
    def test_the_clean_latents_come_back_from_the_true_flow(self, sigma, seed):
        clean, noise = torch.randn(2, 1, 3, 16, 2, 2, generator=torch.Generator().manual_seed(seed))
        level = torch.tensor([sigma])
        assert apart(to_clean(to_noisy(clean, noise, level), noise - clean, level), clean) < 1e-5

    @pytest.mark.parametrize("steps", [(), (250, 500), (1001,), (500, 0)])
    def test_steps_must_fall(self, steps):
        with pytest.raises(ValueError, match="falling steps"):
            Schedule(steps)


class TestNoise:
    def test_any_draw_can_be_had_without_the_others(self):
        assert torch.equal(block_noise(7, 3, 4, (2, 3))[:2], block_noise(7, 3, 2, (2, 3)))

    def test_all_64_bits_of_a_key_count(self):
        keys = (0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)
        assert len({block_noise(key, 0, 1, (4,)).numpy().tobytes() for key in keys}) == len(keys)

    def test_keys_blocks_and_draws_differ(self):
        draws = [block_noise(key, block, 2, (64,))[k] for key in (1, 2) for block in (0, 1) for k in (0, 1)]
        correlation = torch.corrcoef(torch.stack(draws)) - torch.eye(len(draws))
        assert float(correlation.abs().max()) < 0.5

    def test_it_is_standard_normal(self):
        noise = block_noise(2**63 + 5, 0, 2, (20_000,))
        assert abs(float(noise.mean())) < 0.02
        assert abs(float(noise.std()) - 1) < 0.02

    def test_the_numbers_never_change(self):
        """They are part of what a seed means."""
        assert block_noise(1, 2, 2, (2,)).flatten().tolist() == pytest.approx(GOLDEN, abs=1e-6)


GOLDEN = [1.1197171, -1.2581526, -1.5942696, -0.8225908]


class TestAttention:
    def test_an_old_gpu_has_one_too(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
        assert candidates(torch.device("cuda"), torch.float16) == ["sdpa"]

    def test_the_cpu_takes_torchs_own_unless_it_is_told(self):
        assert candidates(torch.device("cpu"), torch.float32) == ["sdpa"]
        assert choose("cpu", torch.bfloat16) == "sdpa"
        assert choose("cpu", torch.bfloat16, "products") == "products"
        assert choose("cpu", torch.float32) == "sdpa"

    def test_two_products_are_what_torch_computes(self):
        q, k, v = (torch.randn(2, length, 3, 8, generator=torch.manual_seed(length)) for length in (5, 7, 7))
        torch.testing.assert_close(KERNELS["products"](q, k, v), KERNELS["sdpa"](q, k, v), atol=1e-6, rtol=1e-5)

    def test_a_kernel_that_cannot_work_is_refused(self, monkeypatch):
        with pytest.raises(ValueError, match="'flash2'"):
            choose("cpu", torch.float32, "flash2")
        monkeypatch.setenv("INSPATIO_GYM_ATTENTION", "cudnn")  # meant for the GPU
        assert choose("cpu", torch.float32) == "sdpa"
        monkeypatch.setenv("INSPATIO_GYM_ATTENTION", "nonsense")
        with pytest.raises(ValueError, match="'nonsense'"):
            choose("cpu", torch.float32)


def test_a_transformer_says_what_sizes_do_not_fit():
    with pytest.raises(ValueError, match="num_heads"):
        DitConfig(dim=30, num_heads=4)
    assert Dit(DitConfig(dim=32, ffn_dim=8, num_heads=2, num_layers=1, text_dim=4, freq_dim=8)).config.head_dim == 16
