"""Fixtures shared by all tests: the reference data beside the repository, the bundled scenes, a cache of their own."""

import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A suite that runs in the background is born deaf to Ctrl-C, and so would be the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Workers that each take all cores wait for each other more than they work; so would processes that tests start.
    share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))

# Ray's actors would stand back behind the other worker's tests, and whoever waits for them, too.
os.environ.setdefault("RAY_worker_niceness", "0")

# Weights that a developer has fetched change what "auto" means; this one is read when huggingface_hub is imported.
os.environ["HF_HUB_CACHE"] = os.devnull

ROOT = Path(__file__).resolve().parent.parent

LONG = (
    "test_env",
    "test_estimate",
    "test_examples",
    "test_vector_contract",
    "test_ray_env",
    "test_evaluation",
    "test_training_clips",
    "test_star_model",
    "test_agents_train",
    "test_collect",
    "test_chaos",
    "test_ray_nodes",
    "test_status",
    "test_render",
    "test_star_codecs",
    "test_package",
    "test_agents_matching",
)
"""Files that take longest. The first two compile what others use, each something else."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: one that came last would keep one worker busy while the others have nothing left to do."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep scenes anchored by tests out of the user's cache, their logs out of /tmp, and the user's weights out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))
        patch.setenv("INSPATIO_GYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path_factory.mktemp("checkpoints")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference tensors and real videos, which lie beside a developer's checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data not found: expected a folder {folder.name!r} beside the checkout")
    return folder


@pytest.fixture(scope="session")
def room_scene():
    from inspatio_gym.scenes import load_scene

    return load_scene("room")


@pytest.fixture(scope="session")
def street_scene():
    from inspatio_gym.scenes import load_scene

    return load_scene("street")
