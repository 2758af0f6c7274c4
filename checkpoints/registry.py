"""Which weights there are: what each is for, where it comes from, its licence, and the files it consists of.

Sizes and licences are those that the repositories show; None, "unknown" to a user, where that could not be looked up.
Patterns are globs below a checkpoint's own folder; `a|b` asks for either.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Known:
    """What one file is known to be: its length in bytes and its SHA-256 (hex)."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights.

    repository: on the Hugging Face Hub; None where it is not there, and then `source` says how to get it by hand.
    gigabytes: what a download takes on disk, in 10^9 bytes.
    file: of a checkpoint that is a single weight file, patterns of it, best first. needs: of one that is a folder, patterns
    of the files without which it is not there. fetch: patterns of what is downloaded and verified.
    released: folders below the checkpoints' folder in which the released projects keep the same files.
    bundled: where it comes with the package, it is beside this file.
    """

    name: str
    purpose: str
    licence: str
    repository: str | None
    gigabytes: float | None
    fetch: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    bundled: bool = False
    source: str = ""
    known: Mapping[str, Known] = field(default_factory=dict)


NON_COMMERCIAL = "CC BY-NC 4.0: not for commercial use"


def _pretrained(
    name: str,
    purpose: str,
    licence: str,
    repository: str,
    gigabytes: float | None = None,
    also: tuple[str, ...] = (),
    released: tuple[str, ...] = (),
) -> Checkpoint:
    """A network in the layout that `from_pretrained` reads; also: what else it needs."""
    return Checkpoint(
        name=name,
        purpose=purpose,
        licence=licence,
        repository=repository,
        gigabytes=gigabytes,
        needs=("config.json", "*.safetensors", *also),
        fetch=("*.json", "*.safetensors", "*.txt", "*.model", "LICENSE*", "README.md"),
        released=released,
    )


def _inspatio(name: str, licence: str, repository: str, gigabytes: float | None, file: str) -> Checkpoint:
    """A released diffusion transformer. Both generations' files lie in one folder there: only their names tell them apart."""
    return Checkpoint(
        name=name,
        purpose="the world model: its diffusion transformer",
        licence=licence,
        repository=repository,
        gigabytes=gigabytes,
        fetch=("*1.3B*.safetensors", "LICENSE*", "README.md"),
        file=(file, "*.safetensors"),
        released=("InSpatio-World-1.3B", "InSpatio-World-1.5-1.3B", "."),
    )


def _metric_depth() -> list[Checkpoint]:
    return [
        _pretrained(
            f"depth-anything-v2-metric-{place}-{size}",
            f"depth in metres, one image at a time, {place}s",
            licence,
            f"depth-anything/Depth-Anything-V2-Metric-{place.title()}-{size.title()}-hf",
            gigabytes,
            also=("preprocessor_config.json",),
        )
        for place in ("indoor", "outdoor")
        for size, gigabytes, licence in (
            ("small", 0.1, "Apache-2.0"),
            ("base", 0.39, NON_COMMERCIAL),
            ("large", 1.34, NON_COMMERCIAL),
        )
    ]


_ALL = [
    _inspatio("inspatio-1.3b", "Apache-2.0", "inspatio/world", 5.68, "InSpatio-World-1.3B.safetensors"),
    _inspatio(
        "inspatio-1.5-1.3b",
        "see the repository: it stated none, the code beside it is Apache-2.0",
        "inspatio/world-1.5",
        None,
        "InSpatio-World-1.5-1.3B.safetensors",
    ),
    Checkpoint(
        name="wan2.1-diffusers",
        purpose="the world models' text encoder (umT5-XXL), tokenizer and video VAE",
        licence="Apache-2.0",
        repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        gigabytes=23.3,
        needs=(
            "vae/config.json",
            "vae/*.safetensors",
            "text_encoder/config.json",
            "text_encoder/*.safetensors",
            "tokenizer/tokenizer.json",
        ),
        fetch=("vae/*", "text_encoder/*", "tokenizer/*", "LICENSE*", "README.md"),
        released=("Wan2.1-T2V-1.3B-Diffusers", "Wan2.1-T2V-1.3B"),
    ),
    Checkpoint(
        name="taehv",
        purpose="a tiny video codec, about 20 times cheaper than the VAE and a little blurrier",
        licence="MIT",
        repository=None,
        gigabytes=0.023,
        file=("taew2_1.safetensors", "safetensors/taew2_1.safetensors", "taew2_1.pth"),
        released=(".",),
        source="its author publishes taew2_1.safetensors in the folder safetensors of https://github.com/madebyollin/taehv",
        known={
            "taew2_1.safetensors": Known(22_642_902, "04766eac0221b5390b985ae3fdcca652cbb4b1e8b82b28ea7ff89dfad1b1a93f")
        },
    ),
    _pretrained(
        "florence-2",
        "captions of a video, which a world model takes as its prompt",
        "MIT",
        "florence-community/Florence-2-large",
        also=("tokenizer.json", "preprocessor_config.json|processor_config.json"),
    ),
    _pretrained(
        "depth-anything-3-nested-giant",
        "cameras and depth in metres, many frames at once",
        NON_COMMERCIAL,
        "depth-anything/DA3NESTED-GIANT-LARGE",
        released=("DA3", "depth"),
    ),
    _pretrained(
        "depth-anything-3-base", "cameras and depth, many frames at once", "Apache-2.0", "depth-anything/DA3-BASE"
    ),
    _pretrained(
        "depth-anything-3-small", "cameras and depth, many frames at once", "Apache-2.0", "depth-anything/DA3-SMALL"
    ),
    _pretrained(
        "depth-anything-3-metric",
        "depth in metres, one image at a time",
        "Apache-2.0",
        "depth-anything/DA3METRIC-LARGE",
    ),
    *_metric_depth(),
    Checkpoint(
        name="depth-small",
        purpose="near and far in one picture, up to scale: for cameras that keep their place",
        licence="Apache-2.0",
        repository=None,
        gigabytes=0.0092,
        file=("depth-small.safetensors",),
        bundled=True,
        source="it comes with the package: install that again",
        known={
            "depth-small.safetensors": Known(
                9_198_450, "b21dc79f06c935fb128acabb7185097f51c6d1b5fd9b74d5828d6a2b08a8a34d"
            )
        },
    ),
    Checkpoint(
        name="inspatio-tiny",
        purpose="a tiny world model, codec included, for machines without a GPU",
        licence="Apache-2.0",
        repository=None,
        gigabytes=0.032,
        needs=("config.json", "dit.safetensors", "text.safetensors", "codec.safetensors"),
        fetch=("*.json", "*.safetensors"),
        bundled=True,
        # Nothing is known of its files: a model of one's own takes the same name.
        source="it comes with the package: install that again, or train one with `inspatio-gym train-world`",
    ),
]

CHECKPOINTS: dict[str, Checkpoint] = {checkpoint.name: checkpoint for checkpoint in _ALL}
"""Every checkpoint by the name that `model=`, `estimator=` and the command line know it by."""


def checkpoint_named(name: str) -> Checkpoint:
    """The checkpoint of that name. Raises ValueError for a name nobody registered."""
    if name not in CHECKPOINTS:
        raise ValueError(f"expected a checkpoint out of {list(CHECKPOINTS)}, got {name!r}")
    return CHECKPOINTS[name]
