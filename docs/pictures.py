"""Make the README's picture: what two worlds show beyond their videos.

python docs/pictures.py            writes docs/images/worlds.jpg

Each row is a bundled scene: a recorded frame, the same moment seen from two other cameras, and another moment seen from
the first camera, which had moved on by then.
"""

from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np
import tyro

import inspatio_gym  # noqa: F401  registers InSpatio-v0
from inspatio_gym.camera import RigConfig
from inspatio_gym.geometry.poses import compose, rotation_ypr

SIZE = (216, 384)
WHEN = 2.0  # seconds into the videos
VIEWS = (  # title; yaw and pitch in degrees; position (right, down, forward in median depths); seconds back
    ("the video", 0, 0, (0, 0, 0), 0),
    ("turned left by 15 degrees", -15, 0, (0, 0, 0), 0),
    ("moved right and forward; depth", 0, 0, (0.12, 0, 0.15), 0),
    ("time alone: half a second back", 0, 0, (0, 0, 0), 0.5),
)


def main(out: Path = Path("docs/images/worlds.jpg")) -> None:
    """Write the picture to `out`."""
    rows = []
    for scene in ("room", "street"):
        env = gym.make(
            "InSpatio-v0", scene=scene, size=SIZE, mount="world", rig=RigConfig(max_offset=20), frames_per_step=1
        )
        source = env.unwrapped.stage.scenes[0]
        home = source.c2w[round(WHEN * source.fps)]
        row = []
        for title, yaw_deg, pitch_deg, position, back in VIEWS:
            pose = home @ compose(rotation_ypr(yaw_deg, pitch_deg, 0), np.array(position) * source.median_depth)
            observation, _ = env.reset(seed=0, options={"time": WHEN - back, "pose": pose})
            picture = observation["rgb"][..., ::-1].copy()
            if "depth" in title:
                near = (255 / (1 + observation["depth"][:, SIZE[1] // 2 :])).astype(np.uint8)
                picture[:, SIZE[1] // 2 :] = cv2.applyColorMap(near, cv2.COLORMAP_INFERNO)
            cv2.rectangle(picture, (0, 0), (10 + 6 * len(title), 20), (0, 0, 0), -1)
            cv2.putText(picture, title, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
            row.append(picture)
        env.close()
        rows.append(np.hstack(row))
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"wrote {out}")


if __name__ == "__main__":
    tyro.cli(main)
