"""`gaitway train` from data sets to a bundle that predicts, on a made-up cohort; what it refuses, in one clear line."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gaitway.cli.operator import app
from shared.model.bundle import CARD, load_bundle
from shared.model.network import NetworkConfig
from tests.recordings import cut
from tests.training.separable_samples import CLASSES, QUICK, made_up
from tests.training.synthetic_harage import write_cohort
from training import train as train_module
from training.corpus import read_datasets, split_held_out
from training.datasets import DatasetError
from training.datasets.held_out import HELD_OUT_SUBJECTS
from training.train import train, train_bundle
from training.trainer.sampling import TrainingSettings

POSTURES = ("sitting", "walking_low", "running", "washing_hands")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("harage"), people=5, minutes=1.0, activities=POSTURES)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "TrainingSettings", partial(TrainingSettings, batch_size=32))


def test_a_bundle_says_what_it_has_learnt_and_that_its_people_are_made_up(cohort, tmp_path):
    manifest = train_bundle(tmp_path, [f"harage={cohort}"], steps=20, modalities=("accelerometer", "steps"), seed=3)
    assert manifest.classes == ("sitting", "washing_hands", "walking", "running")
    assert manifest.modalities == ("accelerometer", "steps")
    assert (manifest.name, manifest.encoder) == ("gaitway-default", "multi_scale")
    assert manifest.seeds == [3]
    assert manifest.trained_on == {"synthetic-harage": ["P01", "P02", "P03", "P04", "P05"]}
    assert "synthetic-harage" in manifest.metrics["unseen_people"].measured_on
    assert "synthetic-harage" in (tmp_path / "README.md").read_text()
    assert manifest.reference is not None
    assert list(manifest.reference.activities) == ["sitting", "washing_hands", "walking", "running", "unknown"]
    assert load_bundle(tmp_path).manifest.reference == manifest.reference


def test_the_command_trains_what_predict_reads(cohort, tmp_path):
    runner = CliRunner()
    options = ["--label-set", "har2", "--encoder", "cnn", "--modalities", "accelerometer"]
    options += ["--evaluation-report", str(tmp_path / "study"), "--steps", "20"]
    trained = runner.invoke(app, ["train", "--out", str(tmp_path), "--dataset", f"harage={cohort}", *options])
    assert trained.exit_code == 0, trained.output
    page = (tmp_path / "study" / "README.md").read_text()
    assert "of 5 people" in page
    for line in ("| untouched |", "| turned by 90 degrees |", "| baseline of a first window |", "| 0-1 |"):
        assert line in page
    assert {path.suffix for path in (tmp_path / "study").iterdir()} == {".md", ".svg"}
    done = runner.invoke(app, ["predict", "--model", str(tmp_path), "--dataset", f"harage={cohort}"])
    assert done.exit_code == 0, done.output
    assert "mean over 5 people" in done.output


def test_har2_is_named_by_movement_and_har10_keeps_washing(cohort):
    assert set(read_datasets([f"harage={cohort}"], "har2").activity) == {"static", "dynamic"}
    assert "washing_hands" in read_datasets([f"harage={cohort}"], "har10").activity


def test_what_is_refused_is_named(cohort, tmp_path):
    few = write_cohort(tmp_path / "few", people=2, minutes=0.7, activities=POSTURES)
    with pytest.raises(DatasetError, match=f"^harage={few}: 2 people besides those of the demo, 5 folds need 5"):
        train_bundle(tmp_path / "out", [f"harage={few}"])
    short = write_cohort(tmp_path / "short", people=5, minutes=0.2, activities=POSTURES)
    with pytest.raises(DatasetError, match=f"^harage={short}: no window lies wholly inside a label"):
        train_bundle(tmp_path / "out", [f"harage={short}"])
    washing = write_cohort(tmp_path / "washing", people=5, minutes=0.7, activities=("washing_hands",))
    with pytest.raises(DatasetError, match=f"^harage={washing}: no window of an activity of har7"):
        train_bundle(tmp_path / "out", [f"harage={washing}"], label_set="har7")
    one = write_cohort(tmp_path / "one", people=5, minutes=0.7, activities=("sitting", "washing_hands"))
    with pytest.raises(DatasetError, match=f"^harage={one}: of har7 only sitting occurs"):
        train_bundle(tmp_path / "out", [f"harage={one}"], label_set="har7")
    with pytest.raises(DatasetError, match="harage is given twice"):
        train_bundle(tmp_path / "out", [f"harage={cohort}", f"harage={few}"])
    assert not (tmp_path / "out").exists()


def test_made_up_people_train_no_model_together_with_real_ones(cohort, tmp_path):
    cut("wisdm-1600", tmp_path, to_s=95)
    with pytest.raises(DatasetError, match="synthetic and real data cannot be mixed in one model"):
        read_datasets([f"harage={cohort}", f"recordings={tmp_path}"], "har7")


def test_the_people_of_the_demo_are_left_out_under_the_name_of_their_recording(tmp_path):
    cut("wisdm-1600", tmp_path, to_s=95)
    known, demo = split_held_out(read_datasets([f"recordings={tmp_path}"], "har7"))
    assert len(known) == 0
    assert set(demo.person) == {"recordings-wisdm-1600"}


def test_train_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    samples = made_up(90, dataset="wisdm")
    of_demo = f"wisdm-{HELD_OUT_SUBJECTS['wisdm'][0]}"
    samples = replace(samples, person=np.where(samples.person == "wisdm-0", of_demo, samples.person))
    known, demo = split_held_out(samples)
    assert set(demo.person) == {of_demo}
    assert len(known) + len(demo) == len(samples)
    manifest = train(tmp_path, samples, NetworkConfig(CLASSES), QUICK, name="tiny", version="0.0.1")
    assert manifest.trained_on == {"wisdm": ["1", "2", "3", "4", "5"]}
    model = load_bundle(tmp_path)
    assert model.name_version == "tiny@0.0.1"
    assert model.abstain_below == manifest.abstain_below
    values = manifest.metrics["unseen_people"].values
    assert {"ece_raw", "ece", "answered", "accuracy", "accuracy_of_answered"} <= values.keys()
    assert values["accuracy_of_answered"] >= values["accuracy"]
    assert manifest.metrics["demo_people"].values["people"] == 1
    assert "WISDM" in (tmp_path / CARD).read_text()
