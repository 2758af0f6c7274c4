"""A camera path written down as keyframes, rendered without an environment: scene, trajectory, world model.

python examples/03_trajectory.py --path orbit
python examples/03_trajectory.py --path my_path.txt --video clip.mp4

A path's file has three lines of keyframes: pitch and yaw in degrees, and the distance of the point that is orbited. The
world model is asked for blocks, each a few source frames and the cameras they are seen from; what comes back is frames,
depth, and where they were measured.
"""

from pathlib import Path

import numpy as np
import tyro

from inspatio_gym.camera import Trajectory
from inspatio_gym.scenes import anchor, load_scene, save_video
from inspatio_gym.world import BlockRequest, load_model


def main(path: str = "orbit", video: Path | None = None, out: Path = Path("runs/examples/trajectory.mp4")) -> None:
    """Film a path. path: a file, or "orbit" or "push_in". video: any video; without one the bundled room is used."""
    scene = anchor(video, progress=True) if video else load_scene("room")
    trajectory = Trajectory.read(path) if Path(path).is_file() else Trajectory.preset(path)
    source = trajectory.adaptive_indices(scene.num_frames)  # which moment of the video each frame shows
    cameras = trajectory.poses(len(source), radius=scene.median_depth)

    model = load_model("warp", render_size=(240, 416))
    first, rest = slice(0, model.first_frames), range(model.first_frames, len(source), model.block_frames)
    observed = np.arange(model.first_frames)
    sessions, blocks = model.start([scene], [0], [BlockRequest(source[first], cameras[first], observed)])
    frames, covered = [*blocks[0].rgb], [blocks[0].covered.mean()]
    for start in rest:
        part = slice(start, start + model.block_frames)
        request = BlockRequest(source[part], cameras[part], np.arange(model.block_frames))
        (block,) = model.step(sessions, [request])
        frames.extend(block.rgb)
        covered.append(block.covered.mean())
    print(f"{len(frames)} frames; {np.mean(covered):.0%} of what they show was measured somewhere in the video")
    print(f"wrote {save_video(out, frames, scene.fps)}")


if __name__ == "__main__":
    tyro.cli(main)
