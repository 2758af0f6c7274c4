"""From an action's rate to the source frames of a step.

A scene has a constant rate, so time is counted in source frames, not in seconds: one control frame at rate 1 is one
source frame. The phase is an integer number of *ticks*, 2**32 to a frame, and a rate is rounded to whole ticks a frame;
all arithmetic is exact, so nothing drifts over any number of steps, and playing and then reversing leads home.

    frame shown = floor(t fps + 1/2) = floor(phase / TICKS + 1/2)

What happens at the ends of the clip (`ends`), for F frames, with the phase in frames:

    bounce   time runs back and forth: the phase runs on and a triangle wave of period 2 (F - 1) folds it
    clamp    time stands still at the first and the last frame
    loop     frame F - 1 is followed by frame 0: a cut, of period F
    end      as clamp, and `ended` becomes true once the clip has been run out of
"""

import math
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Ends = Literal["bounce", "clamp", "loop", "end"]

TICKS = 1 << 32
MAX_RATE = 1e3  # keeps every phase of a step, up to a million frames long, inside int64


class Clock:
    """Integrates time steps into source frames; the module's docstring has the rules.

    num_frames: F, length of the clip. fps: its rate, frames a second.
    Raises ValueError for an empty clip, a rate that is not positive, or an unknown `ends`.
    """

    def __init__(self, num_frames: int, fps: float, *, ends: Ends = "bounce"):
        if num_frames < 1:
            raise ValueError(f"num_frames: expected at least 1, got {num_frames}")
        if not 0 < fps < math.inf:
            raise ValueError(f"fps: expected a finite number > 0, got {fps}")
        if ends not in get_args(Ends):
            raise ValueError(f"ends: expected one of {get_args(Ends)}, got {ends!r}")
        self.num_frames, self.fps, self.ends = num_frames, fps, ends
        self._last = (num_frames - 1) * TICKS
        self._phase = 0  # ticks; of bounce and loop kept within one period
        self._rate = 0.0
        self.ended = False

    def reset(self, *, frame: float = 0.0, time: float | None = None) -> None:
        """Jump to a frame, or to a time in seconds, and pause there. Raises ValueError outside the clip."""
        at = frame if time is None else time * self.fps
        if not 0 <= at <= self.num_frames - 1:
            asked = f"frame {frame}" if time is None else f"time {time} s"
            raise ValueError(
                f"expected a moment in frames 0..{self.num_frames - 1} (0..{(self.num_frames - 1) / self.fps:g} s), "
                f"got {asked}"
            )
        self._phase = round(at * TICKS)
        self._rate = 0.0
        self.ended = False

    def advance(self, rate: float, frames: int) -> NDArray[np.int64]:
        """Run for `frames` control frames at `rate` (-1 reverse, 0 pause, 1 play, 2 twice as fast, any number).

        Returns the source frame shown in each, int64 (frames,). Raises ValueError for a rate that is not finite or
        beyond MAX_RATE; the clock then stays as it was.
        """
        if not -MAX_RATE <= rate <= MAX_RATE:
            raise ValueError(f"rate: expected a finite number of at most {MAX_RATE:g}, got {rate}")
        ticks = round(float(rate) * TICKS)
        run = self._phase + ticks * np.arange(1, frames + 1)
        end = self._phase + ticks * frames
        self._rate = ticks / TICKS if frames else self._rate
        if self.ends == "bounce":
            period = 2 * self._last
            run = np.minimum(run % period, -run % period) if period else np.zeros_like(run)
            self._phase = end % period if period else 0
        elif self.ends == "loop":
            period = self._last + TICKS
            run, self._phase = run % period, end % period
        else:
            run, self._phase = np.clip(run, 0, self._last), min(max(end, 0), self._last)
            if self._phase != end:
                self._rate = 0.0
                self.ended = self.ends == "end"
        return (run + TICKS // 2) // TICKS % self.num_frames

    @property
    def _moment(self) -> float:
        """Where in the clip time stands, in frames, 0..F-1 (up to F, exclusive, between the two ends of a loop)."""
        if self.ends == "bounce" and self._phase > self._last:
            return (2 * self._last - self._phase) / TICKS
        return self._phase / TICKS

    @property
    def frame(self) -> int:
        """The source frame shown now."""
        return math.floor(self._moment + 0.5) % self.num_frames

    @property
    def time(self) -> float:
        """Seconds of source video since its first frame."""
        return self._moment / self.fps

    @property
    def position(self) -> float:
        """Place in the clip, 0 at the first frame, 1 at the last."""
        return min(self._moment / max(self.num_frames - 1, 1), 1.0)

    @property
    def rate(self) -> float:
        """How fast source time moved at the end of the last step, in source rates.

        After a bounce it has the other sign than the command; at an end that holds time still it is 0.
        """
        if self.num_frames == 1:
            return 0.0
        if self.ends != "bounce" or self._rate == 0:
            return self._rate
        if self._phase in (0, self._last):  # arrived at an end: downwards at the first frame, upwards at the last
            return math.copysign(self._rate, self._phase - 1)
        return self._rate if self._phase < self._last else -self._rate

    def snapshot(self) -> dict[str, Any]:
        """The clock's state in plain numbers, for `restore`."""
        return {"phase": self._phase, "rate": self._rate, "ended": self.ended}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take back what `snapshot` of a clock over the same clip returned."""
        self._phase, self._rate, self.ended = snapshot["phase"], snapshot["rate"], snapshot["ended"]
