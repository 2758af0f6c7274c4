"""How fast this machine steps worlds: `inspatio-gym bench`.

Every figure is the median of `ROUNDS` rounds in one run, and what it is compared with runs in the same rounds, because
machines are noisy and ratios are less so. Two yardsticks stand beside the raw renderer:

    plain splat    the forward splat of `geometry.splat` in torch, on the same frames into the same cameras
    the floor      a copy of the bytes that a view cannot do without: reading depth and colour of both layers, writing
                   depth, colour and coverage
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspatio_gym.doctor import machine
from inspatio_gym.types import Size

ROUNDS = 5


@dataclass(frozen=True)
class BenchConfig:
    """Measure how fast this machine steps worlds.

    $ inspatio-gym bench
    $ inspatio-gym bench --seconds 0.2                  a quick look
    $ inspatio-gym bench --minutes 10 --json bench.json    memory of a clip of ten minutes too

    Prints tables: one environment and many, the raw renderer beside a plain splat in torch and a copy of its bytes, and
    how cost grows with the size of the view, the number of worlds, and the length of the clip.
    """

    scene: str = "room"
    """A bundled scene, a synthetic one ("synthetic:street?seed=3") or a scene folder."""
    size: Size = (96, 160)
    """Height and width of the observations."""
    seconds: float = 1.0
    """How long each round measures; a figure is the median of five."""
    num_envs: int = 64
    """Worlds in one process."""
    minutes: float = 0.0
    """Length of the clip whose memory is measured; making it takes a while, so 0 leaves it out."""
    json: Path | None = None
    """Write the figures into this file too."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what was measured, how many a second, and a remark."""

    what: str
    value: float
    unit: str
    remark: str = ""


def bench(config: BenchConfig) -> dict[str, list[Figure]]:
    """Measure as `config` says, print tables, return the figures by table. Raises ValueError for numbers out of range."""
    if config.seconds <= 0 or config.num_envs < 1 or config.minutes < 0:
        raise ValueError(
            f"expected seconds > 0, num_envs >= 1 and minutes >= 0, got {config.seconds}, {config.num_envs}, "
            f"{config.minutes}: the defaults are 1, 64 and 0"
        )
    print(machine(), flush=True)
    tables: dict[str, list[Figure]] = {}
    for title, measure in (
        ("environments", environments),
        ("the renderer", renderer),
        ("by size of the view", by_size),
        ("by number of worlds", by_worlds),
        ("by length of the clip", by_length),
    ):
        figures = tables[title] = []
        print(f"\n{title}", flush=True)
        for figure in measure(config):
            figures.append(figure)
            print(f"  {figure.what:<44}{figure.value:>12,.1f} {figure.unit:<10}{figure.remark}".rstrip(), flush=True)
    if config.json is not None:
        record = {title: [asdict(figure) for figure in figures] for title, figures in tables.items()}
        config.json.write_text(json.dumps({"machine": machine(), **record}, indent=1) + "\n", encoding="utf-8")
    return tables


def environments(config: BenchConfig) -> Iterator[Figure]:
    """One world through `gymnasium.make` with all its wrappers, and many in one process, random actions."""
    height, width = config.size
    (one,) = rates([single(config.scene, config.size)], config.seconds)
    yield Figure(f"gymnasium.make, RGB-D {height}x{width}", one, "steps/s", "one world, all wrappers")
    (many,) = rates([vector([config.scene], config.size, config.num_envs)], config.seconds)
    yield Figure(f"gymnasium.make_vec, RGB-D {height}x{width}", many, "steps/s", f"{config.num_envs} worlds, in total")


def renderer(config: BenchConfig) -> Iterator[Figure]:
    """Raw views at 480x832, beside the splat in torch and the copy of their bytes."""
    size = (480, 832)
    contenders = [views(config.scene, size), copy(size)]
    try:
        import torch  # noqa: F401
    except ImportError:
        warp, floor = rates(contenders, config.seconds)
        remark = "no plain splat to compare with: it needs torch, pip install 'inspatio-gym[agents]'"
    else:
        warp, floor, splat = rates([*contenders, plain_splat(config.scene, size)], config.seconds)
        remark = f"{warp / splat:.1f} times the plain splat"
        yield Figure("plain splat in torch, 480x832", splat, "frames/s", "one layer, no filling of holes")
    yield Figure("warp world, 480x832", warp, "frames/s", remark)
    yield Figure("the floor: a copy of its bytes", floor, "frames/s", f"{floor / warp:.1f} times the warp world")


def by_size(config: BenchConfig) -> Iterator[Figure]:
    """Raw views from 48x80 up to 480x832."""
    sizes = [(48, 80), (96, 160), (240, 416), (480, 832)]
    for size, rate in zip(sizes, rates([views(config.scene, size) for size in sizes], config.seconds), strict=True):
        pixels = size[0] * size[1]
        yield Figure(f"warp world, {size[0]}x{size[1]}", rate, "frames/s", f"{1e9 / rate / pixels:.1f} ns a pixel")


def by_worlds(config: BenchConfig) -> Iterator[Figure]:
    """Steps of 1 to `num_envs` worlds in one process."""
    counts = sorted({1, 4, 16, config.num_envs})
    runs = [vector([config.scene], config.size, count) for count in counts]
    for count, rate in zip(counts, rates(runs, config.seconds), strict=True):
        yield Figure(f"make_vec, {count} worlds", rate, "steps/s", "in total")


def by_length(config: BenchConfig) -> Iterator[Figure]:
    """Steps and memory of a process that visits moments all over clips of several lengths, 300 of them at least."""
    from inspatio_gym.scenes import load_scene

    scene = load_scene(config.scene)
    lengths = [scene.num_frames, 4 * scene.num_frames, 16 * scene.num_frames]
    if config.minutes:
        lengths.append(round(60 * config.minutes * scene.fps))
    with tempfile.TemporaryDirectory() as folder:
        for count in lengths:
            path = repeated(scene, count, Path(folder) / str(count))
            rate, peak = in_a_process(walk, (str(path), config.size, config.seconds))
            yield Figure(
                f"{count:,} frames ({count / scene.fps / 60:.1f} min)",
                rate,
                "steps/s",
                f"episodes of one step, all over; peak memory {peak:.0f} MiB",
            )


# --- what is measured: each returns a function that does some work and says how much -----------------------------------

Run = Callable[[], int]


def rates(runs: Sequence[Run], seconds: float) -> list[float]:
    """Units of work a second of each run: medians of rounds in which they take turns, after a round to warm up."""
    measured: list[list[float]] = [[] for _ in runs]
    for round_ in range(ROUNDS + 1):
        for run, values in zip(runs, measured, strict=True):
            done, begun = 0, time.perf_counter()
            while True:
                done += run()
                passed = time.perf_counter() - begun
                if passed >= seconds:
                    break
            if round_:
                values.append(done / passed)
    return [float(np.median(values)) for values in measured]


def single(scene: str, size: Size) -> Run:
    """100 steps of one environment, episodes beginning anew where they end."""
    import gymnasium as gym

    env = gym.make("InSpatio-v0", scene=scene, model="warp", size=size)
    env.action_space.seed(0)
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(100)]

    def run() -> int:
        for action in actions:
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return run


def vector(scenes: Sequence[str], size: Size, count: int) -> Run:
    """4 steps of `count` worlds in one process, random actions."""
    import gymnasium as gym

    envs = gym.make_vec(
        "InSpatio-v0",
        num_envs=count,
        vectorization_mode="vector_entry_point",
        scene=list(scenes),
        model="warp",
        size=size,
    )
    envs.action_space.seed(0)
    envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(16)]

    def run() -> int:
        for action in actions[:4]:
            envs.step(action)
        actions.append(actions.pop(0))
        return 4 * count

    return run


def cameras(scene: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Source frames int64 (n,) and cameras (n, 4, 4) beside the recorded ones: turned by up to 10 degrees, moved by up to
    5% of the median depth."""
    from inspatio_gym.geometry.poses import compose, rotation_ypr

    rng = np.random.default_rng(0)
    source = rng.integers(0, scene.num_frames, count)
    turns = rotation_ypr(*(rng.uniform(-10, 10, count) for _ in range(2)))
    offsets = compose(turns, rng.uniform(-0.05, 0.05, (count, 3)) * scene.median_depth)
    return source, scene.c2w[source] @ offsets


def views(scene: str, size: Size) -> Run:
    """8 views, one a call, of frames whose layers are there."""
    from inspatio_gym.scenes import load_scene
    from inspatio_gym.warp import WarpModel
    from inspatio_gym.world import BlockRequest

    loaded = load_scene(scene)
    model = WarpModel(size)
    requests = [
        BlockRequest(np.array([frame]), c2w[None], np.array([0]))
        for frame, c2w in zip(*cameras(loaded, 8), strict=True)
    ]
    sessions, _ = model.start([loaded], [0], requests[:1])

    def run() -> int:
        for request in requests:
            model.step(sessions, [request])
        return len(requests)

    return run


def plain_splat(scene: str, size: Size) -> Run:
    """The same 8 views by `geometry.splat`, one a call."""
    import torch

    from inspatio_gym.geometry import splat
    from inspatio_gym.scenes import load_scene

    loaded = load_scene(scene)
    view = loaded.view(size)
    jobs = []
    for frame, c2w in zip(*cameras(loaded, 8), strict=True):
        rgb = torch.from_numpy(view.rgb(frame).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        depth = torch.from_numpy(np.array(view.depth(frame)))[None, None]
        source, target, pinhole = (
            torch.from_numpy(np.array(matrix))[None].float()
            for matrix in (loaded.c2w[frame], c2w, view.intrinsics[frame])
        )
        jobs.append((rgb, depth, source, target, pinhole))

    def run() -> int:
        with torch.inference_mode():
            for job in jobs[:2]:
                splat(*job, normalizer="frame")
        jobs.append(jobs.pop(0))
        return 2

    return run


def copy(size: Size) -> Run:
    """As many bytes as 8 views read of their layers and write of their results, copied."""
    from inspatio_gym.layers import PAD

    pixels = size[0] * size[1]
    reads = 8 * pixels * (1 + (1 + 2 * PAD) ** 2)  # depth and colour, of the frame and of the wider background
    writes = 8 * pixels  # colour, depth, coverage
    source = np.ones(int(reads + writes) // 2, np.uint8)  # a copy reads and writes each byte
    target = np.empty_like(source)

    def run() -> int:
        for _ in range(8):
            np.copyto(target, source)
        return 8

    return run


# --- clips of any length ----------------------------------------------------------------------------------------------


def repeated(scene: Any, count: int, folder: Path) -> Path:
    """A scene of `count` frames: those of `scene`, to and fro."""
    from inspatio_gym.scenes.store import SceneWriter

    there = np.arange(scene.num_frames)
    order = np.resize(np.concatenate([there, there[-2:0:-1]]), count)
    with SceneWriter(
        folder, fps=scene.fps, size=scene.size, depth_size=scene.depth_size, name=f"{count} frames"
    ) as writer:
        rows = np.round(np.linspace(0, scene.size[0] - 1, scene.depth_size[0])).astype(int)[:, None]
        columns = np.round(np.linspace(0, scene.size[1] - 1, scene.depth_size[1])).astype(int)
        for i in order:
            writer.write_frame(scene.rgb(i))
            writer.write_depth(scene.depth(i)[rows, columns], scene.moving(i)[rows, columns])
        writer.finish(c2w=scene.c2w[order], intrinsics=scene.intrinsics[order], geometry=scene.geometry, provenance={})
    return folder


def walk(path: str, size: Size, seconds: float) -> tuple[float, float]:
    """Steps a second from end to end of a scene, its moments visited in turn, and the process's peak memory in MiB."""
    import gymnasium as gym

    import inspatio_gym  # noqa: F401
    from inspatio_gym.scenes import load_scene

    last = (load_scene(path).num_frames - 1) / load_scene(path).fps
    env = gym.make("InSpatio-v0", scene=path, model="warp", size=size)
    still = np.zeros(env.action_space.shape or (), np.float32)
    steps, begun, moments = 0, time.perf_counter(), np.linspace(0, last, 300)
    for k, moment in enumerate(np.resize(moments, 100_000)):
        if k >= len(moments) and time.perf_counter() - begun >= ROUNDS * seconds:
            break
        env.reset(options={"time": float(moment)})
        env.step(still)
        steps += 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    return steps / (time.perf_counter() - begun), peak


def in_a_process(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a function returns in a fresh process, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
