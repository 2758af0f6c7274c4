"""Training a tiny STAR model from nothing: its stages, how they are resumed, what comes out."""

import itertools
import json
import pickle
import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from safetensors.torch import load_file  # noqa: E402
from torch.utils.tensorboard import SummaryWriter  # noqa: E402

from inspatio_gym.star.dit import DitConfig  # noqa: E402
from inspatio_gym.star.schedule import Schedule  # noqa: E402
from inspatio_gym.star.taehv import Taehv, TaehvCodec, TaehvConfig  # noqa: E402
from inspatio_gym.star.tiny import load_tiny  # noqa: E402
from inspatio_gym.training.world import causal, command, kept, latents, looks, stage  # noqa: E402
from inspatio_gym.training.world.clips import ClipPlan, Pairs  # noqa: E402
from inspatio_gym.training.world.codec import CodecStage, codec_losses  # noqa: E402
from inspatio_gym.training.world.command import NEEDS, Supply, TrainWorldConfig, train_world  # noqa: E402
from inspatio_gym.training.world.conditions import Conditions  # noqa: E402
from inspatio_gym.training.world.curves import save_curves  # noqa: E402
from inspatio_gym.training.world.distillation import DistillationStage  # noqa: E402
from inspatio_gym.training.world.jdmd import JdmdConfig  # noqa: E402
from inspatio_gym.training.world.latents import Footage  # noqa: E402
from inspatio_gym.training.world.networks import Prompted  # noqa: E402
from inspatio_gym.training.world.pool import Pool  # noqa: E402
from inspatio_gym.training.world.seeds import generator  # noqa: E402
from inspatio_gym.training.world.stage import Effort, Rated  # noqa: E402
from inspatio_gym.training.world.teachers import sample  # noqa: E402
from inspatio_gym.world import BlockRequest  # noqa: E402

SIZES = DitConfig(dim=32, ffn_dim=32, num_heads=2, num_layers=1, text_dim=8, text_len=2, freq_dim=16)
CODEC = TaehvConfig(encoder=(4, 4, 8, 8), decoder=(8, 8, 4, 4), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
PLAN = ClipPlan(size=(32, 48), frames=21, clips=2, names=("room",))


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainWorldConfig:
    """A training of seconds."""
    monkeypatch.setattr(looks, "COUNT", 2)
    monkeypatch.setattr("inspatio_gym.training.world.teachers.SAMPLED", 2)
    rated, effort = Rated(99.0, 2, 2, 1e-3), Effort(99.0, 2, 2)
    return TrainWorldConfig(
        run=tmp_path / "run",
        stages=tuple(NEEDS),
        codec=rated, control=rated, decoder=rated, visual=rated, causal=rated, v2v=effort, jdmd=effort,
        distillation=JdmdConfig(critic_updates=2, student_rate=0.1),
        transformer=SIZES,
        autoencoder=CODEC,
        clips=PLAN,
        supply=Supply(batch=2, first=4, keep=6, codec_keep=6, fresh=1),
    )  # fmt: skip


def noise(plan: ClipPlan, batch: int, device: str, workers: int, start: int) -> Generator[Footage, None, None]:
    """Batches of clips without a world behind them: noise that follows from its place in the stream."""
    while True:
        draw = generator(device, start)
        shape = (batch, plan.frames, 3, *plan.size)
        source, target, render, film = (torch.randint(256, shape, generator=draw, dtype=torch.uint8) for _ in range(4))
        yield Footage(source, target, render, render[:, :, :1] > 99, torch.ones(batch, dtype=torch.int64), film)
        start += 1


@pytest.fixture
def without_worlds(monkeypatch: pytest.MonkeyPatch):
    """Spare the rendering."""
    monkeypatch.setattr("inspatio_gym.training.world.command.footage", noise)
    shown = Pairs(*next(noise(PLAN, 1, "cpu", 0, 99))[:5])
    monkeypatch.setattr("inspatio_gym.training.world.looks.held_out", lambda *_: shown)


@pytest.mark.slow
def test_every_stage_trains_from_nothing_to_a_model_that_can_be_stepped(
    tiny: TrainWorldConfig, room_scene: Any, capsys: pytest.CaptureFixture[str]
):
    train_world(tiny)
    told = re.findall(
        r"^(\w+), step 2, .* s, in this session \d+\.\d s on clips", capsys.readouterr().out, re.MULTILINE
    )
    assert sorted(told) == sorted(tiny.stages)
    left = {name: load_file(tiny.run / f"{name}.safetensors") for name in tiny.stages}
    assert all(torch.isfinite(value).all() for weights in left.values() for value in weights.values())
    # One text table for all, learned with the control teacher; each student is another one than what it began with.
    others = ("visual", "causal", "v2v", "jdmd")
    assert all(torch.equal(left[name]["table.rows"], left["control"]["table.rows"]) for name in others)
    for name, before in (("causal", "control"), ("v2v", "causal"), ("jdmd", "causal"), ("jdmd", "v2v")):
        assert any(not torch.equal(value, left[before][key]) for key, value in left[name].items()), name
    folder = tiny.run / "inspatio-tiny"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1e6
    card = (folder / "README.md").read_text()
    assert "| jdmd | 2 |" in card
    assert "](curves.png)" in card
    assert " \n" not in card
    widths = [
        cv2.imread(str(tiny.run / f"inspatio-tiny{of}" / "curves.png")).shape[1] for of in ("", "-v2v", "-causal")
    ]
    assert widths == [288 * stages for stages in (6, 5, 3)]
    assert {path.name for path in (tiny.run / "tensorboard").iterdir()} == set(tiny.stages)
    shipped = load_file(folder / "codec.safetensors")
    assert all(torch.equal(shipped[key], value) for key, value in left["decoder"].items())
    assert any(not torch.equal(shipped[key], value) for key, value in left["codec"].items())
    model = load_tiny(PLAN.size, path=folder)
    request = BlockRequest(np.arange(9), room_scene.c2w[:9], np.arange(9))
    (session,), (block,) = model.start([room_scene], [0], [request])
    assert block.rgb.shape == (9, *PLAN.size, 3)
    later = BlockRequest(np.arange(9, 21), room_scene.c2w[9:21], np.array([11]))
    assert model.step([session], [later])[0].rgb.shape == (1, *PLAN.size, 3)


@pytest.mark.usefixtures("without_worlds")
def test_a_training_that_is_killed_goes_on_as_if_it_had_not_been(
    tiny: TrainWorldConfig, monkeypatch: pytest.MonkeyPatch
):
    config = replace(
        tiny,
        stages=("codec", "control", "causal", "visual", "decoder", "jdmd"),
        jdmd=Effort(99.0, 3, 2),
        save_seconds=0.0,
    )
    train_world(config)
    killed = replace(config, run=config.run.with_name("killed"))
    for kind in (CodecStage, causal.CausalStage, DistillationStage):
        step = kind.step

        def fatal(self: Any, number: int, done: float, step: Any = step) -> Any:
            if number == 1:
                raise KeyboardInterrupt
            return step(self, number, done)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "step", fatal)
            with pytest.raises(KeyboardInterrupt):
                train_world(killed)
    train_world(killed)
    for name in config.stages:
        whole, mended = (load_file(run / "state" / f"{name}.safetensors") for run in (config.run, killed.run))
        assert whole.keys() == mended.keys()
        assert all(torch.equal(value, mended[key]) for key, value in whole.items()), name


@pytest.mark.usefixtures("without_worlds")
def test_a_loss_that_is_not_finite_ends_the_training_and_the_checkpoint_stays(
    tiny: TrainWorldConfig, monkeypatch: pytest.MonkeyPatch
):
    config = replace(tiny, stages=("codec",))
    train_world(config)
    files = [config.run / "codec.safetensors", config.run / "state" / "codec.safetensors"]
    before = [file.read_bytes() for file in files]

    def broken(*parts: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: value * float("nan") for name, value in codec_losses(*parts).items()}

    monkeypatch.setattr("inspatio_gym.training.world.codec.codec_losses", broken)
    with pytest.raises(FloatingPointError, match=r"codec: expected finite losses, got .*last checkpoint is kept"):
        train_world(replace(config, codec=Rated(99.0, 4, 2, 1e-3)))
    assert [file.read_bytes() for file in files] == before


def test_curves_show_what_was_written_down_of_the_stages_that_were(tmp_path: Path):
    def drawn(losses: bool, figures: bool) -> list[bool]:
        """Whether there are pixels in the colour of a first line, in the upper and in the lower half of the picture."""
        run = tmp_path / f"{losses}-{figures}"
        with SummaryWriter(str(run / "tensorboard" / "codec")) as writer:
            for step in range(5):
                writer.add_scalar("speed/steps a second", 2.0**step, step)
                if losses:
                    writer.add_scalar("loss/total", 2.0**-step, step)
                if figures:
                    writer.add_scalar("held_out/psnr", 20.0 + step, step)
        assert save_curves(run / "curves.png", run, ("codec", "control"))
        picture = cv2.imread(str(run / "curves.png"))
        assert picture.shape[1] == 288  # control left nothing
        first = np.abs(picture[..., ::-1].astype(int) - (31, 119, 180)).max(-1) < 30
        return [int(half.sum()) > 100 for half in np.array_split(first, 2)]

    both = (True, False)
    assert {(a, b): drawn(a, b) for a in both for b in both} == {(a, b): [a, b] for a in both for b in both}
    assert not save_curves(tmp_path / "none.png", tmp_path, ("codec",))
    assert not (tmp_path / "none.png").exists()


def test_a_folder_begun_before_holes_could_be_filled_goes_on_with_holes_alone(tiny: TrainWorldConfig):
    bare = replace(tiny, clips=replace(PLAN, background=False))
    command._claim(bare)
    file = tiny.run / "config.json"
    begun = json.loads(file.read_text())
    del begun["clips"]["background"]
    file.write_text(json.dumps(begun))
    with pytest.raises(ValueError, match=r"expected clips.background False .* got True"):
        command._claim(tiny)
    command._claim(bare)


def test_a_folder_begun_with_other_sizes_is_refused_and_so_is_a_stage_without_what_it_builds_on(tiny: TrainWorldConfig):
    with pytest.raises(FileNotFoundError, match=r"codec\.safetensors, which control builds on.*add codec"):
        train_world(replace(tiny, stages=("control",)))
    with pytest.raises(ValueError, match=r"transformer\.num_layers 1 as .* got 2: take another --run"):
        train_world(replace(tiny, transformer=replace(SIZES, num_layers=2)))
    with pytest.raises(ValueError, match=r"clips\.frames 21 as .* got 33"):
        train_world(replace(tiny, clips=replace(PLAN, frames=33)))


def test_clips_that_were_made_are_not_made_again_whoever_made_them(tmp_path: Path):
    made: list[int] = []

    def make(first: int) -> Generator[latents.Coded, None, None]:
        for number in itertools.count(first):
            made.append(number)
            yield latents.Coded(*(torch.full((2, 3), number, dtype=torch.bfloat16) for _ in latents.Coded._fields))

    def numbers(first: int, count: int) -> list[float]:
        with closing(kept.kept(tmp_path, make, first, "cpu")) as batches:
            return [float(batch.film[0, 0]) for batch in itertools.islice(batches, count)]

    assert numbers(0, 3) == numbers(0, 3) == [0, 1, 2]
    assert made == [0, 1, 2]
    kept.make_ahead(tmp_path, make, 5, "cpu")
    assert kept.held(tmp_path) == 5
    (tmp_path / "000003.safetensors").unlink()
    assert kept.held(tmp_path) == 5
    assert numbers(1, 5) == [1, 2, 3, 4, 5]
    assert made == [0, 1, 2, 3, 4, 3, 5]  # what is missing, and that alone
    kept.make_ahead(tmp_path, make, 4, "cpu")
    assert kept.held(tmp_path) == 6


@pytest.mark.usefixtures("without_worlds")
def test_a_decoder_that_learns_on_leaves_the_latents_as_they_are(tiny: TrainWorldConfig):
    train_world(replace(tiny, stages=("codec",)))
    (clips,) = tiny.run.glob("clips-*/0")
    assert kept.held(clips) == 2  # those that the codec learnt from are there for others
    train_world(replace(tiny, stages=("control", "decoder")))
    before, after = (load_file(tiny.run / f"{name}.safetensors") for name in ("codec", "decoder"))
    for side, same in (("encoder", True), ("decoder", False)):
        assert all(torch.equal(value, after[key]) for key, value in before.items() if key.startswith(side)) is same
    train_world(replace(tiny, stages=("codec",), codec=Rated(99.0, 4, 2, 1e-3)))
    assert (tiny.run / "codec.safetensors").stat().st_mtime < (tiny.run / "decoder.safetensors").stat().st_mtime


@pytest.mark.usefixtures("without_worlds")
def test_a_control_teacher_that_learns_on_leaves_the_table_that_others_stand_on(tiny: TrainWorldConfig):
    def trained(steps: int, *stages: Any) -> dict[str, torch.Tensor]:
        train_world(replace(tiny, stages=stages, control=Rated(99.0, steps, 2, 1.0)))
        return load_file(tiny.run / "control.safetensors")

    first, alone, beside = trained(2, "codec", "control"), trained(4, "control", "causal"), trained(6, "control")
    assert not torch.equal(first["table.rows"], alone["table.rows"])
    assert torch.equal(alone["table.rows"], load_file(tiny.run / "causal.safetensors")["table.rows"])
    assert [key for key in alone if torch.equal(alone[key], beside[key])] == ["table.rows"]


@pytest.mark.usefixtures("without_worlds")
def test_what_processes_on_several_gpus_do_is_what_one_does(tiny: TrainWorldConfig, monkeypatch: pytest.MonkeyPatch):
    """But for the GPUs: stage after stage, each as if in a process of its own, clips made ahead wherever that may be."""

    def in_turn(stages: Any, needs: Any, gpus: Any, *others: Any) -> None:
        work, spare, spare_needs = pickle.loads(pickle.dumps(others))
        assert gpus == (0, 1)
        for k, name in enumerate(stages):
            assert set(needs[name]) <= set(stages[:k])
            work(name)
            if set(spare_needs) <= set(stages[: k + 1]):
                spare()
                (clips,) = tiny.run.glob("clips-*/0")
                assert kept.held(clips) >= tiny.supply.keep // tiny.supply.batch  # the codec leaves one less

    monkeypatch.setattr("inspatio_gym.training.world.command.side_by_side", in_turn)
    monkeypatch.setattr("inspatio_gym.training.world.command.begin", lambda _: "cpu")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU that is not there")
    train_world(replace(tiny, gpus=(0, 1), device="cuda"))
    assert (tiny.run / "inspatio-tiny" / "README.md").is_file()


def test_gpus_are_for_cuda_and_not_for_torchrun(tiny: TrainWorldConfig, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match=r"expected --device cuda beside --gpus, .* got --device cpu:"):
        train_world(replace(tiny, gpus=(0, 1)))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="got --device cuda under torchrun:"):
        train_world(replace(tiny, gpus=(0, 1), device="cuda"))


class Numbers(NamedTuple):
    number: torch.Tensor


def counted(first: int) -> Generator[Numbers, None, None]:
    """Batches of two clips, which say which they are."""
    while True:
        yield Numbers(torch.tensor([2 * first, 2 * first + 1]))
        first += 1


def test_what_a_pool_holds_follows_from_its_position_alone():
    def drawn(pool: Pool[Numbers]) -> list[int]:
        return pool.draw(200, generator("cpu", 7)).number.tolist()

    pool = Pool(counted, first=2, keep=3)
    assert set(drawn(pool)) == {0, 1, 2, 3}
    for position in (3, 4, 9):
        pool.seek(position)
        anew = Pool(counted, first=2, keep=3)
        anew.seek(position)
        assert drawn(pool) == drawn(anew)
        assert set(drawn(pool)) == set(range(2 * position - 6, 2 * position))
    pool.seek(4)
    assert set(drawn(pool)) == set(range(2, 8))


def test_clips_are_coded_as_a_world_codes_what_it_is_stepped_through():
    torch.manual_seed(0)
    codec = TaehvCodec(Taehv(CODEC).requires_grad_(False))
    clips = next(latents.footage(PLAN, 2, "cpu", 0, 0))
    coded = latents.coded(clips, codec)
    first, stream = codec.encode(clips.render[:, :9] / 127.5 - 1, None)
    second, _ = codec.encode(clips.render[:, 9:] / 127.5 - 1, stream)
    torch.testing.assert_close(coded.render, torch.cat((first, second), 1).bfloat16())
    known = coded.conditions
    assert known.condition.shape == (2, 6, 20, 4, 6)
    assert known.reference is not None
    assert known.reference.shape == coded.film.shape == (2, 6, 16, 4, 6)
    # Frame 0 alone is latent 0: its four mask channels are alike, those of the others are four frames.
    small = torch.nn.functional.interpolate(clips.mask[:, :, 0].float() * 2 - 1, (4, 6), mode="bilinear")
    assert torch.equal(coded.mask[:, 0], small[:, :1].expand(-1, 4, -1, -1).bfloat16())
    assert torch.equal(coded.mask[:, 4], small[:, 13:17].bfloat16())


def test_teacher_forcing_asks_every_block_what_the_sampler_asks(monkeypatch: pytest.MonkeyPatch):
    """What each block is shown in training is what `prefill` and `denoise` show it in a world."""
    torch.manual_seed(0)
    network = Prompted.new(SIZES)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    network.requires_grad_(False)
    reference, clean = torch.randn(2, 9, 16, 4, 6), torch.randn(2, 9, 16, 4, 6)
    known = Conditions(reference, torch.randn(2, 9, 20, 4, 6), torch.tensor([1, 2]))
    asked = []

    def spy(predict: Any, true: torch.Tensor, *_: Any) -> torch.Tensor:
        asked.append((true, predict(true, torch.full((len(true),), 500.0))))
        return torch.tensor(float(len(asked)))

    monkeypatch.setattr(causal, "flow_loss", spy)
    loss = causal.forcing_loss(network, known, clean, Schedule(), generator("cpu", 0))
    assert float(loss) == pytest.approx((1 + 2 * 2) / 3)  # blocks weigh the same: one first, two later ones
    (_, first), (_, later) = asked
    flows = torch.cat((first[:, None], later.unflatten(0, (2, 2))), 1)
    text = network.read(known.style)
    for block in range(3):
        here = slice(3 * block, 3 * block + 3)
        past = [clean[:, here.start - 3 : here.start]] if block else []
        cache = network.dit.prefill(torch.cat([reference[:, here], *past], 1), text, block_frames=3)
        expected = network.dit.denoise(clean[:, here], known.condition[:, here], torch.full((2,), 500.0), cache, text)
        torch.testing.assert_close(flows[:, block], expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_that_knows_the_clip_samples_it():
    clean, noise = torch.randn(2, 3, 16, 4, 6), torch.randn(2, 3, 16, 4, 6)

    def flow(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return (noisy - clean) / (timestep / 1000).view(-1, 1, 1, 1, 1)

    torch.testing.assert_close(sample(flow, noise), clean)


def test_a_codec_is_held_to_latents_of_unit_variance():
    clip = torch.rand(2, 9, 3, 16, 16, generator=generator("cpu", 0))
    latents = torch.randn(2, 3, 16, 20, 20, generator=generator("cpu", 1))
    right = codec_losses(clip, clip, latents)
    assert float(right["total"]) < 1e-3
    for wrong in (2 * latents, 0.5 * latents, latents + 1):
        assert float(codec_losses(clip, clip, wrong)["moments"]) > 0.2
    for name in ("l1", "edges", "coarse"):
        assert float(codec_losses(clip.roll(1, -1), clip, latents)[name]) > 0.01
    assert float(codec_losses(clip + 0.1, clip, latents)["hue"]) == pytest.approx(0, abs=1e-6)
    assert float(
        codec_losses(clip + torch.tensor([0.1, -0.1, 0])[:, None, None], clip, latents)["hue"]
    ) == pytest.approx(0.15)


@pytest.mark.usefixtures("without_worlds")
def test_gradients_are_clipped_and_the_learning_rate_rises_and_falls(tiny: TrainWorldConfig, monkeypatch: Any):
    weight = torch.nn.Parameter(torch.zeros(4))
    norm = stage.descend((1e6 * weight).sum(), torch.optim.SGD([weight], 1.0))
    assert float(norm) == pytest.approx(2e6)
    assert float(weight.detach().norm()) == pytest.approx(stage.NORM, rel=1e-4)
    monkeypatch.setattr(stage, "WARM_UP", 2)
    rates = []
    step = CodecStage.step

    def noting(self: CodecStage, number: int, done: float) -> Any:
        rates.append(self.optimizers["adam"].param_groups[0]["lr"])
        return step(self, number, done)

    monkeypatch.setattr(CodecStage, "step", noting)
    train_world(replace(tiny, stages=("codec",), codec=Rated(99.0, 10, 2, 1e-3)))
    assert rates == pytest.approx([5e-4, *[1e-3] * 8, 5e-4])
