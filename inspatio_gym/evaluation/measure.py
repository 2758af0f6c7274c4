"""All metrics of a clip source over a subject: the takes are filmed, the figures made.

    evaluate(ModelSource(model, subject), subject, truth)  ->  Evaluation(figures, by_move, exhibits, ...)

The same call measures true renders and clips that are wrong on purpose, which is how the metrics are calibrated. What
cannot be known is NaN: new views and permanence of a video, say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from inspatio_gym.evaluation import consistency, memory, motion, takes, temporal
from inspatio_gym.evaluation.camera import camera_error, recover
from inspatio_gym.evaluation.clips import ClipSource, Recording, Take, TrueRenders
from inspatio_gym.evaluation.drift import Drift, drift
from inspatio_gym.evaluation.images import Fidelity, finer, seen_by
from inspatio_gym.evaluation.metrics import METRICS
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.types import Mask, Poses, Rgb

MOMENTS = 2
"""Moments of the clip from which new views are taken."""
WORK = 8
"""Parts that `evaluate` reports."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A frame to be judged by eye: what was asked for, the recorded frame of that moment, the clip's, and the true one.

    title, frame: what was asked for, and of which frame of the video. marked: pixels to look at.
    """

    title: str
    frame: int
    recorded: Rgb
    shown: Rgb
    true: Rgb | None
    marked: Mask | None = None


@dataclass(slots=True)
class Evaluation:
    """figures: by the names of `METRICS`. by_move: fidelity figures at each distance. exhibits: frames to be judged by eye.
    commanded, recovered: cameras (n, 4, 4) of the tour. drift: of a long rollout, if asked for."""

    figures: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, float("nan")))
    by_move: dict[str, dict[str, float]] = field(default_factory=dict)
    exhibits: list[Exhibit] = field(default_factory=list)
    commanded: Poses = field(default_factory=lambda: np.zeros((0, 4, 4)))
    recovered: Poses = field(default_factory=lambda: np.zeros((0, 4, 4)))
    drift: Drift | None = None


def truth_of(subject: Subject) -> TrueRenders | Recording:
    """The renderer of a synthetic world, else the video, which knows its own cameras alone."""
    return Recording(subject) if subject.world is None else TrueRenders(subject)


def evaluate(
    source: ClipSource,
    subject: Subject,
    truth: TrueRenders | Recording,
    *,
    long_frames: int = 0,
    report: Report = lambda part: None,
) -> Evaluation:
    """Measure `source`; `report` hears the name of each of `WORK` parts when it is done. A `Recording` is measured where its
    own camera is followed, and has no other figures.

    long_frames: frames of the rollout that drift is measured over; 0 leaves it out. Raises ValueError for a scene that is
    too short.
    """
    result = Evaluation()
    figures = result.figures
    middle = takes.starts(subject, 1)[0]
    known = subject.world is not None
    everywhere = not isinstance(source, Recording)
    if known:
        _new_views(source, subject, truth, result)
    elif everywhere:
        _show_views(source, subject, result)
    report("new views")
    if everywhere:
        _camera(source, subject, truth, middle, result)
    report("camera")

    played = source.film(takes.play(subject, middle)).rgb
    flow, true_flow = motion.flows(played), motion.flows(truth.film(takes.play(subject, middle)).rgb)
    figures["motion_px"] = motion.magnitude_px(flow)
    figures["motion_error"] = motion.motion_error(flow, true_flow, _moving(subject, middle))
    report("motion")
    figures["pause_change"] = temporal.pause_change(source.film(takes.hold(subject, middle)).rgb)
    backwards = source.film(takes.play(subject, middle, backwards=True)).rgb
    figures["reverse_difference"] = temporal.reverse_difference(played, backwards)
    figures["slow_ratio"] = temporal.slow_ratio(played, source.film(takes.play(subject, middle, slow=True)).rgb)
    report("time")

    if everywhere:
        _revisit(source, subject, truth, middle, result)
    report("revisit")
    _persistence(source, subject, truth, middle, result)
    report("persistence")
    if known:
        _permanence(source, subject, truth, result)
    report("permanence")
    if long_frames and everywhere:
        result.drift = drift(source, subject, middle, long_frames, truth if known else None)
        figures["drift_db"] = result.drift.db
    report("drift")
    return result


def _new_views(source: ClipSource, subject: Subject, truth: ClipSource, result: Evaluation) -> None:
    everything, covered, pixels = Fidelity(), 0, 0
    by_move: dict[str, Fidelity] = {}
    for moment in takes.starts(subject, MOMENTS):
        matrix, camera = subject.intrinsics(moment), subject.view.c2w[moment]
        fine_matrix, fine_size = finer(matrix, subject.size)
        depth, _ = subject.true_depth(camera, moment, fine_size, fine_matrix)
        for take, looked, moves in takes.sweeps(subject, moment):
            clip, true = source.film(take, looked), truth.film(take, looked).rgb
            covered, pixels = covered + int(clip.covered.sum()), pixels + clip.covered.size
            for k, move in enumerate(moves):
                target = take.c2w[looked[k]]
                seen = seen_by(depth, camera, matrix, subject.true_depth(target, moment)[0], target)
                at_distance = by_move.setdefault(f"{move.kind} {abs(move.amount):g}", Fidelity())
                for fidelity in (everything, at_distance):
                    fidelity.add(clip.rgb[k], true[k], seen)
            if move.amount > 0 and moment == takes.starts(subject, MOMENTS)[0]:
                recorded = subject.view.rgb(moment)
                result.exhibits.append(Exhibit(str(move), moment, recorded, clip.rgb[-1], true[-1]))
    result.figures |= everything.figures() | {"coverage": covered / pixels}
    result.by_move = {name: fidelity.figures() | {"seen": fidelity.share} for name, fidelity in by_move.items()}


def _show_views(source: ClipSource, subject: Subject, result: Evaluation) -> None:
    """Where nobody knows the truth, new views can only be looked at, and what is called covered be counted."""
    shares = []
    for moment in takes.starts(subject, MOMENTS):
        for take, looked, moves in takes.sweeps(subject, moment):
            clip = source.film(take, looked)
            shares.append(clip.covered.mean())
            if moves[-1].amount > 0 and moment == takes.starts(subject, MOMENTS)[0]:
                recorded = subject.view.rgb(moment)
                result.exhibits.append(Exhibit(str(moves[-1]), moment, recorded, clip.rgb[-1], None))
    result.figures["coverage"] = float(np.mean(shares))


def _camera(source: ClipSource, subject: Subject, truth: ClipSource, frame: int, result: Evaluation) -> None:
    take = takes.tour(subject, frame)
    rgb = source.film(take).rgb
    depth = subject.view.depth(frame) if subject.world is None else subject.true_depth(take.c2w[0], frame)[0]
    found = recover(rgb, depth, subject.intrinsics(frame))
    error = camera_error(found.c2w, take.c2w)
    result.commanded, result.recovered = take.c2w, take.c2w[0] @ found.c2w
    result.figures |= {
        "rotation_error_deg": error.rotation_deg,
        "translation_error": error.translation,
        "camera_score": error.score,
        "poses_found": found.found,
        "reprojection_px": consistency.reprojection_px(found),
        "photometric_px": consistency.photometric_px(rgb),
        "acceleration_px": motion.acceleration_px(rgb),
    }
    true = truth.film(take, np.array([len(take) - 1])).rgb[0] if subject.world is not None else None
    result.exhibits.append(Exhibit("end of the tour", frame, subject.view.rgb(frame), rgb[-1], true))


def _moving(subject: Subject, frame: int) -> np.ndarray:
    """(n - 1, H, W) what moves by itself in each frame of `takes.play` but the last; all of it where the camera rides along."""
    take = takes.play(subject, frame)
    if subject.world is None:
        return np.ones((len(take) - 1, *subject.size), bool)
    ids = [subject.true_depth(take.c2w[k], int(take.source[k]))[1] for k in range(len(take) - 1)]
    return subject.world.moving(np.stack(ids))


def _revisit(source: ClipSource, subject: Subject, truth: ClipSource, frame: int, result: Evaluation) -> None:
    take = takes.away(subject, frame, running=False)
    looked = np.array([0, len(take) // 2, len(take) - 1])
    rgb = source.film(take, looked).rgb
    result.figures["revisit_psnr"] = memory.revisit_psnr(rgb)
    (true,) = truth.film(Take(take.source[:1], take.c2w[:1])).rgb
    result.exhibits.append(Exhibit("looked away and back", frame, subject.view.rgb(frame), rgb[-1], true))


def _persistence(source: ClipSource, subject: Subject, truth: ClipSource, frame: int, result: Evaluation) -> None:
    take = takes.away(subject, frame, running=True)
    ends = np.array([0, len(take) - 1])
    before, after = truth.film(Take(take.source[ends], take.c2w[ends])).rgb
    (shown,) = source.film(take, ends[1:]).rgb
    result.figures["persistence"] = memory.nearer_share(shown, after, before)
    later = int(take.source[-1])
    result.exhibits.append(Exhibit("back, time ran meanwhile", later, subject.view.rgb(later), shown, after))


def _permanence(source: ClipSource, subject: Subject, truth: ClipSource, result: Evaluation) -> None:
    passage = memory.find_passage(subject)
    if passage is None:
        return
    frames = np.arange(passage.before, passage.after + 1)
    take = Take(frames, np.repeat(passage.c2w[None], len(frames), 0))
    (shown,) = source.film(take, np.array([len(take) - 1])).rgb
    at = np.array([passage.hidden, passage.after])
    without, with_it = truth.film(Take(at, np.repeat(passage.c2w[None], 2, 0))).rgb
    mask = subject.true_depth(passage.c2w, passage.after)[1] == passage.id
    share = memory.nearer_share(shown, with_it, without, mask)
    result.figures["permanence"] = share
    if not np.isnan(share):
        recorded = subject.view.rgb(passage.after)
        result.exhibits.append(Exhibit("came out again", passage.after, recorded, shown, with_it, mask))
