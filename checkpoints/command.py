"""`inspatio-gym checkpoints`: what weights there are, getting them, and whether they arrived whole."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from inspatio_gym.checkpoints.download import download
from inspatio_gym.checkpoints.locate import (
    WeightsNotFound,
    begun,
    checkpoint_folder,
    lacking,
    locate,
    own_folder,
    places,
    present,
)
from inspatio_gym.checkpoints.registry import CHECKPOINTS, Checkpoint, checkpoint_named
from inspatio_gym.checkpoints.verify import problems


@dataclass(frozen=True)
class CheckpointsConfig:
    """List, download and verify the weights that the neural world models need.

    $ inspatio-gym checkpoints list
    $ inspatio-gym checkpoints download inspatio-1.3b wan2.1-diffusers
    $ inspatio-gym checkpoints verify
    $ inspatio-gym checkpoints path inspatio-1.3b

    Weights live in $INSPATIO_GYM_CHECKPOINTS, else ./checkpoints of a source tree, else the user's cache folder. A
    download that was broken off is resumed. On a machine without a network, copy a checkpoint's folder there. The warp
    world needs no weights at all.
    """

    action: tyro.conf.Positional[Literal["list", "download", "verify", "path"]]
    """list: what there is, its licence, and whether it is here. download: from the Hugging Face Hub. verify: is it whole;
    exit status 1 if not. path: where it is, or would be."""
    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Checkpoints; none is all of them for list, and all that are here for verify."""


def checkpoints(config: CheckpointsConfig) -> int:
    """Do what was asked; returns 1 if a checkpoint is not whole, else 0. Raises ValueError for a name nobody registered."""
    chosen = [checkpoint_named(name) for name in config.names]
    if not chosen and config.action in ("download", "path"):
        raise ValueError(
            f"expected the name of a checkpoint, got none: inspatio-gym checkpoints {config.action} inspatio-1.3b "
            "(`inspatio-gym checkpoints list` shows all)"
        )
    return ACTIONS[config.action](chosen)


def list_all(chosen: list[Checkpoint]) -> int:
    """A table of what there is."""
    print(f"weights in {checkpoint_folder()}")
    print(f"{'':<4}{'name':<40}{'GB':<9}licence")
    for one in chosen or CHECKPOINTS.values():
        here = present(one.name)
        size = "unknown" if one.gigabytes is None else f"{one.gigabytes:g}"
        print(f"{'ok' if here else '--':<4}{one.name:<40}{size:<9}{one.licence}")
        print(f"{'':<6}{one.purpose}; {f'in {locate(one.name)}' if here else _not_here(one)}")
    print("get them: inspatio-gym checkpoints download NAME ...")
    return 0


def download_each(chosen: list[Checkpoint]) -> int:
    """Fetch each, with its licence before and the verdict after."""
    wrong = 0
    for one in chosen:
        print(f"{one.name}: licence {one.licence}", flush=True)
        elsewhere = [folder for folder in places(one) if not lacking(one, folder) and folder != own_folder(one)]
        wrong += _report(one, elsewhere[0] if elsewhere else download(one))
    return int(wrong > 0)


def verify_each(chosen: list[Checkpoint]) -> int:
    """A line for each problem."""
    wrong = 0
    here = [one for one in CHECKPOINTS.values() if any(begun(one, folder) for folder in places(one))]
    for one in chosen or here:
        folders = list(places(one))
        whole = [folder for folder in folders if not lacking(one, folder)]
        started = [folder for folder in folders if begun(one, folder)]
        wrong += _report(one, (whole or started or [own_folder(one)])[0])
    if not chosen and not here:
        print(f"no weights in {checkpoint_folder()}: `inspatio-gym checkpoints list` shows what there is")
    return int(wrong > 0)


def show_path(chosen: list[Checkpoint]) -> int:
    """Where each is, or would be."""
    for one in chosen:
        try:
            print(locate(one.name))
        except WeightsNotFound:
            print(own_folder(one))
    return 0


ACTIONS: dict[str, Callable[[list[Checkpoint]], int]] = {
    "list": list_all,
    "download": download_each,
    "verify": verify_each,
    "path": show_path,
}


def _report(checkpoint: Checkpoint, folder: Path) -> int:
    """Print what is wrong with a checkpoint, or that nothing is; returns the number of problems."""
    found = problems(checkpoint, folder)
    for problem in found:
        print(f"BAD {checkpoint.name}: {problem}")
    if not found:
        print(f"ok  {checkpoint.name}: {folder}")
    return len(found)


def _not_here(checkpoint: Checkpoint) -> str:
    started = [folder for folder in places(checkpoint) if begun(checkpoint, folder)]
    state = f"not whole in {started[0]}" if started else "not here"
    return state if checkpoint.repository else f"{state}; {checkpoint.source}"
