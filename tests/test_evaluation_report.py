"""The report of a world model's fidelity, and the benchmarks that calibrate its figures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import calibration, held_out, resumable, world_table
from inspatio_gym import cli
from inspatio_gym.evaluation import pictures, record, report
from inspatio_gym.evaluation.clips import TrueRenders
from inspatio_gym.evaluation.measure import Exhibit
from inspatio_gym.evaluation.metrics import METRICS, UNKNOWN
from inspatio_gym.scenes.synthetic import STYLES, WORLDS
from inspatio_gym.scenes.synthetic.address import parse
from tests.box_room import write_box


class TestCommand:
    def test_a_report_a_person_can_judge_and_no_work_done_twice(self, tmp_path: Path, capsys):
        scene = write_box(tmp_path / "box")
        words = ["evaluate-world", "--scene", str(scene.path), "--size", "48", "80", "--out", str(tmp_path / "out")]
        assert cli.main(words) == 0
        (folder,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
        page = (tmp_path / "out/report.md").read_text()
        assert f"{folder.name}/sheet.jpg" in page
        assert "not comparable" in page
        assert "SSIM, pixels it does not see: the truth of new views is known in synthetic worlds alone." in page
        assert "the ruler's own error" in page
        sheet = cv2.imread(str(folder / "sheet.jpg"))
        assert (
            sheet.shape[1] == 4 * 80 + 3 * 8
        )  # recorded, shown, and where the camera came home, true and the difference
        figures = json.loads((tmp_path / "out/report.json").read_text())[folder.name]["figures"]
        assert figures["warp"]["psnr"] is None
        assert figures["the video"]["motion_error"] == 0
        assert figures["warp"]["photometric_px"] >= figures["frozen"]["photometric_px"] == 0
        made = (folder / "record.json").stat().st_mtime_ns
        assert cli.main(words) == 0
        assert (folder / "record.json").stat().st_mtime_ns == made
        (folder / "sheet.jpg").unlink()
        assert cli.main(words) == 0
        assert (folder / "record.json").stat().st_mtime_ns > made
        assert "| box |" in capsys.readouterr().out

    def test_empty_cells_say_why_and_whose_they_are(self):
        nan = float("nan")
        full = dict.fromkeys(METRICS, 1.0)
        figures = {"warp": full | {"permanence": nan}, "frozen": full | {"permanence": nan, "revisit_psnr": nan}}
        assert report.gaps({"warp": full}) == ""
        assert report.gaps(figures).splitlines()[2:] == [
            f"- revisit: PSNR of the return (frozen): {UNKNOWN['revisit_psnr']}.",
            f"- permanence: pixels of what was hidden: {UNKNOWN['permanence']}.",
        ]

    def test_the_rulers_own_error_stands_beside_the_camera_score(self):
        figures = dict.fromkeys(METRICS, 1.0)
        both = {"warp": figures | {"camera_score": 97.0}, TrueRenders.name: figures | {"camera_score": 98.5}}
        row = report.overview([record.Record("d", "s", "g", "a", "warp", (2, 3), 1.0, both, {}, {})]).splitlines()[-1]
        assert "| 97.0 (98.5) |" in row

    def test_the_sheet_marks_what_to_look_at_and_says_what_nobody_knows(self):
        grey = np.full((60, 80, 3), 90, np.uint8)
        thing = np.zeros((60, 80), bool)
        thing[20:30, 40:50] = True
        row = pictures.row_of(Exhibit("came out again", 7, grey, grey, grey, thing))
        assert list(row) == ["recorded, frame 7", "world: came out again", "truth", "difference x3"]
        assert (row["truth"][17, 37:53] == pictures.MARK).all()
        assert (row["truth"][20:30, 40:50] == 90).all()
        assert (row["recorded, frame 7"] == 90).all()
        assert list(pictures.row_of(Exhibit("v", 7, grey, grey, None)))[2:] == [
            "truth: nobody knows",
            "difference: unknown",
        ]

    def test_nothing_too_small_to_see(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["evaluate-world", "--size", "8", "8"])
        assert "--size of at least 32 32" in capsys.readouterr().err

    def test_nan_is_null_on_disk_and_nan_again(self, tmp_path: Path):
        kept = record.Record("d", "s", "g", "a", "m", (2, 3), 1.0, {"m": {"psnr": float("nan"), "ssim": 0.5}}, {}, {})
        record.write(tmp_path, kept)
        assert "NaN" not in (tmp_path / record.RECORD).read_text()
        for name in (record.SHEET, record.PLOTS):
            (tmp_path / name).touch()
        back = record.read(tmp_path, "d")
        assert back is not None
        np.testing.assert_equal(back.figures, kept.figures)
        assert back.size == (2, 3)
        assert record.read(tmp_path, "another") is None


class TestBenchmarks:
    def test_relations_between_clips(self):
        figures = {"true": {"psnr": 10.0}, "frozen": {"psnr": 8.0}, "wrong": {"psnr": float("nan")}}
        assert calibration.holds("frozen < true", figures, "psnr") is True
        assert calibration.holds("true < frozen", figures, "psnr") is False
        assert calibration.holds("frozen ~ true", figures, "psnr") is True
        assert calibration.holds("wrong < true", figures, "psnr") is None
        with pytest.raises(ValueError, match="a < b"):
            calibration.holds("frozen > true", figures, "psnr")

    def test_a_degenerate_clip_must_win_all_three_to_be_a_winner(self):
        world = {"camera_score": 90.0, "psnr": 25.0, "motion_error": 0.2}
        better = {"camera_score": 91.0, "psnr": 26.0, "motion_error": 0.1}
        figures = {"warp": world, "wrong": better, "frozen": better | {"motion_error": 1.0}, "wobbling": world}
        assert calibration.winners(figures) == ["wrong"]

    def test_every_metric_but_drift_and_the_shares_has_an_expected_order(self):
        assert set(METRICS) - set(calibration.EXPECTED) == {"drift_db", "coverage", "poses_found"}

    def test_the_table_pools_squared_errors_over_worlds(self):
        def world(squares: float) -> dict:
            groups = {
                "everywhere": [2, squares, 1.0],
                "covered": [1, 100.0, 0.5],
                "disoccluded": [1, squares - 100, 0.5],
            }
            return {"moves": {"yaw 5": {"called": 1, **groups}}}

        row = world_table.page([world(200.0), world(600.0)], "true").splitlines()[-1].split(" | ")
        assert row[1:4] == ["5 degrees", "50.0%", "50.0%"]
        assert float(row[4]) == pytest.approx(10 * np.log10(255**2 / 200), abs=0.01)  # 800 over four pixels
        assert float(row[5]) == pytest.approx(10 * np.log10(255**2 / 100), abs=0.01)

    def test_scale_is_fitted_where_nothing_moves(self, tmp_path):
        true, found = write_box(tmp_path / "a"), write_box(tmp_path / "b", metric=0.5)
        assert world_table.depth_scale(true, found) == pytest.approx(true.median_depth / found.median_depth, rel=1e-3)

    def test_figures_that_are_there_are_not_computed_again(self, tmp_path):
        work = [(tmp_path / f"{k}.json", np.sqrt, (float(k),)) for k in range(2)]
        (tmp_path / "0.json").write_text("7.0")
        assert resumable.results(work, 1) == [7.0, 1.0]
        assert resumable.results(work, 1) == [7.0, 1.0]
        assert json.loads((tmp_path / "1.json").read_text()) == 1.0

    def test_held_out_worlds_are_of_every_kind_and_style(self):
        named = [parse(address) for address in held_out.addresses(12)]
        assert len({(one.world, one.style) for one in named}) == len(WORLDS) * len(STYLES)
        assert len({one.seed for one in named}) == 12

    def test_a_held_out_scene_is_rendered_once(self, tmp_path):
        (address,) = held_out.addresses(1)
        made = held_out.scene_of(address, (16, 28), tmp_path)
        assert made.size == (16, 28)
        assert held_out.scene_of(address, (16, 28), tmp_path).digest == made.digest
        assert [path.name for path in tmp_path.iterdir()] == [made.path.name]
