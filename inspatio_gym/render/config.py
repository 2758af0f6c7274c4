"""What `inspatio-gym render` can be told. A field's docstring is its `--help`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inspatio_gym.trajectory import Trajectory

MODEL_OPTIONS = ("encoder", "decoder", "attention", "prompt", "compile")
"""Fields that go to the model's loader as they are, if they are set."""


@dataclass(frozen=True)
class RenderConfig:
    """Films of new views: videos and a camera path in, mp4 files out.

    $ inspatio-gym render --video clip.mp4 --trajectory orbit
    $ inspatio-gym render --video clips/ more.mp4 --trajectory my_path.txt --model warp
    $ inspatio-gym render --scene room --trajectory push_in --freeze-frame 40        # a frozen moment
    $ inspatio-gym render --video clip.mp4 --trajectory short_pan --reverse          # time runs backwards
    $ inspatio-gym render --video clip.mp4 --speed 1 0.5 0 -1 1                      # slow, stop, back, on
    $ inspatio-gym render --video clips/ --model inspatio-1.3b --device cuda --samples 4
    $ inspatio-gym render --video clips/ --model inspatio-1.3b --gpus 8              # one video a GPU at a time

    A trajectory is a file of three lines, keyframes of pitch and yaw in degrees and of displacement in radii, or the name
    of a bundled one: orbit, push_in, x_y_circle_cycle, zoom_out_in, short_pan, dolly.

    Each video and seed gets a folder OUTPUT/NAME/TRAJECTORY-MODEL-seedN-HASH with prediction.mp4 (the new views),
    source.mp4 (the video at the same moments), render.mp4 (what of it is visible from there; holes are black),
    side_by_side.mp4 and render.json. The hash stands for all that the pictures depend on: what is there already is
    skipped, and a run that was broken off goes on where it stopped.
    """

    video: tuple[Path, ...] = ()
    """Video files, and folders of them."""
    scene: tuple[str, ...] = ()
    """Bundled scenes (room, street), synthetic ones (synthetic:table?seed=3) or folders made by `inspatio-gym anchor`."""
    output: Path = Path("renders")
    """Folder to write into."""
    trajectory: str = "orbit"
    """The camera's path: a file, or the name of a bundled one."""

    mount: Literal["source", "world"] = "source"
    """What the path is relative to. source: the recorded camera of the moment, so that the camera rides along and the
    path is always around what the video shows. world: the first recorded camera, so that it stays where the path says
    even if the video drives away."""
    rotation_only: bool = False
    """Turn as the path says, but stay in place. A path that never turns still moves."""
    radius: float | None = None
    """What displacement is a multiple of, in scene units; None takes the distance of the foreground (a tenth of all
    pixels is nearer), or less where the path would lead below the ground or into a wall."""
    frames: int | None = None
    """Length of the films; None takes as many frames as let the path turn neither too fast nor too slowly."""
    speed: tuple[float, ...] = ()
    """Source time per film time: a number, or keyframes spread evenly over the film and joined by lines (1 plays, 0 pauses,
    -1 plays backwards; at an end of the video time turns round). Left out, the film shows the whole video: to and fro
    if the film is longer, evenly skipping frames if it is shorter."""
    reverse: bool = False
    """Play the video from its end: every moment is mirrored. The camera's path stays as it is."""
    freeze_frame: int | None = None
    """Time stands still at this source frame while the camera moves; -1 is the last."""
    freeze_repeat: int | None = None
    """For how many frames; None takes as many as suit the path."""

    model: str = "auto"
    """warp (no weights, CPU), tiny, inspatio-1.3b, inspatio-1.5-1.3b; "auto" is the best that can run here, but never tiny."""
    size: tuple[int, int] | None = None
    """Height and width of the films; None is what the model was made for: 480 832."""
    device: str = "auto"
    """Where the model runs: cpu, cuda, cuda:1; "auto" is a GPU if there is one that the model can use."""
    seed: int = 0
    """Of the model's noise."""
    samples: int = 1
    """Films of each video, with seeds SEED, SEED + 1, ..."""
    normalizer: Literal["frame", "clip"] = "frame"
    """Of a diffusion model's splat: the farthest point of each frame, as in a stream, or of the whole clip, as the first
    release had it; that one loads the model anew for each video."""
    prompt: str | None = None
    """Words for a diffusion model; None takes the scene's caption."""
    encoder: Literal["auto", "taehv", "vae"] | None = None
    """Of a diffusion model: the codec that pictures go in by."""
    decoder: Literal["auto", "taehv", "vae"] | None = None
    """And the one that they come out by."""
    attention: str | None = None
    """Of a diffusion model: an attention kernel; None measures which is fastest."""
    compile: bool = False
    """Let torch.compile fuse a diffusion model's blocks, which takes minutes once."""

    gpus: int = 0
    """Spread the videos over so many GPUs, each with a model of its own (needs Ray); 0 is this process."""
    workers: int = 0
    """The same with processes on the CPU."""
    overwrite: bool = False
    """Make again what is there already."""

    estimator: str = "auto"
    """Where cameras and depth of a video come from: see `inspatio-gym anchor --help`."""
    max_frames: int = 300
    """Frames to keep of a video."""
    start: float = 0.0
    """Seconds into the videos at which they begin."""

    def __post_init__(self) -> None:
        """Raises ValueError for numbers out of range and for options that contradict each other."""
        least = {"frames": 1, "freeze_repeat": 1, "samples": 1, "seed": 0, "gpus": 0, "workers": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"expected {flag(name)} of at least {minimum}, got {value}")
        if self.radius is not None and not 0 < self.radius < float("inf"):
            raise ValueError(f"expected --radius > 0, got {self.radius}")
        if self.freeze_frame is None and self.freeze_repeat is not None:
            raise ValueError("expected --freeze-frame with --freeze-repeat, got the latter alone: add --freeze-frame 0")
        for first, second in (
            ("freeze_repeat", "frames"),
            ("freeze_frame", "speed"),
            ("freeze_frame", "reverse"),
            ("gpus", "workers"),
        ):
            if _given(self, first) and _given(self, second):
                raise ValueError(f"expected {flag(first)} or {flag(second)}, got both: leave one out")

    @property
    def path(self) -> Trajectory:
        """The camera's path. Raises ValueError for what is neither a trajectory file nor a bundled name."""
        if Path(self.trajectory).is_file():
            return Trajectory.read(self.trajectory)
        return Trajectory.preset(self.trajectory)

    @property
    def model_options(self) -> dict[str, Any]:
        """What the user wants of the model beside its name, size and device."""
        return {name: getattr(self, name) for name in MODEL_OPTIONS if getattr(self, name) not in (None, False)}


def flag(field: str) -> str:
    """How a field is called on the command line."""
    return "--" + field.replace("_", "-")


def _given(config: RenderConfig, field: str) -> bool:
    return getattr(config, field) not in (None, False, 0, ()) or (
        field == "freeze_frame" and config.freeze_frame is not None
    )
