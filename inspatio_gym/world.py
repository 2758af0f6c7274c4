"""The protocol between the environment and a world model.

Three objects, three lifetimes. A `WorldModel` is weights and compute, shared by every world in a process. A `Session`
is one world's causal state over one scene, thrown away at reset. A `BlockRequest` is one step's question: which source
frames, seen from which cameras, and which of them somebody wants to look at. The environment owns the rig, the clock
and the random numbers; a model never sees actions, seconds or rewards.

    sessions, blocks = model.start(scenes, keys, requests)   # reset: requests of `first_frames` frames
    blocks = model.step(sessions, requests)                  # then: a multiple of `block_frames` frames each

Every call is batched over worlds, and a session's result does not depend on its batch mates.
"""

import importlib
import importlib.util
import inspect
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Poses, Size

if TYPE_CHECKING:
    from inspatio_gym.scenes import Scene

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """The frames one world wants next.

    source: int64 (n,), source frame index of each frame.
    c2w: float64 (n, 4, 4), the camera of each frame.
    observe: int64 (m,), positions in 0..n-1 that must be returned; a model may skip the pixels of the others.
    """

    source: NDArray[np.int64]
    c2w: Poses
    observe: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """The observed frames of one request, in the order of `observe`; fresh arrays that nobody writes to again.

    rgb: uint8 (m, H, W, 3). depth: float32 (m, H, W), z-depth in scene units. covered: bool (m, H, W), true where the
    scene's geometry was measured, false where the model made something up.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    covered: NDArray[np.bool_]


class Route(Protocol):
    """source: int64 (n,), source frame of every frame of a film. c2w: float64 (n, 4, 4), its camera."""

    @property
    def source(self) -> NDArray[np.int64]: ...
    @property
    def c2w(self) -> Poses: ...


def blocks(
    route: Route, first_frames: int, block_frames: int, observe: NDArray[np.int64] | None = None
) -> Iterator[BlockRequest]:
    """A route as requests of `first_frames` and then `block_frames` frames.

    observe: int64 (m,), ascending, the frames of the route that are wanted; None wants them all. Where the route does not
    fill the last request, its last frame is repeated, and nobody observes the repetitions.
    """
    total = len(route.source)
    wanted = np.arange(total) if observe is None else observe
    start, length = 0, first_frames
    while start < total:
        at = np.minimum(np.arange(start, start + length), total - 1)
        here = wanted[(wanted >= start) & (wanted < start + length)] - start
        yield BlockRequest(route.source[at], route.c2w[at], here)
        start, length = start + length, block_frames


class Session(Protocol):
    """One world's causal state. `snapshot` returns plain arrays and numbers, which `restore` takes back.

    light: leave out what can be made again; what follows may then differ by rounding.
    """

    @property
    def nbytes(self) -> int: ...
    def snapshot(self, light: bool = False) -> dict[str, Any]: ...
    def restore(self, snapshot: dict[str, Any]) -> None: ...
    def fork(self) -> "Session": ...


class WorldModel(Protocol):
    """Weights and compute. `first_frames` and `block_frames`: 9 and 12 for diffusion, 1 and 1 for warps."""

    name: str
    digest: str  # weights and settings: models of equal digest continue each other's sessions
    first_frames: int
    block_frames: int
    render_size: Size
    nondeterministic: bool

    def session(self, scene: "Scene", key: int) -> Any:
        """A session over `scene` that has seen nothing yet, to be filled by its `restore`."""
        ...

    def start(
        self, scenes: Sequence["Scene"], keys: Sequence[int], requests: Sequence[BlockRequest]
    ) -> tuple[list[Any], list[Block]]:
        """Begin one session a scene, noise keyed by `keys` (64-bit), and yield its first block."""
        ...

    def step(self, sessions: Sequence[Any], requests: Sequence[BlockRequest]) -> list[Block]:
        """Advance each session by its request; sessions of different scenes mix freely."""
        ...


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """Where a model lives and what it makes by itself.

    home: module:callable, imported when asked for and called as callable(render_size=, device=, **options).
    render_size: (height, width) it was made for; None takes whatever is observed.
    checkpoints: names of the weights it cannot do without.
    """

    home: str
    render_size: Size | None = None
    checkpoints: tuple[str, ...] = ()


WAN = "wan2.1-diffusers"
"""The checkpoint of the text encoder and the VAE of every released model."""
MODELS = {
    "inspatio-1.5-1.3b": ModelEntry("inspatio_gym.star.release:load_v1_5", (480, 832), ("inspatio-1.5-1.3b", WAN)),
    "inspatio-1.3b": ModelEntry("inspatio_gym.star.release:load_v1", (480, 832), ("inspatio-1.3b", WAN)),
    "warp": ModelEntry("inspatio_gym.warp:WarpModel"),
    "tiny": ModelEntry("inspatio_gym.star.tiny:load_tiny", (128, 224), ("inspatio-tiny",)),
    "fake": ModelEntry("inspatio_gym.fake:FakeWorld"),
}
"""By name, the one that "auto" would rather have first."""


def load_model(
    name: str, *, render_size: Size | None = None, size: Size = (480, 832), device: str = "cpu", **options: Any
) -> WorldModel:
    """Load a world model by name.

    name: one of `MODELS`, or "auto", which takes the best one whose weights are present and whose device exists, and logs
    which. render_size: (height, width) of what it makes; None takes what the model was made for, else `size`, what will be
    observed. options: what else this model can be told.

    Raises ValueError for a name nobody registered or an option that the model does not know, and what its loader raises:
    FileNotFoundError where weights are missing, say.
    """
    if name == "auto":
        name = best_model(device)
        logger.info("model=auto: using %r", name)
    if name not in MODELS:
        raise ValueError(f"expected a model out of {['auto', *sorted(MODELS)]}, got {name!r}: pass model='warp'")
    entry = MODELS[name]
    module, attribute = entry.home.split(":")
    make = getattr(importlib.import_module(module), attribute)
    known = [key for key in inspect.signature(make).parameters if key not in ("render_size", "device")]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"expected options of the model {name!r} out of {sorted(known)}, got {unknown}: leave them out"
        )
    return make(render_size=render_size or entry.render_size or size, device=device, **options)


def best_model(device: str) -> str:
    """The first of `MODELS` that can run: a diffusion model needs its weights and a GPU that torch sees."""
    from inspatio_gym.checkpoints import present

    def gpu() -> bool:
        if not device.startswith("cuda") or importlib.util.find_spec("torch") is None:
            return False
        import torch

        return torch.cuda.is_available()

    return next(
        name
        for name, entry in MODELS.items()
        if not entry.checkpoints or (gpu() and all(map(present, entry.checkpoints)))
    )
