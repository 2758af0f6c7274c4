"""What is installed, what was found, and whether the main path works: the first thing to read in a bug report."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from inspatio_gym.threads import threads
from inspatio_gym.world import MODELS

MEASURED_WITH = ("inspatio-gym", "gymnasium", "numba", "torch", "stable-baselines3")
"""Packages whose versions belong beside a measured figure."""

Finding = tuple[bool, str, str]
"""Whether it is as it should be, what was looked at, what was found."""


@dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed and whether it works.

    $ inspatio-gym doctor

    Exit status 0 if a world can be made and stepped here, else 1.
    """


def doctor(config: DoctorConfig) -> int:
    """Print what was found; returns 1 if something that the core needs does not work, else 0."""
    well = True
    for title, findings in (
        ("machine", _machine()),
        ("core", _packages("")),
        ("extras", _extras()),
        ("places", _places()),
        ("weights", _weights()),
        ("world", _world()),
    ):
        print(title)
        needed = title not in ("machine", "extras", "weights")
        rows = list(findings)
        width = max(26, 2 + max((len(what) for _, what, _ in rows), default=0))
        for fine, what, found in rows:
            print(f"  {'ok' if fine else 'BAD' if needed else '--':<4}{what:<{width}}{found}")
            well &= fine or not needed
    print("all that the core needs works" if well else "something that the core needs does not work: see BAD above")
    return 0 if well else 1


def _machine() -> Iterator[Finding]:
    yield True, "Python", f"{platform.python_version()} ({sys.executable})"
    yield True, "system", platform.platform()
    yield True, "processor", f"{processor()}, {os.cpu_count()} cores"
    try:
        import torch
    except ImportError:
        yield False, "accelerator", "unknown without torch; the warp world needs none"
        return
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            of = torch.cuda.get_device_properties(k)
            yield True, f"accelerator {k}", f"{of.name}, {of.total_memory / 2**30:.0f} GiB"
    else:
        yield False, "accelerator", "none that torch sees; the warp world needs none"
    from inspatio_gym.star.attention import candidates, choose

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    able = ", ".join(candidates(device, kind))
    yield True, "attention", f"{choose(device, kind)}, the fastest of {able} for {kind} on {device}"


def machine() -> str:
    """One sentence for whatever was measured here: processor, system, versions."""
    versions = ", ".join(f"{name} {found}" for fine, name, found in map(_package, MEASURED_WITH) if fine)
    cores = f"{threads()} core{'s' * (threads() > 1)}"
    return f"{processor()}, {cores}; {platform.system()} {platform.release()}, Python {platform.python_version()}; {versions}."


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = re.findall(r"^model name\s*: (.*)$", file.read(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _requirements(extra: str) -> list[str]:
    """Names of the packages that the core ("") or an extra asks for, without those of the extras it includes."""
    names = []
    for line in importlib.metadata.requires("inspatio-gym") or []:
        requirement, _, marker = line.partition(";")
        named = re.search(r"""extra == ['"]([\w-]+)['"]""", marker)
        name = re.match(r"[\w.-]+", requirement)
        if name and (named[1] if named else "") == extra and name[0] != "inspatio-gym":
            names.append(name[0])
    return names


def _packages(extra: str) -> Iterator[Finding]:
    return map(_package, _requirements(extra))


def _package(name: str) -> Finding:
    try:
        return True, name, importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False, name, "not installed"


def _extras() -> Iterator[Finding]:
    for extra in importlib.metadata.metadata("inspatio-gym").get_all("Provides-Extra") or []:
        found = list(_packages(extra))
        missing = [name for fine, name, _ in found if not fine]
        if found:
            way_out = f'without {", ".join(missing)}; pip install "inspatio-gym[{extra}]"'
            yield not missing, extra, "installed" if not missing else way_out


def _places() -> Iterator[Finding]:
    from inspatio_gym.checkpoints import checkpoint_folder
    from inspatio_gym.scenes.cache import cache_root

    cache = cache_root()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    writable = there.is_dir() and os.access(there, os.W_OK)
    free = shutil.disk_usage(there).free / 2**30
    found = f"{cache} ({free:.0f} GiB free)" if writable else f"{cache} cannot be written: set INSPATIO_GYM_CACHE"
    yield writable, "scene cache", found
    yield True, "checkpoints", f"{checkpoint_folder()} (`inspatio-gym checkpoints list` says what may be there)"


def _weights() -> Iterator[Finding]:
    from inspatio_gym.checkpoints import CHECKPOINTS, locate, present

    for name in CHECKPOINTS:
        yield (True, name, f"{locate(name)}") if present(name) else (False, name, "not here")


def _world() -> Iterator[Finding]:
    """Step the embedded default, as `gymnasium.make("InSpatio-v0", scene="room")` does."""
    import gymnasium as gym

    yield True, "models", ", ".join(name for name in MODELS if name != "fake")
    try:
        began = time.perf_counter()
        env = gym.make("InSpatio-v0", scene="room", model="warp", size=(96, 160))
        env.reset(seed=0)
        for _ in range(3):
            env.step(env.action_space.sample() * 0)
        env.close()
    except Exception as problem:  # whatever it is, saying it is what this command is for
        yield False, "InSpatio-v0", f"{type(problem).__name__}: {problem}"
    else:
        yield True, "InSpatio-v0", f"made, reset and stepped in {time.perf_counter() - began:.1f} s"
