"""Is the tiny world worth its network? Warps, codec, teacher and students on held-out worlds, against true renders.

    inspatio-gym train-world --run runs/tiny --device cuda --stages codec control causal visual decoder v2v jdmd
    python -m benchmarks.tiny_world --run runs/tiny --device cuda
    python -m benchmarks.tiny_world --page docs/tiny.md --sheets docs/images       # from what was measured

    views    20 blocks through each world, half of them of each style: PSNR over all pixels, over those that the source frame
             shows at that moment, and over the rest
    short    a tour while time stands still: is the camera where it was sent? pause, reverse, half speed: does time obey?
    long     50 blocks that pass the same places at the same moments again and again: blocks 40 to 50 against 5 to 15; and
             the same with the camera elsewhere in between
    looks    how far from the real-like family: Fréchet distance of random features (`frechet`) to what a sensor films in
             other worlds, prompt "camera"

All rows have the same true geometry and the same pictures to go by, those of style "camera" through their sensor; truth
is true light. The warp may look at the whole film; a student does so where the holes of its renders are filled, if its
training filled them, and else sees its past alone. Of takes every fifth frame is judged, which comes to every place in a
block in turn.

A part that is in --out is not measured again; another run wants another --out.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.frechet import DIMENSIONS, Normal, distance, features
from benchmarks.held_out import addresses
from benchmarks.pages import fill
from benchmarks.tiny_films import Shown, filmed, fine_depth, frames_of, shown, truth, wander, whole
from benchmarks.tiny_judges import WARPS, camera, fused, one_thread, seen, sums, times, warped
from benchmarks.tiny_rows import STUDENTS, WINDOW, Networks
from benchmarks.tiny_words import CODEC, RESAMPLED, TRUTH, WORDS, Part, about
from inspatio_gym.clock import Clock
from inspatio_gym.doctor import machine
from inspatio_gym.evaluation import takes
from inspatio_gym.evaluation.clips import Take
from inspatio_gym.evaluation.record import not_null, null
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.files import written_whole
from inspatio_gym.render.pictures import side_by_side
from inspatio_gym.scenes.synthetic import STYLES
from inspatio_gym.scenes.synthetic.batch import Renderer
from inspatio_gym.star.dit import DitConfig
from inspatio_gym.star.tiny import TINY
from inspatio_gym.threads import threads
from inspatio_gym.training.world.takes import BLOCK_FRAMES, FIRST_FRAMES
from inspatio_gym.types import Size

FIRST_SEED = 200
"""Streams to train on begin at 1000, and 900 to 999 are looked at while a network learns."""
LOOK_SEEDS = 300, 400  # of the worlds that rollouts are made in, and of those that a sensor films
EVERY = 5  # frames, of which one is judged
LEG = 42  # frames
LONG_BLOCKS = 50
LOOP = 2 * LEG  # frames
AWAY = range(4, 11)  # legs that go elsewhere, if the camera leaves: those between `EARLY` and `LATE` (`tiny_words`)
SHOWN = (5, 10, 28, 45)  # blocks on the sheet: the second and the last are of one moment and place
TEACHER = "control teacher"
STUDENT = {"causal": "student before distillation", "v2v": "student, V2V alone", "jdmd": "student, JDMD"}
TIMES = ("hold", "play", "backwards", "slow")
Rows = dict[str, NDArray[np.uint8]]
"""Frames (B, m, H, W, 3) by row."""


@dataclass(frozen=True, slots=True)
class Config:
    """Judge a run of `train-world` on held-out worlds."""

    run: Path = Path("runs/tiny")
    """Folder with what its stages left."""
    out: Path = Path("tiny_world")
    """Folder of what was measured."""
    parts: tuple[Part, ...] = ("views", "short", "long", "looks")
    """What to measure."""
    count: int = 24
    """Worlds of each part; a multiple of 6 has every kind in both styles."""
    blocks: int = 20
    """Of a take of views."""
    size: Size = (128, 224)
    """Height and width, multiples of 32."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    jobs: int = 0
    """Processes for warps and judges; 0 takes all cores."""
    transformer: DitConfig = TINY
    """Sizes of the networks."""
    page: Path | None = None
    """A page with marks for `tiny-world`, to write the tables between."""
    sheets: Path | None = None
    """Folder to put the contact sheets into."""


class Bench:
    """What the parts share: networks, a renderer, processes."""

    def __init__(self, config: Config):
        self.config = config

    @cached_property
    def networks(self) -> Networks:
        return Networks(self.config.run, self.config.transformer, self.config.device)

    @cached_property
    def background(self) -> bool:
        """Whether the run's training filled the holes of renders; those begun before it could say so did not."""
        file = self.config.run / "config.json"
        return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["clips"].get("background", False)

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.config.device)

    @cached_property
    def pool(self) -> ProcessPoolExecutor:
        jobs = self.config.jobs or threads()
        return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=one_thread)

    def close(self) -> None:
        if "pool" in vars(self):
            self.pool.shutdown()

    @cached_property
    def worlds(self) -> list[Subject]:
        """Those that all parts but the looks share."""
        return self.subjects(FIRST_SEED)

    def subjects(self, first: int, styles: tuple[str, ...] = STYLES) -> list[Subject]:
        """Worlds with their films."""
        names = addresses(self.config.count, first, styles)
        return [filmed(name, self.config.size, self.renderer) for name in bar(names, "worlds")]

    def tensor(self, rgb: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> torch.Tensor:
        """Frames (B, F, H, W, 3) as (B, F, 3, H, W) on the device."""
        return torch.from_numpy(np.asarray(rgb)).to(self.config.device).movedim(-1, 2)

    def vectors(self, films: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Features (B, n, d) of every third frame of films (B, F, H, W, 3)."""
        video = self.tensor(films[:, ::3])
        return features(video.flatten(0, 1)).reshape(len(video), -1, DIMENSIONS)

    def warps(self, subjects: list[Subject], wanted: list[Take], at: NDArray[np.int64]) -> Callable[[], Rows]:
        """Begin with the frames `at` of the warps' rows; what is given back waits for them."""
        futures = [self.pool.submit(warped, s.view, t, at) for s, t in zip(subjects, wanted, strict=True)]
        return lambda: {row: np.stack([future.result()[row] for future in futures]) for row in WARPS}

    def shown(self, subjects: list[Subject], wanted: list[Take]) -> Shown:
        """What the networks are shown of a take of each subject."""
        views, behind = [subject.view for subject in subjects], None
        if self.background:
            behind = list(self.pool.map(fused, views, wanted))
        return shown(subjects, wanted, self.config.device, behind)

    def made(
        self, clips: Shown, true: Sequence[NDArray[np.uint8]] | None, at: NDArray[np.int64] | slice = slice(None)
    ) -> Rows:
        """Frames `at` of the networks' rows; of the students' alone without the truth (F, H, W, 3) of every clip."""
        networks, known = self.networks, self.networks.known(clips)
        makers: dict[str, Callable[[], torch.Tensor]] = {}
        if true is not None:
            makers[CODEC] = lambda: networks.round_trip(self.tensor(true))
            makers[TEACHER] = lambda: networks.teacher(clips)
        for name in STUDENTS:
            makers[STUDENT[name]] = lambda name=name: networks.student(name, known)  # type: ignore[misc]
        return {row: pictures(make(), at) for row, make in bar(list(makers.items()), "rows")}


def views(bench: Bench) -> dict[str, Any]:
    """Sums by row, world and group."""
    subjects, frames = bench.worlds, frames_of(bench.config.blocks)
    places = np.arange(-(-frames // LEG))
    wanted = [wander(subject, played(subject, frames), places, LEG) for subject in subjects]
    at = np.arange(0, frames, EVERY)
    warps = bench.warps(subjects, wanted, at)
    true, masks = [], []
    for subject, take in zip(subjects, bar(wanted, "truth"), strict=True):
        true.append(truth(subject, take, bench.renderer))
        source = take.source[at]
        fine = fine_depth(subject, source, bench.renderer)
        recorded = subject.view.c2w[source]
        masks.append(bench.pool.submit(seen, fine, recorded, subject.intrinsics(0), true[-1].depth[at], take.c2w[at]))
    clips = bench.shown(subjects, wanted)
    rows = bench.made(clips, [one.rgb for one in true], at)
    rows = warps() | rows
    judged = {
        row: {
            subject.name: sums(some, one.rgb[at], mask.result())
            for subject, some, one, mask in zip(subjects, films, true, masks, strict=True)
        }
        for row, films in rows.items()
    }
    # In the middle of the third leg, where the camera is as far as it goes, or as near to that as the take comes.
    moment = min(len(at) - 1, (FIRST_FRAMES + 2 * LEG + LEG // 2) // EVERY)
    columns = {
        "source": pictures(clips.source, at),
        "warp, fused": rows["warp, fused and filled"],
        "student": rows[STUDENT["jdmd"]],
        "truth": np.stack([one.rgb[at] for one in true]),
    }
    save_sheet(
        bench.config.out / "tiny-views.jpg",
        [
            side_by_side({name: films[k, moment] for name, films in columns.items()})
            for k in range(min(9, len(subjects)))
        ],
    )
    return judged


def short(bench: Bench) -> dict[str, Any]:
    """Errors of the camera and of time by row and world."""
    subjects = bench.worlds
    wanted: list[Take] = []
    for subject in subjects:
        middle = takes.starts(subject, 1)[0]
        wanted += [
            takes.tour(subject, middle),
            takes.hold(subject, middle),
            takes.play(subject, middle),
            takes.play(subject, middle, backwards=True),
            takes.play(subject, middle, slow=True),
        ]
    each = 1 + len(TIMES)
    filled = [whole(take, WINDOW) for take in wanted]
    repeated = [subject for subject in subjects for _ in range(each)]
    # A warp has no memory, so a world's takes are one to it.
    joined = [
        Take(*(np.concatenate(part) for part in zip(*((t.source, t.c2w) for t in filled[k : k + each]), strict=True)))
        for k in range(0, len(filled), each)
    ]
    warps = bench.warps(subjects, joined, np.arange(each * WINDOW))
    true = [truth(s, take, bench.renderer) for s, take in zip(repeated, bar(filled, "truth"), strict=True)]
    made = bench.made(bench.shown(repeated, filled), [one.rgb for one in true])
    rows = {TRUTH: np.stack([one.rgb for one in true])}
    rows |= {row: films.reshape(-1, WINDOW, *films.shape[2:]) for row, films in warps().items()}
    judges: dict[str, Any] = {}
    for row, films in (rows | made).items():
        for k, subject in enumerate(subjects):
            tour, *timed = films[each * k : each * (k + 1)]
            depth, matrix = true[each * k].depth[0], subject.intrinsics(0)
            judges.setdefault(row, {})[subject.name] = (
                bench.pool.submit(camera, tour, depth, matrix, wanted[each * k].c2w),
                bench.pool.submit(times, dict(zip(TIMES, timed, strict=True))),
            )
    return {
        row: {name: one.result() | other.result() for name, (one, other) in worlds.items()}
        for row, worlds in bar(list(judges.items()), "judges")
    }


def long(bench: Bench) -> dict[str, Any]:
    """Sums of every block, by path, row and world."""
    subjects, frames = bench.worlds, frames_of(LONG_BLOCKS)
    at = np.arange(0, frames, EVERY)
    block_of = np.maximum(0, (at - FIRST_FRAMES) // BLOCK_FRAMES + 1)
    phase = np.maximum(np.arange(frames) - FIRST_FRAMES, 0) % LOOP
    numbers = np.arange(-(-(frames - FIRST_FRAMES) // LEG))
    away = np.isin(numbers, AWAY)
    paths = {"stays": numbers % 2, "leaves": np.where(away, numbers, numbers % 2)}
    judged: dict[str, Any] = {}
    for path, places in paths.items():
        wanted = []
        for subject in subjects:
            start = (subject.view.num_frames - 1 - LEG) // 2
            wanted.append(wander(subject, start + np.minimum(phase, LOOP - phase), places, LEG))
        true = [
            truth(s, Take(t.source[at], t.c2w[at]), bench.renderer).rgb
            for s, t in zip(subjects, bar(wanted, "truth"), strict=True)
        ]
        rows = bench.made(bench.shown(subjects, wanted), None, at)
        judged[path] = {
            row: {
                subject.name: [
                    sums(some[block_of == b], one[block_of == b], np.ones_like(one[block_of == b, ..., 0], bool))["all"]
                    for b in range(LONG_BLOCKS)
                ]
                for subject, some, one in zip(subjects, films, true, strict=True)
            }
            for row, films in rows.items()
        }
    films = {"student": rows[STUDENT["jdmd"]], "truth": np.stack(true)}
    moments = {block: int(np.argmax(block_of == block)) for block in SHOWN}
    sheet = [
        side_by_side({f"{who}, block {block}": some[k, m] for block, m in moments.items()})
        for k in range(min(4, len(subjects)))
        for who, some in films.items()
    ]
    save_sheet(bench.config.out / "tiny-long.jpg", sheet)
    return judged


def looks(bench: Bench) -> dict[str, Any]:
    """Distances by row, and an interval of how much nearer JDMD is than V2V."""
    subjects, others = (bench.subjects(first, ("camera",)) for first in LOOK_SEEDS)
    leg = WINDOW - FIRST_FRAMES
    wanted = [wander(subject, played(subject, WINDOW), np.zeros(1, int), leg) for subject in subjects]
    clips = bench.shown(subjects, wanted)
    true = [truth(s, take, bench.renderer).rgb for s, take in zip(subjects, bar(wanted, "truth"), strict=True)]
    here, elsewhere = (
        np.stack([one.view.pictures[played(one, WINDOW)] for one in some]) for some in (subjects, others)
    )
    rows = {
        "films of these worlds": here,
        "codec round trip of these": pictures(bench.networks.round_trip(bench.tensor(here))),
        TRUTH: np.stack(true),
        **bench.made(clips, true),
    }
    count, (height, width) = len(subjects), bench.config.size
    for name, row in {"visual": "visual teacher", **STUDENT}.items():
        video = bench.networks.visual(name, count, 1 + WINDOW // 4, height // 8, width // 8)
        rows[row if name == "visual" else f"{row}, visual task"] = pictures(video)
    family = bench.vectors(elsewhere)
    unit = family.std((0, 1))
    real = Normal.of(family / unit)
    known = {row: bench.vectors(films) / unit for row, films in bar(list(rows.items()), "features")}
    draw, less = np.random.default_rng(0), []
    for _ in range(RESAMPLED):
        some = draw.integers(count, size=count)
        v2v, jdmd = (distance(Normal.of(known[STUDENT[name]][some]), real) for name in ("v2v", "jdmd"))
        less.append(v2v - jdmd)
    return {
        "distance": {row: distance(Normal.of(one), real) for row, one in known.items()},
        "nearer": np.percentile(less, (2.5, 97.5)).tolist(),
    }


PARTS: dict[Part, Callable[[Bench], dict[str, Any]]] = {"views": views, "short": short, "long": long, "looks": looks}


def played(subject: Subject, frames: int) -> NDArray[np.int64]:
    """Moments (frames,) of a film from its first on, back and forth at its ends."""
    assert subject.world is not None
    clock = Clock(subject.view.num_frames, subject.world.fps)
    return np.append(clock.frame, clock.advance(1.0, frames - 1))


def pictures(video: torch.Tensor, at: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.uint8]:
    """Some frames of a video (B, F, 3, H, W), as (B, m, H, W, 3)."""
    return video[:, at].movedim(2, -1).cpu().numpy()


def bar(items: Sequence[Any], what: str) -> Any:
    """A bar over items."""
    return tqdm(items, desc=what, leave=False, disable=None)


def save_sheet(path: Path, rows: list[NDArray[np.uint8]]) -> None:
    """Pictures of one width, one above the other, as a JPEG."""
    with written_whole(path) as partial:
        cv2.imwrite(str(partial), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


def main(config: Config) -> None:
    """Measure what is not measured yet, print the tables, fill the page."""
    bench = Bench(config)
    try:
        records = {part: measure(bench, part) for part in config.parts}
    finally:
        bench.close()
    words = "\n\n".join(
        f"{WORDS[part](not_null(record['found']))}\n\n{about(record)}" for part, record in records.items()
    )
    print(words)
    if config.page:
        fill(config.page, "tiny-world", words)
    if config.sheets:
        config.sheets.mkdir(parents=True, exist_ok=True)
        for sheet in config.out.glob("tiny-*.jpg"):
            shutil.copy(sheet, config.sheets / sheet.name)


def measure(bench: Bench, part: Part) -> dict[str, Any]:
    """What a part came to; written down, unless it is there. Raises ValueError where it is there for other worlds or takes."""
    config, file = bench.config, bench.config.out / f"{part}.json"
    asked = {"worlds": config.count, "blocks": config.blocks, "size": list(config.size)}
    if not file.is_file():
        began = time.monotonic()
        found = null(PARTS[part](bench))
        gpu = f"{torch.cuda.get_device_name()}; " if config.device != "cpu" else ""
        record = asked | {"machine": gpu + machine(), "seconds": time.monotonic() - began, "found": found}
        with written_whole(file) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    record = json.loads(file.read_text(encoding="utf-8"))
    kept = {name: record[name] for name in asked}
    if kept != asked:
        raise ValueError(f"expected {asked} in {file}, got {kept}: ask for that, or take another --out")
    return record


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.tiny_world", description=__doc__)))
