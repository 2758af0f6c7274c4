"""Metrics of fidelity: each on a case worked by hand; then all of them on true renders and on clips that are wrong."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inspatio_gym.evaluation import consistency, memory, motion, takes, temporal
from inspatio_gym.evaluation.camera import Recovered, camera_error, corners, recover
from inspatio_gym.evaluation.clips import Frozen, Mirrored, ModelSource, Recording, Take, TrueRenders, Wobbling
from inspatio_gym.evaluation.drift import LOOP, Drift, drift, loop
from inspatio_gym.evaluation.flow import flow_between, round_trip
from inspatio_gym.evaluation.images import PSNR_LIMIT, Fidelity, finer, psnr, seen_by, ssim
from inspatio_gym.evaluation.measure import evaluate, truth_of
from inspatio_gym.evaluation.metrics import METRICS
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.fake import FakeWorld
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.warp import WarpModel
from tests.box_room import write_box

SIZE = (96, 168)


@pytest.fixture(scope="module")
def subject(room_scene) -> Subject:
    return Subject(room_scene, SIZE)


@pytest.fixture(scope="module")
def truth(subject) -> TrueRenders:
    return TrueRenders(subject, samples=1)


@pytest.fixture(scope="module")
def figures(subject, truth) -> dict[str, dict[str, float]]:
    """Of the warp world, of true renders, and of clips that are wrong on purpose."""
    sources = (truth, ModelSource(WarpModel(SIZE), subject), Frozen(truth), Mirrored(truth), Wobbling(truth))
    return {source.name: evaluate(source, subject, truth).figures for source in sources}


@pytest.fixture(scope="module")
def speckled() -> np.ndarray:
    """A picture with detail everywhere."""
    noise = np.random.default_rng(0).normal(0, 1, (140, 240, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(127 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def shifted(picture: np.ndarray, steps: list[int]) -> np.ndarray:
    """Windows (100, 180) of a picture, whose content goes so many pixels to the right."""
    return np.stack([picture[20:120, 30 - step : 210 - step] for step in steps])


class TestImages:
    def test_an_error_of_one_grey_level_is_48_decibels(self):
        a = np.full((4, 5, 3), 100, np.uint8)
        assert psnr(a, a + 1) == pytest.approx(20 * np.log10(255))  # 48.13
        assert psnr(a, a) == PSNR_LIMIT

    def test_psnr_of_a_group_pools_the_errors_of_its_pixels(self):
        a = np.full((4, 6, 3), 100, np.uint8)
        b = a.copy()
        b[:, 3:] += 10
        seen = np.zeros((4, 6), bool)
        seen[:, :3] = True
        fidelity = Fidelity()
        fidelity.add(a, b, seen)
        assert fidelity.share == 0.5
        figures = fidelity.figures()
        assert figures["psnr_covered"] == PSNR_LIMIT
        assert figures["psnr_disoccluded"] == pytest.approx(20 * np.log10(255 / 10))
        assert figures["psnr"] == pytest.approx(10 * np.log10(255**2 / 50))

    def test_ssim_of_flat_pictures_is_that_of_their_means(self):
        a = np.full((20, 30, 3), 100, np.uint8)
        expected = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)  # nothing varies, so the second factor is 1
        np.testing.assert_allclose(ssim(a, a + 10), expected)
        np.testing.assert_allclose(ssim(a, a), 1)

    def test_ssim_of_a_pattern_and_its_negative_is_below_zero(self):
        signs = (-1) ** np.add.outer(np.arange(20), np.arange(30))
        a = (100 + 20 * signs).astype(np.uint8)[..., None].repeat(3, -1)
        expected = (-2 * 20**2 + 58.5225) / (2 * 20**2 + 58.5225)  # means alike, variances 400, covariance -400
        np.testing.assert_allclose(ssim(a, 200 - a), expected)

    def test_a_card_before_a_wall_hides_what_the_source_frame_cannot_see(self):
        height, width, focal = 24, 64, 40.0
        matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        fine_matrix, fine_size = finer(matrix, (height, width))
        rims = (np.array([24, 40]) - 0.5 - matrix[0, 2]) / focal * 2  # the card fills columns 24 to 39 at depth 2

        def depth(size, k, camera_x):
            x = (np.arange(size[1]) - k[0, 2]) / k[0, 0] * 2 + camera_x
            return np.tile(np.where((x > rims[0]) & (x < rims[1]), 2, 4).astype(np.float32), (size[0], 1))

        beside = compose(
            np.eye(3), np.array([1.0, 0, 0])
        )  # the wall at depth 4 goes 10 pixels to the left, the card 20
        seen = seen_by(depth(fine_size, fine_matrix, 0), np.eye(4), matrix, depth((height, width), matrix, 1), beside)
        unseen = np.zeros(width, bool)
        unseen[20:30] = True  # behind the card
        unseen[54:] = True  # outside of the source frame
        np.testing.assert_array_equal(seen, np.tile(~unseen, (height, 1)))

    def test_of_no_pixels_there_is_no_figure(self):
        a = np.zeros((16, 16, 3), np.uint8)
        fidelity = Fidelity()
        fidelity.add(a, a, np.ones((16, 16), bool))
        assert np.isnan(fidelity.figures()["psnr_disoccluded"])
        assert np.isnan(fidelity.figures()["ssim_disoccluded"])

    def test_pictures_of_different_shapes_are_refused(self):
        with pytest.raises(ValueError, match=r"one shape, got \(4, 5, 3\) and \(4, 6, 3\)"):
            psnr(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 6, 3), np.uint8))


class TestCameraError:
    def test_a_turn_of_five_degrees_that_never_happened(self):
        sent = compose(rotation_ypr(np.array([0.0, 5.0])), np.zeros(3))
        error = camera_error(np.stack([np.eye(4)] * 2), sent)
        assert error.rotation_deg == pytest.approx(5)
        assert error.translation == 0  # a path that only turns
        assert error.score == pytest.approx(100 * np.sqrt(10 / 15))

    def test_scale_is_fitted_and_nothing_else(self):
        ways = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 1]])
        sent, found = (compose(np.eye(3), scale * ways) for scale in (1.0, 0.5))
        assert camera_error(found, sent).score == pytest.approx(100)
        hardly = compose(np.eye(3), 0.1 * ways)  # at most three times, so 0.7 of the way is missing
        assert camera_error(hardly, sent).translation == pytest.approx(
            0.7 * np.linalg.norm(ways[1:], axis=1).mean() / np.sqrt(5)
        )
        assert camera_error(compose(np.eye(3), -ways), sent).translation == pytest.approx(
            np.linalg.norm(ways[1:], axis=1).mean() / np.sqrt(5)  # the opposite way is as wrong as none
        )

    def test_a_step_to_the_side_instead_of_ahead(self):
        sent = compose(np.eye(3), np.array([[0.0, 0, 0], [0, 0, 1]]))
        found = compose(np.eye(3), np.array([[0.0, 0, 0], [1, 0, 1]]))
        # the scale that fits (1, 0, 1) to (0, 0, 1) best is 1/2, which leaves (1/2, 0, -1/2)
        error = camera_error(found, sent)
        assert error.translation == pytest.approx(np.sqrt(0.5))
        assert error.score == 0  # beyond 0.5 of the way

    def test_a_pose_that_was_not_found_counts_as_the_limits(self):
        sent = compose(np.eye(3), np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2]]))
        found = sent.copy()
        found[1] = np.nan
        error = camera_error(found, sent)
        assert error.rotation_deg == pytest.approx(7.5)
        assert error.translation == pytest.approx(0.25)
        assert error.score == pytest.approx(50)

    def test_as_many_poses_as_were_sent(self):
        with pytest.raises(ValueError, match="two poses or more of each"):
            camera_error(np.eye(4)[None], np.eye(4)[None])


class TestRecovery:
    def test_a_yaw_of_five_degrees_is_found_in_true_renders(self, subject, truth):
        pose = subject.view.c2w[20]
        take = Take(np.full(2, 20), pose @ compose(rotation_ypr(np.array([0.0, 5.0])), np.zeros(3)))
        found = recover(truth.film(take).rgb, subject.true_depth(pose, 20)[0], subject.intrinsics(20))
        assert found.found == 1
        error = camera_error(found.c2w, take.c2w)
        assert error.rotation_deg < 0.2
        assert np.linalg.norm(found.c2w[1, :3, 3]) < 0.01

    def test_a_plane_that_goes_three_pixels_to_the_right_is_a_step_to_the_left(self, speckled):
        matrix = np.array([[150.0, 0, 89.5], [0, 150, 49.5], [0, 0, 1]])
        found = recover(shifted(speckled, [0, 3]), np.full((100, 180), 2, np.float32), matrix)
        np.testing.assert_allclose(found.c2w[1, :3, 3], (-3 / 150 * 2, 0, 0), atol=2e-3)
        assert consistency.reprojection_px(found) < 0.1

    def test_what_shows_nothing_to_follow_has_no_pose(self):
        grey = np.full((3, 60, 80, 3), 90, np.uint8)
        found = recover(grey, np.ones((60, 80), np.float32), np.diag([60.0, 60, 1]))
        assert found.found == 0
        assert consistency.reprojection_px(found) == consistency.WORST

    def test_depth_of_another_size_is_refused(self):
        with pytest.raises(ValueError, match="depth"):
            recover(np.zeros((2, 8, 8, 3), np.uint8), np.ones((4, 4), np.float32), np.eye(3))


class TestConsistency:
    def test_reprojection_is_the_mean_miss_and_a_lost_point_costs_the_most(self):
        missed = np.array([[np.nan, np.nan, np.nan, np.nan], [0.5, 1.5, np.inf, np.nan]])
        recovered = Recovered(np.stack([np.eye(4)] * 2), missed)
        assert consistency.reprojection_px(recovered) == pytest.approx((0.5 + 1.5 + consistency.WORST) / 3)

    def test_a_quarter_that_stays_behind_misses_by_how_far_the_rest_went(self, speckled):
        matrix = np.array([[150.0, 0, 89.5], [0, 150, 49.5], [0, 0, 1]])
        clip = shifted(speckled, [0, 3])
        clip[1, 75:] = clip[0, 75:]
        start = corners(clip[0][..., 0])
        recovered = recover(clip, np.full((100, 180), 2, np.float32), matrix)
        assert consistency.reprojection_px(recovered) == pytest.approx(3 * (start[:, 1] >= 75).mean(), abs=0.2)

    def test_flows_that_do_not_meet_again_miss_by_their_sum(self):
        there = np.zeros((20, 30, 2), np.float32)
        there[..., 0] = 3
        back = np.zeros_like(there)
        back[..., 0] = -2
        off, inside = round_trip(there, back)
        np.testing.assert_allclose(off, 1)
        assert inside[:, :27].all()
        assert not inside[:, 27:].any()

    def test_a_shift_is_consistent_and_noise_is_not(self, speckled):
        steady = consistency.photometric_px(shifted(speckled, [0, 2, 4]))
        noise = np.random.default_rng(1).integers(0, 256, (3, 100, 180, 3), np.uint8)
        assert steady < 0.1
        assert consistency.photometric_px(noise) > 10 * steady

    def test_one_frame_says_nothing(self):
        with pytest.raises(ValueError, match="two frames or more, got 1"):
            consistency.photometric_px(np.zeros((1, 8, 8, 3), np.uint8))


class TestMotion:
    def test_a_shift_by_three_pixels_is_measured_as_such(self, speckled):
        flow = flow_between(*shifted(speckled, [0, 3]))
        np.testing.assert_allclose(np.median(flow.reshape(-1, 2), 0), (3, 0), atol=0.05)
        assert motion.magnitude_px(flow) == pytest.approx(3, abs=0.15)

    def test_the_error_is_the_share_of_the_true_flow_that_is_missed(self):
        true = np.zeros((1, 4, 4, 2), np.float32)
        true[..., 0] = 4
        moving = np.zeros((1, 4, 4), bool)
        moving[:, :2] = True
        half = true / 2
        half[:, 2:] = 99  # where nothing moves it does not count
        assert motion.motion_error(true, true, moving) == 0
        assert motion.motion_error(0 * true, true, moving) == 1
        assert motion.motion_error(half, true, moving) == pytest.approx(0.5)
        assert motion.motion_error(-true, true, moving) == pytest.approx(2)
        assert np.isnan(motion.motion_error(true, true, ~moving & False))

    def test_uniform_motion_has_no_acceleration_and_a_growing_one_has(self, speckled):
        assert motion.acceleration_px(shifted(speckled, [0, 2, 4, 6])) < 0.05
        assert motion.acceleration_px(shifted(speckled, [0, 1, 4, 9])) == pytest.approx(2, abs=0.05)  # t^2


class TestTime:
    def test_a_pause_changes_by_what_it_changes_by(self):
        clip = np.full((4, 5, 6, 3), 50, np.uint8)
        assert temporal.pause_change(clip) == 0
        clip[1::2] += 6
        assert temporal.pause_change(clip) == 6

    def test_a_mirrored_clip_is_the_reverse_and_the_same_one_is_not(self, speckled):
        clip = shifted(speckled, [0, 2, 4])
        assert temporal.reverse_difference(clip, clip[::-1]) == 0
        assert temporal.reverse_difference(clip, clip) == pytest.approx(
            2 / 3 * np.abs(clip[0].astype(float) - clip[2]).mean()
        )

    def test_each_frame_twice_is_half_the_speed(self, speckled):
        clip = shifted(speckled, [0, 2, 4])
        assert temporal.slow_ratio(clip, np.repeat(clip, 2, 0)[:-1]) == pytest.approx(0.5, abs=1e-6)
        assert np.isnan(temporal.slow_ratio(clip[[0, 0, 0]], clip))


class TestMemory:
    def test_who_never_left_has_not_returned(self):
        clip = np.zeros((3, 8, 8, 3), np.uint8)
        assert np.isnan(memory.revisit_psnr(clip))
        clip[1] = 100
        assert memory.revisit_psnr(clip) == PSNR_LIMIT
        clip[2] = 1
        assert memory.revisit_psnr(clip) == pytest.approx(20 * np.log10(255))

    def test_pixels_are_counted_that_are_nearer_to_the_right_moment(self):
        before, after = np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10, 3), np.uint8)
        after[:4] = 100  # forty pixels differ
        shown = after.copy()
        shown[:1] = 20  # ten of them are nearer to what was
        assert memory.nearer_share(shown, after, before) == pytest.approx(0.75)
        assert memory.nearer_share(before, after, before) == 0
        assert memory.nearer_share(np.full_like(after, 50), after, before) == 0.5  # as near to one as to the other
        top = np.zeros((10, 10), bool)
        top[:2] = True
        assert memory.nearer_share(shown, after, before, top) == 0.5  # ten of the twenty pixels of one thing
        assert np.isnan(memory.nearer_share(shown, after, after))

    @pytest.mark.parametrize(
        ("area", "cut", "found"),
        [
            ([0.2, 0.4, 0.0, 0.3, 0.4], (), (1, 2, 3)),
            ([0.4, 0.0, 0.4, 0.2, 0.0], (4,), (0, 1, 2)),  # later it leaves the picture
            ([0.4, 0.0, 0.4, 0.4, 0.4], (0,), None),  # it came in from outside
            ([0.2, 0.4, 0.3, 0.3, 0.4], (), None),  # never hidden
            ([0.0, 0.2, 0.4, 0.4, 0.4], (), None),  # was not there before
            ([0.4, 0.4, 0.0, 0.1, 0.1], (), None),  # hardly comes back
        ],
    )
    def test_a_passage_is_shown_hidden_shown(self, area, cut, found):
        assert memory.passage_in(np.array(area), np.isin(np.arange(5), cut)) == found

    def test_something_in_the_room_passes_behind_something(self, subject):
        passage = memory.find_passage(subject)
        assert passage is not None
        ids = [subject.true_depth(passage.c2w, frame)[1] for frame in (passage.before, passage.hidden, passage.after)]
        shown = [int((one == passage.id).sum()) for one in ids]
        assert shown[1] < 0.2 * min(shown[0], shown[2])


class TestDrift:
    def test_a_loop_passes_the_same_place_at_the_same_moment(self, subject):
        take, passes = loop(subject, 10, 5 * LOOP)
        assert len(passes) == 5
        assert len(np.unique(take.source[passes])) == 1
        np.testing.assert_allclose(take.c2w[passes], np.repeat(take.c2w[passes[:1]], 5, 0))
        assert take.source.max() == 10 + LOOP // 2

    def test_drift_is_the_last_fifth_less_the_first(self):
        against = np.array([40.0, 38, 30, 30, 30, 30, 30, 30, 20, 18])
        assert Drift(np.arange(10), against, np.zeros((1, 1, 3), np.uint8)).db == 19 - 39
        assert np.isnan(Drift(np.arange(1), against[:1], np.zeros((1, 1, 3), np.uint8)).db)

    def test_without_truth_the_first_pass_is_what_is_kept(self, subject, truth):
        found = drift(truth, subject, 10, 3 * LOOP, None)
        assert found.against.tolist() == [PSNR_LIMIT] * 2

    def test_a_source_that_darkens_drifts(self, subject, truth):
        class Darkening:
            name = "darkening"

            def film(self, take, observe=None):
                clip = truth.film(take, observe)
                dimmer = (observe // LOOP * 4)[:, None, None, None]
                return type(clip)(np.maximum(clip.rgb.astype(int) - dimmer, 0).astype(np.uint8), clip.covered)

        kept, lost = drift(truth, subject, 10, 5 * LOOP, truth), drift(Darkening(), subject, 10, 5 * LOOP, truth)
        assert kept.db == 0
        assert lost.db == pytest.approx(20 * np.log10(255 / 16) - PSNR_LIMIT, abs=1.0)


class TestTakes:
    def test_new_views_are_a_quarter_half_and_all_of_the_way(self, subject):
        far = takes.reach(subject, 20)
        for take, looked, moves in takes.sweeps(subject, 20):
            moved = np.linalg.inv(subject.view.c2w[20]) @ take.c2w[looked]
            amounts = np.array([move.amount for move in moves])
            np.testing.assert_allclose(np.abs(amounts) / np.abs(amounts[-1]), (0.25, 0.5, 1))
            if moves[0].kind == "yaw":
                np.testing.assert_allclose(moved[:, :3, :3], rotation_ypr(amounts), atol=1e-9)
            else:
                np.testing.assert_allclose(moved[:, :3, 3], amounts[:, None] * (far, 0, 0), atol=1e-9)

    def test_the_reach_is_the_harmonic_mean_of_the_depth(self):
        class Half:
            view = SimpleNamespace(depth=lambda frame: np.array([[1.0, 3.0]]))

        assert takes.reach(Half, 0) == pytest.approx(1.5)  # 2 / (1/1 + 1/3)

    def test_moves_are_named_for_people(self):
        assert str(takes.Move("yaw", -20.0)) == "turned left by 20 deg"
        assert str(takes.Move("aside", 0.025)) == "moved right by 2.5%"


class TestClips:
    def test_a_model_of_blocks_shows_what_is_observed(self, room_scene):
        model = FakeWorld(render_size=(32, 56), first_frames=3, block_frames=4)
        subject = Subject(room_scene, (32, 56))
        take = Take(np.arange(12), subject.view.c2w[:12])
        looked = np.array([1, 8, 11])
        whole = ModelSource(model, subject).film(take)
        assert whole.rgb.shape == (12, 32, 56, 3)
        np.testing.assert_array_equal(
            ModelSource(model, subject).film(take, looked).rgb[..., 0], whole.rgb[looked, ..., 0]
        )

    def test_a_video_knows_no_other_cameras(self, subject):
        recording = Recording(subject)
        np.testing.assert_array_equal(
            recording.film(Take(np.array([3]), subject.view.c2w[[3]])).rgb[0], subject.view.rgb(3)
        )
        with pytest.raises(ValueError, match="recorded cameras"):
            recording.film(Take(np.array([3]), subject.view.c2w[[30]]))

    def test_a_scene_without_a_world_has_no_truth(self, tmp_path):
        subject = Subject(write_box(tmp_path / "box"), (48, 80))
        with pytest.raises(ValueError, match="nobody knows its truth"):
            subject.true_view(np.eye(4), 0, 1)


class TestAll:
    def test_the_warp_world_lies_between_true_and_wrong(self, figures):
        warp, frozen, wrong = figures["warp"], figures["frozen"], figures["wrong poses"]
        for name in ("psnr", "psnr_covered", "psnr_disoccluded", "ssim", "camera_score"):
            slack = 5 if name == "camera_score" else 0  # the ruler's own error in so small a picture
            assert figures["true renders"][name] >= warp[name] - slack
            assert warp[name] > max(frozen[name], wrong[name]) + 0.1
        assert warp["motion_error"] < 0.3 < frozen["motion_error"]
        assert warp["persistence"] > 0.8

    def test_a_frozen_clip_is_steady_and_obeys_nothing(self, figures):
        frozen = figures["frozen"]
        assert frozen["photometric_px"] == frozen["pause_change"] == 0
        assert frozen["camera_score"] == 0
        assert frozen["motion_error"] == pytest.approx(1)
        assert frozen["persistence"] == frozen["permanence"] == 0
        assert np.isnan(frozen["slow_ratio"])
        assert np.isnan(frozen["revisit_psnr"])

    def test_wrong_poses_turn_twice_as_wrong_as_none(self, figures):
        assert figures["wrong poses"]["rotation_error_deg"] == pytest.approx(
            2 * figures["frozen"]["rotation_error_deg"], rel=0.05
        )
        assert figures["wrong poses"]["motion_error"] == 0

    def test_what_wobbles_is_neither_rigid_nor_steady(self, figures):
        for name in ("reprojection_px", "photometric_px", "acceleration_px", "pause_change"):
            assert figures["wobbling"][name] > 1.5 * figures["true renders"][name]

    def test_the_same_again_is_the_same(self, subject, truth, figures):
        again = evaluate(Frozen(truth), subject, truth).figures
        np.testing.assert_equal(again, figures["frozen"])

    def test_of_a_video_some_figures_are_unknown_and_the_rest_is_there(self, tmp_path):
        subject = Subject(write_box(tmp_path / "box"), (48, 80))
        figures = evaluate(ModelSource(WarpModel((48, 80)), subject), subject, truth_of(subject)).figures
        unknown = {name for name in METRICS if np.isnan(figures[name])}
        assert unknown >= {"psnr", "ssim", "permanence", "drift_db"}
        assert 0.5 < figures["coverage"] < 1
        assert not unknown & {"rotation_error_deg", "photometric_px", "motion_px", "reverse_difference", "revisit_psnr"}

    def test_of_itself_a_video_has_what_follows_its_camera(self, tmp_path):
        subject = Subject(write_box(tmp_path / "box"), (48, 80))
        truth = truth_of(subject)
        figures = evaluate(truth, subject, truth).figures
        known = {name: value for name, value in figures.items() if not np.isnan(value)}
        assert set(known) == {
            "motion_px",
            "motion_error",
            "pause_change",
            "reverse_difference",
            "slow_ratio",
            "persistence",
        }
        assert known["motion_error"] == known["pause_change"] == known["reverse_difference"] == 0
        assert known["persistence"] == 1

    def test_a_clip_that_is_too_short_is_refused(self, tmp_path):
        subject = Subject(write_box(tmp_path / "box", frames=takes.AWAY_FRAMES - 1), (48, 80))
        with pytest.raises(ValueError, match="at least 25 frames, got 24"):
            evaluate(ModelSource(FakeWorld(render_size=(48, 80)), subject), subject, truth_of(subject))
