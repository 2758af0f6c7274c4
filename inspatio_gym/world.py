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
import logging
from collections.abc import Sequence
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


class Session(Protocol):
    """One world's causal state. `snapshot` returns plain arrays and numbers, which `restore` takes back."""

    @property
    def nbytes(self) -> int: ...
    def snapshot(self) -> dict[str, Any]: ...
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

    def start(
        self, scenes: Sequence["Scene"], keys: Sequence[int], requests: Sequence[BlockRequest]
    ) -> tuple[list[Any], list[Block]]:
        """Begin one session a scene, noise keyed by `keys` (64-bit), and yield its first block."""
        ...

    def step(self, sessions: Sequence[Any], requests: Sequence[BlockRequest]) -> list[Block]:
        """Advance each session by its request; sessions of different scenes mix freely."""
        ...


# Where each model's class lives; imported only when asked for. Each is called as cls(render_size=..., device=...).
MODELS = {
    "warp": "inspatio_gym.warp:WarpModel",
    "fake": "inspatio_gym.fake:FakeWorld",
}


def load_model(name: str, *, render_size: Size, device: str = "cpu") -> WorldModel:
    """Load a world model by name; `auto` takes the best one that there is, so far "warp", and logs it.

    Raises ValueError for a name nobody registered.
    """
    if name == "auto":
        name = "warp"
        logger.info("model=auto: using %r", name)
    if name not in MODELS:
        raise ValueError(f"expected a model out of {['auto', *sorted(MODELS)]}, got {name!r}: pass model='warp'")
    module, attribute = MODELS[name].split(":")
    cls = getattr(importlib.import_module(module), attribute)
    return cls(render_size=render_size, device=device)
