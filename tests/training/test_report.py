"""The report: numbers against ones counted by hand, gaps said in words, and every committed page made again."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gaitway.cli.operator import app
from training.datasets import DatasetError
from training.experiment.results import Fold, Header, Protocol, Variant, append_fold, open_results, results_path
from training.report.figures import cell_text
from training.report.page import SYNTHETIC, render
from training.report.scores import read_scores
from training.report.write import PAGE, write_report

RESULTS = Path(__file__).parents[2] / "docs" / "results"

LEAVE_ONE_OUT = Protocol("leave-one-subject-out", 5, "transductive", 0.5, 0.0, 64, 1e-3, 150, 20, 0)
CNN = Variant("cnn", ("accelerometer",))
GRU = Variant("gru", ("accelerometer", "heart_rate"), "outer_product")
# UAR: A 0.75 (0.5 and 1), B 1.0 (static alone), C 0.5 (0 and 1).
CONFUSION = {"A": ((5, 5), (0, 2)), "B": ((4, 0), (0, 0)), "C": ((0, 3), (0, 7))}


def write_variant(
    directory: Path,
    variant: Variant,
    people: str = "ABC",
    *,
    confusion: Mapping[str, Any] = CONFUSION,
    synthetic: bool = False,
    protocol: Protocol = LEAVE_ONE_OUT,
) -> Path:
    """Results of one fold per person."""
    path = results_path(directory, variant)
    left_out = {"D": "one class only: static"}
    classes = ("static", "dynamic")
    header = Header("har2", "e4", synthetic, variant, classes, protocol, ("A", "B", "C"), left_out, {"torch": "2.8"})
    open_results(path, header)
    for number, person in enumerate(people):
        fold = Fold(number, (person,), 30 + number, (30, 30, 30, 30, 30), {person: confusion[person]}, 1800.0)
        append_fold(path, fold)
    return path


def test_mean_and_deviation_are_of_people_and_of_the_classes_they_have(tmp_path):
    write_variant(tmp_path, CNN)
    (score,) = read_scores(tmp_path)
    assert score.uar_by_person == {"A": 0.75, "B": 1.0, "C": 0.5}
    assert score.mean == pytest.approx(0.75)
    assert score.standard_deviation == pytest.approx(0.25)
    np.testing.assert_array_equal(score.confusion, [[9, 8], [0, 9]])
    page = render([score])
    assert "| accelerometer | none | **75.0 ± 25.0** | not run |" in page
    assert "| CNN accelerometer | 52.9 | 100.0 |" in page
    assert "| CNN | 1 | 3 | 31 (30 to 32) | 1.50 |" in page
    assert "**All variants:** nested leave-one-subject-out over 3 people (3 outer folds)" in page
    assert "- D: one class only: static" in page
    assert "SYNTHETIC" not in page


def test_two_fusions_are_compared_by_person(tmp_path):
    plain, product = (Variant("cnn", GRU.modalities, fusion) for fusion in ("concatenation", "outer_product"))
    write_variant(tmp_path, plain)
    # A 0.25 better, C 0.5 better, B was not tested: mean 37.5, standard deviation 17.7 of two people.
    write_variant(tmp_path, product, "AC", confusion=CONFUSION | {"A": ((10, 0), (0, 2)), "C": ((3, 0), (0, 7))})
    page = render(read_scores(tmp_path))
    assert "| CNN | accelerometer + heart rate | 2 | +37.5 ± 25.0 | 2, 0 | outer product |" in page
    (tmp_path / "alone").mkdir()
    write_variant(tmp_path / "alone", plain)
    assert "against concatenation" not in render(read_scores(tmp_path / "alone"))


def test_what_is_missing_is_said(tmp_path):
    write_variant(tmp_path, CNN, "A")
    page = render(read_scores(tmp_path))
    assert "**75.0 (1 of 3 folds)**" in page
    assert "| CNN accelerometer (1 of 3 folds) | 50.0 | 100.0 |" in page
    assert "**Not finished, so that their numbers are of some of the people alone:** CNN accelerometer (1 of 3" in page
    assert "**Not run: 21 of the paper's 22 variants:** CNN heart rate;" in page


def test_a_variant_without_a_fold_is_shown_without_a_number(tmp_path):
    write_variant(tmp_path, CNN, "")
    write_variant(tmp_path, GRU)
    page = render(read_scores(tmp_path))
    assert "| accelerometer | none | (0 of 3 folds) | not run |" in page
    assert "| accelerometer + heart rate | outer product | not run | **75.0 ± 25.0** |" in page


def test_the_best_is_the_best_of_the_finished(tmp_path):
    write_variant(tmp_path, CNN)
    write_variant(tmp_path, Variant("cnn", ("steps",)), "B")
    page = render(read_scores(tmp_path))
    assert "**75.0 ± 25.0**" in page
    assert "| steps | none | 100.0 (1 of 3 folds) | not run |" in page


def test_variants_of_two_protocols_are_marked(tmp_path):
    by_folds = Protocol("2 folds by person", 5, "transductive", 0.5, 0.0, 64, 1e-3, 150, 20, 0, 4.0)
    write_variant(tmp_path, CNN)
    write_variant(tmp_path, GRU, "AB", protocol=by_folds)
    page = render(read_scores(tmp_path))
    assert "**87.5 ± 17.7**" in page
    assert "**Not every variant was measured alike** (2 folds by person; leave-one-subject-out; see Protocol)" in page
    assert "**All CNN variants:** nested leave-one-subject-out" in page
    assert "**All GRU variants:** 2 folds by person over 3 people" in page
    assert page.count("At most 4 min of each activity per person.") == 1


def test_made_up_people_are_marked_in_every_part_and_every_picture(tmp_path):
    write_variant(tmp_path, CNN, synthetic=True)
    page = write_report(tmp_path).read_text()
    assert page.startswith("# SYNTHETIC: har2 on e4\n")
    for section in page.split("\n## "):
        assert SYNTHETIC in section
    assert "SYNTHETIC: CNN accelerometer" in (tmp_path / "confusion_cnn.svg").read_text()


def test_made_up_results_stand_beside_no_real_ones(tmp_path):
    write_variant(tmp_path, CNN, synthetic=True)
    path = write_variant(tmp_path, GRU)
    with pytest.raises(
        DatasetError, match=f"^{re.escape(str(path))}:1: synthetic is False, in cnn_accelerometer.jsonl it is True"
    ):
        read_scores(tmp_path)


def test_what_is_no_result_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no result file"):
        read_scores(tmp_path)
    write_variant(tmp_path, CNN, protocol=Protocol("by chance", 5, "causal", 0.5, 0.0, 64, 1e-3, 150, 20, 0))
    with pytest.raises(DatasetError, match="outer protocol 'by chance'"):
        read_scores(tmp_path)


def test_a_cell_holds_count_and_share_and_a_zero_is_empty():
    assert cell_text(3, 0.25) == "3\n25.0%"
    assert cell_text(0, 0.0) == ""


def test_the_command_writes_the_page_and_the_same_pictures_each_time(tmp_path):
    write_variant(tmp_path / "run", CNN)
    write_variant(tmp_path / "run", GRU)
    for name in ("one", "two"):
        done = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--out", str(tmp_path / name / "page.md")])
        assert done.exit_code == 0, done.output
    assert "![CNN accelerometer](confusion_cnn.svg)" in (tmp_path / "one" / "page.md").read_text()
    for name in ("confusion_cnn.svg", "confusion_gru.svg"):
        picture = (tmp_path / "one" / name).read_bytes()
        assert picture == (tmp_path / "two" / name).read_bytes()
        assert b"52.9%" in picture


def test_every_committed_page_is_made_again_from_its_results():
    # Results without a page are those of a run that still goes on.
    for page in sorted(RESULTS.glob(f"*/{PAGE}")):
        directory = page.parent
        assert page.read_text(encoding="utf-8") == render(read_scores(directory)), f"gaitway report {directory}"
