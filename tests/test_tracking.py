"""Targets: objects are where the truth says, landmarks stay on their surface, and what is lost is said to be."""

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from inspatio_gym.scenes import load_scene, tracking
from inspatio_gym.scenes.synthetic import from_scene
from inspatio_gym.scenes.tracking import find_targets, targets_of
from inspatio_gym.scenes.tracking.objects import follow_objects

NEAR = 0.05  # of the picture's width


class Film:
    """What the tracker asks of a scene: a bright textured square that moves over noise, hidden from frame 30 on."""

    num_frames, fps, size = 48, 24.0, (96, 160)

    def __init__(self, hidden_from: int = 10**6, speed: float = 1.5):
        rng = np.random.default_rng(0)
        self.hidden_from, self.speed = hidden_from, speed
        self.ground = rng.integers(60, 90, (*self.size, 3), np.uint8)
        self.thing = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (24, 24), interpolation=cv2.INTER_CUBIC)

    def left(self, i: int) -> int:
        return 10 + round(self.speed * i)

    def rgb(self, i: int):
        frame = self.ground.copy()
        seen = max(0, min(24, self.size[1] - self.left(i)))
        if i < self.hidden_from and seen:
            frame[30:54, self.left(i) : self.left(i) + 24] = self.thing[:, :seen]
        return frame

    def moving(self, i: int):
        mask = np.zeros(self.size, bool)
        if i < self.hidden_from:
            mask[30:54, self.left(i) : self.left(i) + 24] = True
        return mask


def test_a_thing_that_moves_is_followed_to_the_end_of_the_clip():
    (target,) = follow_objects(Film(), lambda share: None)
    assert (target.first, target.last, target.end) == (0, 47, "clip")
    truth = np.array([[Film().left(i) + 11.5, 41.5] for i in range(48)])
    assert np.abs(target.xy - truth).max() < 1.5
    assert target.confidence.min() > 0.5


def test_a_thing_that_vanishes_is_lost_and_not_guessed():
    (target,) = follow_objects(Film(hidden_from=30), lambda share: None)
    assert target.end == "lost"
    assert target.last == 29


def test_a_thing_that_leaves_the_picture_has_left():
    (target,) = follow_objects(Film(speed=4.0), lambda share: None)
    assert target.end == "left"
    assert target.xy[-1, 0] > 140


@pytest.mark.parametrize("name", ["room", "street"])
def test_moving_things_of_the_samples_are_where_the_truth_says(name):
    scene = load_scene(name)
    world = from_scene(scene)
    objects = [target for target in targets_of(scene) if target.kind == "object"]
    assert len(objects) >= 2
    near = []
    for target in objects:
        thing = thing_under(world, scene, target)
        for frame in range(target.first, target.last + 1, 4):
            rows, cols = np.nonzero(ids_of(world, scene, frame) == thing)
            assert len(rows), f"followed where there is nothing: frame {frame}"
            truth = np.array([cols.min() + cols.max(), rows.min() + rows.max()]) / 2
            near.append(np.linalg.norm(target.xy[frame - target.first] - truth) < NEAR * scene.size[1])
    assert np.mean(near) >= 0.9


def test_landmarks_stay_on_the_surface_that_they_were_found_on():
    scene = load_scene("street")
    world = from_scene(scene)
    landmarks = [target for target in targets_of(scene) if target.kind == "landmark"]
    assert len(landmarks) >= 20
    same = []
    for target in landmarks:
        seen = [ids_at(world, scene, frame, target) for frame in (target.first, target.last)]
        same.append(seen[0] == seen[1])
        assert not any(world.moving(np.array(seen)))
    assert np.mean(same) >= 0.9


def test_the_same_scene_has_the_same_targets_and_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path))
    scene = load_scene("room")
    targets_of.cache_clear()
    first = targets_of(scene)
    (file,) = (tmp_path / "targets").iterdir()
    targets_of.cache_clear()
    monkeypatch.setattr(tracking, "find_targets", lambda *_: pytest.fail("they were kept"))
    kept = targets_of(scene)
    monkeypatch.undo()
    assert [(t.kind, t.first, t.end) for t in kept] == [(t.kind, t.first, t.end) for t in first]
    for one, other in zip(first, kept, strict=True):
        assert np.array_equal(one.xy, other.xy)
        assert np.array_equal(one.confidence, other.confidence)
    file.write_bytes(file.read_bytes()[:100])
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path))
    targets_of.cache_clear()
    assert len(targets_of(scene)) == len(first)  # a damaged file is no loss
    save_file({"other": np.zeros(3)}, file)
    targets_of.cache_clear()
    assert len(targets_of(scene)) == len(first)
    targets_of.cache_clear()


def test_who_waits_hears_how_far_it_is():
    heard = []
    find_targets(load_scene("room"), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)


def ids_of(world, scene, frame):
    return world.depth(world.to_world(scene.c2w[frame]), frame / scene.fps, scene.size)[1]


def ids_at(world, scene, frame, target):
    x, y = np.rint(target.xy[frame - target.first]).astype(int)
    return ids_of(world, scene, frame)[y, x]


def thing_under(world, scene, target):
    """The moving thing that most of the box shows in the target's first frame."""
    (x, y), (width, height) = target.xy[0], target.box[0]
    rows = slice(max(int(y - height / 2), 0), int(y + height / 2) + 1)
    ids = ids_of(world, scene, target.first)[rows, max(int(x - width / 2), 0) : int(x + width / 2) + 1]
    return np.bincount(ids[world.moving(ids)]).argmax()
