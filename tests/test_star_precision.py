"""Which type a network's numbers have."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from inspatio_gym.star import precision  # noqa: E402
from inspatio_gym.star.precision import as_dtype  # noqa: E402


@pytest.mark.parametrize(("native", "kind"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_what_the_cpu_multiplies_by_itself(native: bool, kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "_native", lambda: native)
    assert as_dtype("auto", "cpu") == getattr(torch, kind)


@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
def test_a_named_type_is_taken_wherever_it_runs(kind: str):
    assert as_dtype(kind, "cpu") == getattr(torch, kind)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="needs Linux to say what the CPU can")
def test_torch_says_what_this_cpu_can():
    assert precision._native() == ("avx512_bf16" in Path("/proc/cpuinfo").read_text())


def test_unknown_types_and_absent_gpus_are_named(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match=r"expected dtype out of \['auto', 'bfloat16', 'float32'\], got 'half'"):
        as_dtype("half", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="expected a device that torch can use, got 'cuda': see `inspatio-gym doctor`"):
        as_dtype("float32", "cuda")
