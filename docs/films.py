"""Make the picture of docs/render.md: films of the bundled street, and what they show.

python docs/films.py            writes docs/images/render.jpg

Each pair of rows is a film at six moments: the video as recorded at that moment, and the new view.
"""

import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import tyro

from inspatio_gym.cli import main as command

FILMS = (
    ("orbit", ("--trajectory", "orbit")),
    ("orbit --freeze-frame 40", ("--trajectory", "orbit", "--freeze-frame", "40")),
    ("orbit --reverse", ("--trajectory", "orbit", "--reverse")),
    ("orbit --rotation-only", ("--trajectory", "orbit", "--rotation-only")),
)
MOMENTS = 6


def moments(film: Path) -> np.ndarray:
    """Frames spread over a film, in a row, BGR."""
    with av.open(str(film)) as file:
        frames = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    return np.hstack([frames[k] for k in np.linspace(0, len(frames) - 1, MOMENTS).astype(int)])


def main(out: Path = Path("docs/images/render.jpg")) -> None:
    """Write the picture to `out`."""
    rows = []
    for title, words in FILMS:
        with tempfile.TemporaryDirectory() as folder:
            command(
                ["render", "--scene", "street", "--model", "warp", "--size", "96", "160", "--output", folder, *words]
            )
            (made,) = Path(folder).glob("*/*/")
            row = np.vstack([moments(made / "source.mp4"), moments(made / "prediction.mp4")])
        cv2.rectangle(row, (0, 0), (12 + 8 * len(title), 20), (0, 0, 0), -1)
        cv2.putText(row, title, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(row)
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 78])
    print(f"wrote {out}")


if __name__ == "__main__":
    tyro.cli(main)
