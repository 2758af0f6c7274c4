"""The benchmark of a training's stages: its table, and that work is counted."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from benchmarks import stages  # noqa: E402
from inspatio_gym.star.dit import DitConfig  # noqa: E402
from inspatio_gym.training.world.stage import Stage  # noqa: E402
from tests.star_worlds import TINY  # noqa: E402


def test_every_stage_has_a_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stages, "CLIPS", 2)
    monkeypatch.setattr(stages, "peak", lambda _: 1e12)

    def thrice(stage: Stage, device: str, seconds: float) -> tuple[float, float]:
        for number in range(3):
            stage.step(number, 0.0)
        return 1.0, 2.0

    monkeypatch.setattr(stages, "rate", thrice)
    stages.main(stages.Config(batch=1, frames=9, size=(32, 32), transformer=DitConfig(**TINY)))
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip("| ") for row in rows] == [*stages.Config().stages]
    assert all(row[1:3] == ["1", "no"] for row in rows)


def test_work_is_counted_forwards_and_backwards():
    layer, x = torch.nn.Linear(8, 4, bias=False), torch.randn(16, 8)

    class One:
        def step(self, number: int, done: float) -> None:
            layer(x).sum().backward()

    # Of the product and of its weight's gradient, 2 x 16 x 8 x 4 each; the input takes none.
    assert stages.flops(One()) == 2 * 2 * 16 * 8 * 4  # type: ignore[arg-type]
