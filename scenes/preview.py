"""A picture for people: a few frames of a scene above their depth (bright is near)."""

from pathlib import Path

import cv2
import numpy as np

from inspatio_gym.scenes.scene import Scene

PREVIEW_FRAMES = 3
PREVIEW_WIDTH = 320  # of one frame


def save_preview(scene: Scene, file: Path) -> None:
    """Write `PREVIEW_FRAMES` frames, evenly spread over the clip, above their depth, as a JPEG."""
    view = scene.view((round(PREVIEW_WIDTH * scene.size[0] / scene.size[1]), PREVIEW_WIDTH))
    columns = []
    for i in np.linspace(0, scene.num_frames - 1, PREVIEW_FRAMES).astype(int):
        log = np.log(view.depth(int(i)))
        near, far = np.percentile(log, [1, 99])
        bright = np.clip((far - log) / max(far - near, 1e-6), 0, 1) * 255
        colours = cv2.applyColorMap(bright.astype(np.uint8), cv2.COLORMAP_INFERNO)
        columns.append(np.vstack([view.rgb(int(i))[..., ::-1], colours]))
    encoded, jpeg = cv2.imencode(".jpg", np.hstack(columns), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert encoded
    file.write_bytes(jpeg.tobytes())
