"""One world's control state: rig, clock, task and random numbers, between an action and the world model.

    draw(rng, options)            ->  Start           an episode's scene, moment, camera, and first BlockRequest
    begin(start, session, block, out)  ->  info       once the model has answered it
    plan(motion, rate)            ->  BlockRequest    which source frames, seen from which cameras
    (the model steps and the survey looks, each batched over slots)
    observe(block, sight, out)    ->  reward, terminated, truncated, info; the observation goes into `out`
    set_apart()                   (instead, if any of this raised) only the last observation, and the next `draw`, remain

Whatever can be refused is refused by `draw`, which changes nothing: the world then goes on as it was.
The single environment owns one slot, the vector environment many; because all of a world's logic is here, slot k of a
vector environment and a single environment with the same seed and actions agree bit for bit. Everything that slots share
(scenes, model, control, survey) is the `Stage`.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.camera import CameraRig
from inspatio_gym.clock import Clock
from inspatio_gym.envs.sight import Sight
from inspatio_gym.envs.spaces import MAX_DEPTH
from inspatio_gym.envs.tasks import Asked, Moment, Seeker, task_name
from inspatio_gym.geometry.poses import from_vector
from inspatio_gym.scenes import Scene
from inspatio_gym.types import Arrays, Pose, Rgb
from inspatio_gym.world import Block, BlockRequest

if TYPE_CHECKING:
    from inspatio_gym.envs.stage import Place, Stage

OPTIONS = ("scene", "time", "pose", "goal")  # of reset
INFO = {
    "c2w",
    "source_time",
    "coverage",
    "covered",
    "collision",
    "frames",
    "truncated_reason",
    "scene",
    "to_go",
}  # no metric's name
JITTER_TRIES = 4  # a start that is refused is tried again nearer to the mount, at last on it
PATIENCE = 2  # steps in a row that end outside the corridor truncate: one may be a slip, and the way back is open


class Start(NamedTuple):
    """Where an episode is to begin, what is seen from there, and the first block, the camera held."""

    place: "Place"
    rng: np.random.Generator
    key: int
    clock: Clock
    rig: CameraRig
    sight: Sight
    request: BlockRequest
    goal: Any


class Slot:
    """One world of `stage`: `draw` and `begin` an episode, then `plan` and `observe` in turn."""

    def __init__(self, stage: "Stage"):
        self.stage = stage
        self.task = stage.make_task()
        self._seeks = isinstance(self.task, Seeker)
        self.place: Place
        self.clock: Clock
        self.rig: CameraRig
        self._here: NDArray[np.float32]  # the rig's observed vector
        self.session: Any = None
        self.block: Block | None = None
        self.is_apart = False
        self._told: Mapping[str, NDArray[Any]]  # what the task added to the last observation

    @property
    def begun(self) -> bool:
        """An episode is under way."""
        return self.block is not None

    def draw(self, rng: np.random.Generator, options: Mapping[str, Any] | None) -> Start:
        """Draw an episode's scene, start frame, 64-bit key and pose from `rng`; options override what is drawn.

        options: "scene" (see `Stage.choose_scene`), "time" in seconds, "pose" the offset from the mount, a (4, 4) pose or
        a (7,) vector as observed, "goal" (see the task's `read_goal`). Raises ValueError or TypeError for others, or for
        values out of range.
        """
        options = options or {}
        if unknown := sorted(set(options) - set(OPTIONS), key=str):
            raise ValueError(f"expected reset options out of {list(OPTIONS)}, got {unknown}")
        # Everything is drawn whatever the options say, so that an option changes nothing else.
        pick, when = int(rng.integers(len(self.stage.scenes))), rng.random()
        key, jitter = int(rng.integers(2**64, dtype=np.uint64)), rng.uniform(-1, 1, 6) * self.stage.jitter
        scene = self.stage.choose_scene(options["scene"]) if "scene" in options else self.stage.scenes[pick]
        place = self.stage.place(scene)
        clock, rig = self._at_rest(place)
        if "time" in options:
            clock.reset(time=as_seconds(options["time"]))
        else:
            clock.reset(frame=int(when * scene.num_frames))
        if "pose" in options:
            rig.reset(offset_pose(options["pose"], place.unit))
            sight = self._sight(place, clock, rig)
        else:
            sight = self._settle(place, clock, rig, jitter, free="time" not in options)
        frame, first = clock.frame, self.stage.model.first_frames
        source = np.maximum(np.arange(frame - first + 1, frame + 1), 0)
        c2w = np.repeat(self._camera(place, clock, rig)[None], first, 0)
        request = BlockRequest(source, c2w, self.stage.observed(first))
        return Start(place, rng, key, clock, rig, sight, request, self._goal(options.get("goal"), scene, frame))

    def begin(self, start: Start, session: Any, block: Block, out: Arrays) -> dict[str, Any]:
        """Enter an episode with the model's answer to its request; write the observation into `out`, return info.

        Raises ValueError if the task's metrics have a name that is the world's own.
        """
        self._enter(start.place, start.rng, start.key, start.clock, start.rig)
        self._outside = 0  # steps in a row
        self._came_from, self._collided = self._here, False
        self._source, self._c2w = start.request.source, start.request.c2w
        self.session, self.block, self.is_apart = session, block, False
        moment = self._moment(start.sight, start.goal)
        self.task.reset(moment, self.rng)
        if taken := sorted(INFO & self.task.metrics().keys()):
            raise ValueError(f"expected the task's metrics to have names of their own, got {taken}: rename them")
        self.write_observation(out)
        return {**self._info(moment), "scene": self.place.scene.name}

    def plan(self, motion: NDArray[np.float64], rate: float) -> BlockRequest:
        """Hold a motion (6,) and a rate of time, as `Control.read` returns them, for a step."""
        frames = self.stage.frames
        self._before = self.block, self.clock.snapshot(), self.rig.snapshot()
        self._came_from = self._here
        self._source = self.clock.advance(rate, frames)
        anchors = self.place.c2w[self._source] if self.stage.rides else self.stage.at_first_camera
        self._c2w, self._collided = self.rig.advance(
            motion,
            frames=frames,
            dt=1.0 / self.clock.fps,
            anchors=anchors,
            obstacle=self.place.obstacle.at(self._source),
        )
        self._here = self.rig.vector
        return BlockRequest(self._source, self._c2w, self.stage.observed(frames))

    @property
    def last_frame(self) -> Rgb:
        """What the model made last, uint8 (H, W, 3) at `render_size`."""
        assert self.block is not None
        return self.block.rgb[-1]

    @property
    def view(self) -> tuple[int, Pose]:
        """The source frame and the camera (4, 4) at the end of what was planned."""
        return int(self._source[-1]), self._c2w[-1]

    def observe(self, block: Block, sight: Sight, out: Arrays) -> tuple[float, bool, bool, dict[str, Any]]:
        """Take the model's answer to the plan; write the observation into `out` (arrays of the space's shapes).

        Returns reward, terminated, truncated (out of the corridor, or the clip has ended), info.
        """
        self.block = block
        moment = self._moment(sight)
        reward, terminated = self.task.step(moment)
        info = self._info(moment)
        self._outside = self._outside + 1 if moment.outside else 0
        if self._outside >= PATIENCE:
            info["truncated_reason"] = "corridor"
        elif self.clock.ended:
            info["truncated_reason"] = "clip ended"
        self.write_observation(out)
        return reward, terminated, "truncated_reason" in info, info

    def set_apart(self) -> None:
        """Something raised since `plan`: go back to what was seen last, and wait for the next episode."""
        self.block, clock, rig = self._before
        self.clock.restore(clock)
        self.rig.restore(rig)
        self._here = self.rig.vector
        self.session, self.task, self.is_apart = None, self.stage.make_task(), True

    def write_observation(self, out: Arrays) -> None:
        """Write the current observation into `out`, arrays of the space's shapes."""
        assert self.block is not None
        resizer, unit = self.stage.resizer, self.place.unit
        resizer.rgb(self.block.rgb[-1], out["rgb"])
        depth = out["depth"][..., 0]
        np.multiply(resizer.pick(self.block.depth[-1]), np.float32(1.0 / unit), out=depth)
        np.minimum(depth, MAX_DEPTH, out=depth)
        out["pose"][:] = self._here
        out["pose"][:3] /= unit
        np.clip(out["pose"], self.stage.pose_low, self.stage.pose_high, out=out["pose"])
        out["time"][:] = self.clock.position, self.clock.rate
        told = self._told if self.is_apart else self.task.observation()
        for name, value in told.items():
            out[name][...] = value
        self._told = told

    def snapshot(self, light: bool = False) -> dict[str, Any]:
        """Everything that the rest of the episode depends on, as plain arrays, numbers and strings; light: as of a session."""
        session = None if self.is_apart else self.session.snapshot(light)
        return {"made_with": self.stage.signature, "session": session, **self._state()}

    def _state(self) -> dict[str, Any]:
        """The snapshot but for the session."""
        assert self.block is not None
        return {
            "scene": self.place.scene.digest,
            "key": self.key,
            "rng": self.rng.bit_generator.state,
            "rig": self.rig.snapshot(),
            "clock": self.clock.snapshot(),
            "outside": self._outside,
            "told": dict(self._told) if self.is_apart else None,
            "task": None if self.is_apart else self.task.snapshot(),
            "rgb": self.block.rgb[-1:].copy(),
            "depth": self.block.depth[-1:].copy(),
            "covered": self.block.covered[-1:].copy(),
        }

    def restore(self, snapshot: Mapping[str, Any], rng: np.random.Generator) -> None:
        """Take back a snapshot of this stage's model and of one of its scenes; `rng` takes up the snapshot's numbers.

        Raises ValueError if the snapshot was made of something else.
        """
        for name, here in self.stage.signature.items():
            there = snapshot.get("made_with", {}).get(name)
            if there != here:
                raise ValueError(
                    f"expected a snapshot made with {name} {here!r}, got {there!r}: restore it in an environment made with "
                    "the same arguments"
                )
        session = None
        if snapshot["session"] is not None:
            session = self.stage.model.session(self.stage.recall(snapshot["scene"]).scene, snapshot["key"])
            session.restore(snapshot["session"])
        self._take_up(snapshot, rng, session)

    def become(self, other: "Slot", rng: np.random.Generator) -> None:
        """Go on as a copy of another world of the same stage; `rng` takes up its numbers."""
        self._take_up(other._state(), rng, None if other.is_apart else other.session.fork())

    def _take_up(self, snapshot: Mapping[str, Any], rng: np.random.Generator, session: Any) -> None:
        place = self.stage.recall(snapshot["scene"])
        clock, rig = self._at_rest(place)
        clock.restore(snapshot["clock"])
        rig.restore(snapshot["rig"])
        rng.bit_generator.state = snapshot["rng"]
        self._enter(place, rng, snapshot["key"], clock, rig)
        self._outside = snapshot["outside"]
        self.session, self.is_apart = session, session is None
        if self.is_apart:
            self._told = snapshot["told"]
        else:
            self.task.restore(snapshot["task"], self.place.scene)
        self.block = Block(snapshot["rgb"].copy(), snapshot["depth"].copy(), snapshot["covered"].copy())

    def _at_rest(self, place: "Place") -> tuple[Clock, CameraRig]:
        """A clock at the first frame and a rig on the mount."""
        scene, config = place.scene, self.stage.config
        return Clock(scene.num_frames, scene.fps, ends=config.ends), CameraRig(self.stage.rig, unit=place.unit)

    def _enter(self, place: "Place", rng: np.random.Generator, key: int, clock: Clock, rig: CameraRig) -> None:
        self.place, self.rng, self.key, self.clock, self.rig = place, rng, key, clock, rig
        self._here = rig.vector

    def _settle(
        self, place: "Place", clock: Clock, rig: CameraRig, jitter: NDArray[np.float64], *, free: bool
    ) -> Sight:
        """Move the rig to the drawn offset, or nearer to the mount until it is inside the corridor and the limits.

        On mount "world" the start frame moves towards the first one in the same measure if it is `free`: the mount is
        trusted there. Returns what is seen from there.
        """
        frame = clock.frame
        for attempt in range(JITTER_TRIES + 1):
            scale = 1.0 - attempt / JITTER_TRIES
            moved, angles = scale * jitter[:3] * place.unit, scale * jitter[3:]
            if free and not self.stage.rides:
                clock.reset(frame=int(scale * frame))
            try:
                rig.place(moved, angles)
            except ValueError:  # a rig with tighter limits than the jitter
                continue
            sight = self._sight(place, clock, rig)
            if sight.coverage >= self.stage.config.min_coverage:
                break
        return sight

    def _sight(self, place: "Place", clock: Clock, rig: CameraRig) -> Sight:
        """What is seen at rest."""
        return self.stage.look([place], [clock.frame], self._camera(place, clock, rig)[None])[0]

    def _camera(self, place: "Place", clock: Clock, rig: CameraRig) -> Pose:
        """The camera (4, 4) now."""
        return place.c2w[clock.frame] @ rig.offset if self.stage.rides else rig.offset

    def _goal(self, goal: Any, scene: Scene, frame: int) -> Any:
        """What the task makes of options["goal"]. Raises ValueError for a task that cannot be asked for one."""
        if goal is None:
            return None
        if not isinstance(self.task, Asked):
            name = task_name(self.stage.config.task)
            raise ValueError(f"expected no options['goal'], got {goal!r}: the task {name!r} has no goal to choose")
        return self.task.read_goal(goal, scene, frame)

    def _moment(self, sight: Sight, goal: Any = None) -> Moment:
        frame, c2w = self.view
        moved, turned_deg = between(self._came_from.tolist(), self._here.tolist())
        return Moment(
            scene=self.place.scene,
            unit=self.place.unit,
            frame=frame,
            c2w=c2w,
            seen=sight.seen,
            coverage=sight.coverage,
            collided=self._collided,
            outside=sight.coverage < self.stage.config.min_coverage,
            moved=moved / self.place.unit,
            turned_deg=turned_deg,
            goal=goal,
        )

    def _info(self, moment: Moment) -> dict[str, Any]:
        assert self.block is not None
        resizer = self.stage.resizer
        covered = np.array(resizer.pick(self.block.covered[-1]))
        info = {
            "c2w": moment.c2w.copy(),
            "source_time": self.clock.time,
            "coverage": int(np.count_nonzero(covered)) / covered.size,
            "covered": covered,
            "collision": moment.collided,
            **self.task.metrics(),
        }
        if self._seeks:
            info["to_go"] = cast(Seeker, self.task).to_go()
        if self.stage.config.include_frames:
            info["frames"] = resizer.frames(self.block.rgb)
        return info


def as_seconds(time: Any) -> float:
    """options["time"] as a number. Raises TypeError for anything else."""
    try:
        return float(time)
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected options['time'] in seconds of source video, got {time!r}: pass 1.5, say") from error


def offset_pose(pose: Any, unit: float) -> Pose:
    """options["pose"] as a (4, 4) offset in scene units: a rigid (4, 4), or a (7,) vector as in the observation.

    Lengths are in median depths (`unit` scene units). Raises ValueError for anything else.
    """
    try:
        array = np.asarray(pose, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape not in ((7,), (4, 4)) or not np.isfinite(array).all():
        raise ValueError(
            f"expected options['pose'] of finite numbers, shape (4, 4) or (7,) (position; quaternion w, x, y, z), got {pose!r}"
        )
    offset = array.copy() if array.shape == (4, 4) else from_vector(array)
    offset[:3, 3] *= unit
    return offset


def between(a: list[float], b: list[float]) -> tuple[float, float]:
    """Distance, and angle in degrees, between two poses given as position and quaternion (7 numbers each)."""
    moved = math.dist(a[:3], b[:3])
    w, x, y, z = a[3:]
    p, q, r, s = b[3:]
    # conjugate(a) * b: its vector part is exactly zero for equal poses
    turn = math.hypot(w * q - x * p - y * s + z * r, w * r - y * p - z * q + x * s, w * s - z * p - x * r + y * q)
    return moved, math.degrees(2.0 * math.atan2(turn, abs(w * p + x * q + y * r + z * s)))
