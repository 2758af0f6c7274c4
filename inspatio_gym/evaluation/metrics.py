"""What is measured: every figure's name, unit, and which way is better. `measure.evaluate` makes them.

None of the figures needs a downloaded judge. Of the aspects of Duan et al., "WorldScore" (2025), object control, content
alignment, style consistency and subjective quality do, and are not computed; the others are computed in ways of our own,
so no figure here is a score of that benchmark, nor comparable with one.
"""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "1/2", "truth"]


@dataclass(frozen=True, slots=True)
class Metric:
    """better: higher, lower, or near what: one half, or the figure of true renders. digits: after the point."""

    family: str
    title: str
    unit: str
    better: Better
    digits: int = 2


METRICS = {
    "psnr": Metric("images", "PSNR of new views", "dB", "higher"),
    "psnr_covered": Metric("images", "PSNR, pixels the source frame sees", "dB", "higher"),
    "psnr_disoccluded": Metric("images", "PSNR, pixels it does not see", "dB", "higher"),
    "ssim": Metric("images", "SSIM of new views", "", "higher", 3),
    "ssim_covered": Metric("images", "SSIM, pixels the source frame sees", "", "higher", 3),
    "ssim_disoccluded": Metric("images", "SSIM, pixels it does not see", "", "higher", 3),
    "coverage": Metric("images", "called covered by the clip's source", "share", "truth", 3),
    "rotation_error_deg": Metric("camera", "rotation error e_R", "deg", "lower"),
    "translation_error": Metric("camera", "translation error e_t", "of the way", "lower", 3),
    "camera_score": Metric("camera", "camera control, 100 sqrt(nR nT)", "0-100", "higher", 1),
    "poses_found": Metric("camera", "frames whose pose was found", "share", "higher"),
    "reprojection_px": Metric("consistency", "3D reprojection", "px", "lower"),
    "photometric_px": Metric("consistency", "photometric, flow there and back", "px", "lower"),
    "motion_px": Metric("motion", "magnitude", "px/frame", "truth"),
    "motion_error": Metric("motion", "error against the true flow", "share", "lower"),
    "acceleration_px": Metric("motion", "acceleration of corners", "px/frame²", "truth"),
    "pause_change": Metric("time", "pause: change a frame", "grey levels", "lower"),
    "reverse_difference": Metric("time", "reverse: difference from the mirror", "grey levels", "lower"),
    "slow_ratio": Metric("time", "half speed: motion over that at full speed", "ratio", "1/2"),
    "revisit_psnr": Metric("memory", "revisit: PSNR of the return", "dB", "higher"),
    "persistence": Metric("memory", "persistence: pixels at the later moment", "share", "higher"),
    "permanence": Metric("memory", "permanence: pixels of what was hidden", "share", "higher"),
    "drift_db": Metric("drift", "PSNR, last fifth of the passes less the first", "dB", "higher"),
}
"""In the order of the report."""

_VIEWS = ("psnr", "psnr_covered", "psnr_disoccluded", "ssim", "ssim_covered", "ssim_disoccluded")
UNKNOWN = {
    **dict.fromkeys(METRICS, "there is nothing in the pictures to follow"),
    **dict.fromkeys(_VIEWS, "the truth of new views is known in synthetic worlds alone"),
    "motion_error": "nothing moves",
    "slow_ratio": "hardly anything moves at full speed",
    "revisit_psnr": "the picture never changed, and who has not left cannot return",
    "persistence": "the two moments hardly differ",
    "permanence": "no moving thing was found that passes behind another and comes out in plain view; of a video nobody knows",
    "drift_db": "measured with `--long`, of two passes or more",
}
"""Why a figure is missing, if it is."""
