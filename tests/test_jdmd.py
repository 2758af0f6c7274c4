"""Distillation of the student: against answers in closed form, against the whole graph, and through its traps."""

from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from torch.distributions import Normal, kl_divergence  # noqa: E402

from inspatio_gym.star.dit import Dit, Text  # noqa: E402
from inspatio_gym.star.offline import generate_latents  # noqa: E402
from inspatio_gym.star.schedule import Schedule, to_clean, to_noisy  # noqa: E402
from inspatio_gym.training.state import packed, read_state, unpack, write_state  # noqa: E402
from inspatio_gym.training.world.conditions import Conditions  # noqa: E402
from inspatio_gym.training.world.flow import (  # noqa: E402
    draw_timesteps,
    flow_loss,
    guided,
    predict_clean,
    score_timesteps,
)
from inspatio_gym.training.world.jdmd import Jdmd, JdmdConfig, matching_gradient  # noqa: E402
from inspatio_gym.training.world.rollout import backward_in_chunks, rollout  # noqa: E402
from inspatio_gym.training.world.seeds import generator  # noqa: E402
from tests.star_worlds import TINY, tiny_dit  # noqa: E402

SCHEDULE = Schedule()
BOTH = ("control", "visual")


def bell(mean, deviation):
    """The flow that is right for clean numbers of a normal distribution."""

    def predict(noisy, timestep):
        sigma = (timestep / 1000).view(-1, *[1] * (noisy.ndim - 1)).double()
        share = (1 - sigma) * deviation**2 / ((1 - sigma) ** 2 * deviation**2 + sigma**2)
        clean = mean + share * (noisy - (1 - sigma) * mean)
        return (noisy - clean) / sigma

    return predict


def blurred(mean, deviation, sigma):
    """How noisy numbers at a level are distributed where clean ones are of a normal distribution."""
    mean, deviation = (torch.as_tensor(value, dtype=torch.float64) for value in (mean, deviation))
    return Normal((1 - sigma) * mean, ((1 - sigma) ** 2 * deviation**2 + sigma**2) ** 0.5)


def normal_quantiles(count):
    """Numbers whose mean is 0 and mean square is 1, exactly, spread as a standard normal's, (count, 1)."""
    z = Normal(0.0, 1.0).icdf((torch.arange(count, dtype=torch.float64) + 0.5) / count)[:, None]
    return z / z.square().mean().sqrt()


class TestFlow:
    def test_the_right_flow_costs_what_noise_leaves_unknown_and_another_costs_more(self):
        clean = 1 + 2 * torch.randn(20_000, 1, generator=torch.Generator().manual_seed(1))
        right, wrong = (float(flow_loss(bell(mean, 2.0), clean, SCHEDULE, generator("cpu", 0))) for mean in (1.0, 1.5))
        sigma = SCHEDULE.training_timesteps().double() / 1000
        # flow = (noisy - clean) / sigma, so its variance given noisy is that of clean over sigma squared.
        unknown = (4 / ((1 - sigma) ** 2 * 4 + sigma**2)).mean()
        assert right == pytest.approx(float(unknown), rel=0.03)
        assert wrong > right + 0.05

    def test_levels_are_those_asked_for(self):
        told = []

        def predict(noisy, timestep):
            told.append(timestep)
            return torch.zeros_like(noisy)

        clean = torch.zeros(64, 2)
        flow_loss(predict, clean, SCHEDULE, generator("cpu", 0), SCHEDULE.timesteps())
        assert set(told.pop().tolist()) == set(SCHEDULE.timesteps().tolist())
        flow_loss(predict, clean, SCHEDULE, generator("cpu", 0))
        assert len(told.pop().unique()) > 50

    def test_scores_are_asked_between_two_levels_alone(self):
        among = score_timesteps(SCHEDULE)
        drawn = draw_timesteps(among, 5000, generator("cpu", 3))
        assert (float(drawn.min()), float(drawn.max())) == pytest.approx((20, 980))
        assert float((drawn == 980).float().mean()) == pytest.approx(0.093, abs=0.015)  # u above 0.98 / 1.08 of 1

    def test_guidance_goes_beyond_the_conditional_answer(self):
        flow = guided(lambda x, t: x + 1, lambda x, t: x - 1, 3.0)
        assert torch.equal(flow(torch.zeros(2), torch.ones(2)), torch.full((2,), 7.0))


class TestGradient:
    """One-dimensional bells, whose scores and divergences are known."""

    @pytest.mark.parametrize("timestep", [50.0, 500.0, 937.5])
    def test_it_is_the_difference_of_the_scores(self, timestep):
        x, noise = torch.randn(2, 16, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        level = torch.full((16,), timestep, dtype=torch.float64)
        sigma = timestep / 1000
        found = matching_gradient(x, bell(2.0, 0.5), bell(-1.0, 1.5), level, noise)
        noisy = ((1 - sigma) * x + sigma * noise).requires_grad_()
        scores = [
            torch.autograd.grad(blurred(*known, sigma).log_prob(noisy).sum(), noisy)[0]
            for known in ((2.0, 0.5), (-1.0, 1.5))
        ]
        real = (noisy + sigma**2 * scores[0]) / (1 - sigma)  # Tweedie
        expected = sigma**2 / (1 - sigma) * (scores[1] - scores[0]) / (x - real).abs()
        torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("timestep", [300.0, 833.0])
    def test_over_all_rollouts_it_is_the_gradient_of_the_divergence(self, timestep):
        """The generator mean + deviation z: d KL / d mean and d KL / d deviation, by torch's own formula."""
        sigma = timestep / 1000
        mean, deviation = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (-1.0, 1.5))
        divergence = kl_divergence(blurred(mean, deviation, sigma), blurred(2.0, 0.5, sigma))
        expected = torch.autograd.grad(divergence, (mean, deviation))
        z = normal_quantiles(40).repeat_interleave(40, 0)  # a grid: every z with every noise
        noise = normal_quantiles(40).repeat(40, 1)
        x, level = (mean + deviation * z).detach(), torch.full((1600,), timestep, dtype=torch.float64)
        real = predict_clean(bell(2.0, 0.5), to_noisy(x, noise, level / 1000), level)
        found = matching_gradient(x, bell(2.0, 0.5), bell(-1.0, 1.5), level, noise) * (x - real).abs()
        found = found * (1 - sigma) ** 2 / sigma**2  # of clean latents -> of scores at noisy -> of scores at x
        assert float(found.mean()) == pytest.approx(float(expected[0]), rel=1e-6)
        assert float((found * z).mean()) == pytest.approx(float(expected[1]), rel=1e-6)

    def test_following_it_leads_to_the_target(self):
        mean, deviation = torch.tensor(-1.0, requires_grad=True), torch.tensor(1.5, requires_grad=True)
        optimizer = torch.optim.Adam([mean, deviation], 0.05, betas=(0.0, 0.999))
        for step in range(150):
            draw = generator("cpu", 5, step)
            z, noise = torch.randn(2, 16, 16, generator=draw)
            x, level = mean + deviation * z, draw_timesteps(score_timesteps(SCHEDULE), 16, draw)
            fake = bell(mean.detach(), deviation.detach())
            gradient = matching_gradient(x.detach(), bell(2.0, 0.5), fake, level, noise)
            optimizer.zero_grad()
            x.backward(gradient.float() / len(x))
            optimizer.step()
        assert (mean.item(), deviation.item()) == pytest.approx((2.0, 0.5), abs=1e-3)

    def test_its_size_does_not_depend_on_the_scale_of_the_world(self):
        x, noise = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        level = torch.full((3,), 999.999, dtype=torch.float64)  # all noise: predictions are the means
        small, large = (matching_gradient(k * x, bell(2 * k, 0.5 * k), bell(-k, k), level, noise) for k in (1.0, 100.0))
        torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-3)


def learner(seed=0, **sizes) -> Dit:
    return tiny_dit(seed, **sizes).requires_grad_(True)


def drawn(frames=6, batch=2, seed=0):
    """Conditions, noise and renoise of a clip of 4x4 latents."""
    draw = torch.Generator().manual_seed(seed)
    shape = (batch, frames, 16, 4, 4)
    conditions = Conditions(
        torch.randn(shape, generator=draw),
        torch.randn(batch, frames, 20, 4, 4, generator=draw),
        torch.arange(batch) % 2 + 1,
    )
    return conditions, torch.randn(shape, generator=draw), torch.randn(batch, 3, *shape[1:], generator=draw)


def without_source(conditions):
    return Conditions.visual(conditions.style, conditions.condition.shape[1], 4, 4)


def table(style):
    """Prompts that are told apart by their row."""
    rows = torch.randn(3, 4, TINY["text_dim"], generator=torch.Generator().manual_seed(9))
    index = torch.as_tensor([("null", "plain", "camera").index(s) for s in style] if isinstance(style, list) else style)
    return rows[index]


class TestRollout:
    def test_to_the_last_step_it_is_what_the_sampler_makes(self):
        dit, (conditions, noise, renoise) = tiny_dit(), drawn(batch=1)
        prompts = table(conditions.style)
        rolled = rollout(dit, dit.read(prompts), conditions, noise, renoise, 3, SCHEDULE)
        mask, render = conditions.condition.split((4, 16), 2)
        fresh = torch.stack([renoise[0, :, :3], renoise[0, :, 3:]])
        sampled = generate_latents(dit, conditions.reference, render, mask, prompts, noise, fresh)
        torch.testing.assert_close(rolled, sampled, rtol=1e-4, atol=1e-5)

    def test_an_earlier_exit_shows_in_the_first_block_and_in_its_successors(self):
        dit, (conditions, noise, renoise) = tiny_dit(), drawn()
        text = dit.read(table(conditions.style))
        early, late = (rollout(dit, text, conditions, noise, renoise, exit_step, SCHEDULE) for exit_step in (0, 2))
        assert float((early - late)[:, :3].abs().max()) > 1e-3
        assert float((early - late)[:, 3:].abs().max()) > 1e-3

    def test_the_past_reaches_the_next_block_also_without_a_source(self):
        dit, (conditions, noise, renoise) = tiny_dit(), drawn()
        text, blank = dit.read(table(conditions.style)), without_source(conditions)
        rolled = rollout(dit, text, blank, noise, renoise, 1, SCHEDULE)
        noise = torch.cat((noise[:, :3] + 1, noise[:, 3:]), 1)
        other = rollout(dit, text, blank, noise, renoise, 1, SCHEDULE)
        assert float((rolled - other)[:, 3:].abs().max()) > 1e-3

    def test_a_clip_of_broken_blocks_is_refused(self):
        dit, (conditions, noise, renoise) = tiny_dit(), drawn(frames=4)
        with pytest.raises(ValueError, match="multiple of 3 latent frames, got 4"):
            rollout(dit, dit.read(table(conditions.style)), conditions, noise, renoise, 0, SCHEDULE)


def whole_graph(dit, text, conditions, noise, renoise, exit_step):
    """A rollout written out: every block's last step in one graph, contexts detached, all earlier steps without gradient."""
    blocks: list[torch.Tensor] = []
    timesteps = SCHEDULE.timesteps()
    for first in range(0, noise.shape[1], 3):
        part = slice(first, first + 3)
        past = [blocks[-1].detach()] if blocks else []
        if conditions.reference is None:
            cache = dit.attended(past[0] if past else None, text, 3)
        else:
            cache = dit.attended(torch.cat((conditions.reference[:, part], *past), 1), text)
        x = noise[:, part]
        for k in range(exit_step + 1):
            flow = dit.denoise(x, conditions.condition[:, part], timesteps[k].expand(len(x)), cache, text)
            clean = to_clean(x, flow, timesteps[k : k + 1] / 1000)
            if k < exit_step:
                x = to_noisy(clean.detach(), renoise[:, k, part], timesteps[k + 1 : k + 2] / 1000)
        blocks.append(clean)
    return torch.cat(blocks, 1)


class TestChunks:
    @pytest.mark.parametrize("exit_step", [0, 2])
    @pytest.mark.parametrize("task", BOTH)
    def test_chunk_by_chunk_equals_the_whole_graph_with_contexts_detached(self, task, exit_step):
        dit, (conditions, noise, renoise) = learner(), drawn(frames=9)
        whole = deepcopy(dit)
        if task == "visual":
            conditions = without_source(conditions)
        prompts = table(conditions.style)
        gradient = torch.randn(noise.shape, generator=torch.Generator().manual_seed(4))
        together = whole_graph(whole, whole.read(prompts), conditions, noise, renoise, exit_step)
        together.backward(gradient)
        text = dit.read(prompts)
        rolled = rollout(dit, text, conditions, noise, renoise, exit_step, SCHEDULE)
        assert not rolled.requires_grad
        backward_in_chunks(dit, text, conditions, noise, renoise, exit_step, gradient, rolled, SCHEDULE)
        torch.testing.assert_close(rolled, together.detach(), rtol=1e-5, atol=1e-5)
        for (name, mine), theirs in zip(dit.named_parameters(), whole.parameters(), strict=True):
            assert mine.grad is not None, name
            scale = float(theirs.grad.abs().max())
            assert scale > 0, name
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5 * scale, msg=name)

    def test_building_the_cache_is_part_of_it(self):
        """Of a gradient at the second block alone: with what it attends to cut off from the weights, it is another."""
        dit, (conditions, noise, renoise) = learner(), drawn()
        prompts = table(conditions.style)
        gradient = torch.cat((torch.zeros_like(noise[:, :3]), torch.ones_like(noise[:, 3:])), 1)
        grads = []
        for cut in (False, True):
            one = deepcopy(dit)
            if cut:
                attended = one.attended

                def without(*given, attended=attended):
                    with torch.no_grad():
                        return attended(*given)

                one.attended = without
            text = one.read(prompts)
            rolled = rollout(one, text, conditions, noise, renoise, 1, SCHEDULE)
            backward_in_chunks(one, text, conditions, noise, renoise, 1, gradient, rolled, SCHEDULE)
            grads.append(one.blocks[0].self_attn.k.weight.grad)
        assert float((grads[0] - grads[1]).norm() / grads[0].norm()) > 0.01

    def test_in_16_bits_it_is_the_same_but_for_rounding(self):
        conditions, noise, renoise = drawn()
        prompts, gradient = table(conditions.style), torch.ones_like(noise)
        exact, rounded = learner(), learner()
        for dit, half in ((exact, False), (rounded, True)):
            with torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False):
                text = dit.read(prompts)
                rolled = rollout(dit, text, conditions, noise, renoise, 2, SCHEDULE)
                backward_in_chunks(dit, text, conditions, noise, renoise, 2, gradient, rolled, SCHEDULE)
        for (name, mine), theirs in zip(rounded.named_parameters(), exact.parameters(), strict=True):
            alike = torch.nn.functional.cosine_similarity(mine.grad.flatten(), theirs.grad.flatten(), 0)
            assert float(alike) > 0.99, name

    def test_another_first_pass_is_noticed(self):
        dit, (conditions, noise, renoise) = learner(), drawn()
        text = dit.read(table(conditions.style))
        rolled = rollout(dit, text, conditions, noise, renoise, 0, SCHEDULE)
        other = torch.cat((rolled[:, :3], rolled[:, 3:] * 1.001), 1)
        with pytest.raises(RuntimeError, match=r"latent frames 3\.\.5 to be within 0%"):
            backward_in_chunks(dit, text, conditions, noise, renoise, 0, torch.ones_like(noise), other, SCHEDULE)


class TestSeeds:
    def test_the_place_decides_the_numbers_and_nothing_else_does(self):
        places = [(0,), (1,), (0, 1), (1, 0), (0, 1, 0)]
        first, again = ([torch.rand(3, generator=generator("cpu", *place)) for place in places] for _ in range(2))
        assert torch.equal(torch.stack(first), torch.stack(again))
        assert len({tuple(numbers.tolist()) for numbers in first}) == len(places)


SMALL = {"num_layers": 1}


def distillation(tasks=BOTH, weights_of=0, **config) -> Jdmd:
    teachers = {task: tiny_dit(10 + BOTH.index(task), **SMALL) for task in tasks}
    return Jdmd(tiny_dit(weights_of, **SMALL), teachers, table, JdmdConfig(**config))


def batches(number, tasks=BOTH):
    conditions, *_ = drawn(seed=number)
    both = {"control": conditions, "visual": without_source(conditions)}
    return {task: both[task] for task in tasks}


def weights(jdmd):
    return {
        name: torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])
        for name, network in jdmd.networks.items()
    }


def student_gradient(jdmd, steps=2):
    """Of the first update of the student, which is due at the last of these steps."""
    for number in range(steps):
        jdmd.step(number, batches(number, tuple(jdmd.teachers)))
    return torch.cat([p.grad.flatten() for p in jdmd.networks["student"].parameters()])


class Bell(torch.nn.Module):
    """A network that knows one number: latents are that, give or take one, whatever it is told."""

    device = torch.device("cpu")

    def __init__(self, mean):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.tensor(mean))

    def read(self, prompts):
        return Text(*(0 * self.mean + prompts,) * 2)

    def attended(self, context, text, first_frame=0):
        return 0 * text.keys.sum() + 0 * text.values.sum()

    def denoise(self, noisy, condition, timestep, cache, text):
        return bell(self.mean, 1.0)(noisy, timestep).float() + cache

    def joint(self, noisy, condition, timestep, text, reference):
        return bell(self.mean, 1.0)(noisy, timestep).float()


class TestDistillation:
    @pytest.mark.parametrize(
        ("teachers", "share", "expected"),
        [
            ({"control": 1.0}, 1.0, 1.0),
            ({"control": 1.0, "visual": -1.0}, 0.01, -1.0),
            ({"control": 1.0, "visual": -1.0}, 100.0, 1.0),
        ],
    )
    def test_the_student_goes_where_the_teachers_are(self, teachers, share, expected):
        config = JdmdConfig(control_weight=share, student_rate=0.1, critic_rate=0.1, critic_updates=2)
        jdmd = Jdmd(Bell(0.0), {task: Bell(mean) for task, mean in teachers.items()}, table, config)
        means = []
        for number in range(80):
            for optimizer in jdmd.optimizers.values():
                optimizer.param_groups[0]["lr"] = 0.1 * (1 - number / 80)
            jdmd.step(number, batches(0, tuple(teachers)))
            means.append(jdmd.networks["student"].mean.item())
        assert sum(means[-20:]) / 20 == pytest.approx(expected, abs=0.25)


class TestJdmd:
    def test_five_updates_of_every_critic_for_one_of_the_student(self):
        jdmd, changes = distillation(), {"student": 0, "averaged": 0, "fake_control": 0, "fake_visual": 0}
        before = weights(jdmd)
        for number in range(10):
            jdmd.step(number, batches(number))
            after = weights(jdmd)
            changes = {name: changes[name] + (not torch.equal(before[name], after[name])) for name in changes}
            before = after
            if number == 3:
                assert changes["student"] == 0
        assert changes == {"student": 2, "averaged": 2, "fake_control": 10, "fake_visual": 10}

    def test_every_update_of_the_student_is_by_both_tasks_and_lambda_is_the_control_tasks_share(self):
        options = {"critic_updates": 2}
        visual, control = (student_gradient(distillation((task,), **options)) for task in ("visual", "control"))
        assert float(visual.norm()) > 0
        assert float(control.norm()) > 0
        for share in (0.0, 1.0, 3.0):
            both = student_gradient(distillation(control_weight=share, **options))
            torch.testing.assert_close(both, visual + share * control, rtol=1e-4, atol=1e-6 * float(both.abs().max()))

    def test_lambda_survives_the_optimizer(self):
        """The update itself, not its gradient alone, goes from the one task's to the other's."""

        def update(tasks, **config):
            jdmd = distillation(tasks, critic_updates=1, **config)
            before = weights(jdmd)["student"]
            jdmd.step(0, batches(0, tasks))
            return weights(jdmd)["student"] - before

        alike = torch.nn.functional.cosine_similarity
        visual, control = update(("visual",)), update(("control",))
        towards = [
            float(alike(update(BOTH, control_weight=share), control, 0) - alike(visual, control, 0))
            for share in (0.0, 0.3, 3.0, 1000.0)
        ]
        assert towards[0] == pytest.approx(0, abs=1e-3)
        assert towards == sorted(towards)
        assert towards[1] > 0.05
        assert towards[3] == pytest.approx(1 - float(alike(visual, control, 0)), abs=0.05)

    def test_a_critic_that_says_what_its_teacher_says_moves_the_student_by_guidance_alone(self):
        """Critics begin as copies of the teachers, so the first update shows it."""
        options = {"critic_updates": 1}
        assert float(student_gradient(distillation(guidance=0.0, **options), 1).abs().max()) == 0
        assert float(student_gradient(distillation(guidance=3.0, **options), 1).abs().max()) > 0

    def test_every_step_and_seed_has_noise_of_its_own(self):
        places = [(0, 0), (0, 1), (1, 0)]
        losses = [distillation(seed=seed).step(number, batches(0)) for seed, number in places]
        for task in BOTH:
            assert len({lost[f"critic/{task}"] for lost in losses}) == len(places)

    def test_an_average_follows_the_student(self):
        jdmd = distillation(critic_updates=1, average=0.75)
        before = weights(jdmd)
        jdmd.step(0, batches(0))
        after = weights(jdmd)
        torch.testing.assert_close(after["averaged"], 0.75 * before["student"] + 0.25 * after["student"])

    def test_critics_learn_the_students_rollouts(self):
        """A student that stays as it is: on the same rollouts and noise as at first, the critics' losses are lower."""
        jdmd = distillation(critic_updates=1000, critic_rate=1e-2)
        first = jdmd.step(0, batches(0))
        for number in range(1, 12):
            jdmd.step(number, batches(0))
        again = jdmd.step(0, batches(0))
        for task in BOTH:
            assert again[f"critic/{task}"] < 0.85 * first[f"critic/{task}"]

    def test_a_resumed_training_is_equal_to_the_bit(self, tmp_path):
        straight, stopped = distillation(critic_updates=2), distillation(critic_updates=2)
        for number in range(5):
            straight.step(number, batches(number))
        for number in range(3):
            stopped.step(number, batches(number))
        write_state(tmp_path / "state.safetensors", packed(stopped.networks, stopped.optimizers))
        resumed = distillation(weights_of=1, critic_updates=2)
        tensors, _ = read_state(tmp_path / "state.safetensors")
        unpack(tensors, resumed.networks, resumed.optimizers)
        for number in range(3, 5):
            resumed.step(number, batches(number))
        mine, theirs = weights(resumed), weights(straight)
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)

    @pytest.mark.parametrize("where", ["reference", "teacher", "student"])
    def test_what_is_not_finite_stops_it_and_no_weight_has_changed(self, where):
        jdmd, given = distillation(critic_updates=2), batches(1)
        jdmd.step(0, batches(0))
        spoiled = {"teacher": jdmd.teachers["visual"], "student": jdmd.networks["student"]}
        if where == "reference":
            given["control"].reference[0, 0, 0, 0, 0] = torch.nan
        else:
            with torch.no_grad():
                spoiled[where].head.head.bias[0] = torch.inf
        before = weights(jdmd)
        with pytest.raises(FloatingPointError, match=r"step 1.*no weight was changed"):
            jdmd.step(1, given)
        after = weights(jdmd)
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_unknown_tasks_and_missing_batches_are_named(self):
        with pytest.raises(ValueError, match="tasks out of"):
            Jdmd(tiny_dit(), {"text": tiny_dit()}, table)
        with pytest.raises(ValueError, match=r"a batch for each of \('control', 'visual'\), got \('control',\)"):
            distillation().step(0, batches(0, ("control",)))
