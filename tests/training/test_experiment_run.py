"""`gaitway experiment` on a made-up cohort: from a folder to results, through an interruption, and what it refuses."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.training.noise_cohort import recording
from tests.training.synthetic_harage import write_cohort
from training.datasets import DatasetError, write_recording
from training.experiment.results import Results, read_results
from training.experiment.run import Experiment, run_experiment

VARIANTS = ("cnn_heart_rate", "gru_steps")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    activities = ("resting", "sitting", "walking_low")
    return write_cohort(tmp_path_factory.mktemp("harage"), people=10, minutes=1.0, activities=activities)


def gaitway(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gaitway", "experiment", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def out(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "har2"
    chosen = [word for name in VARIANTS for word in ("--variants", name)]
    done = gaitway("--task", "har2", "--dataset", f"harage={people}", "--out", out, "--outer-folds", 2, *chosen)
    assert done.returncode == 0, done.stderr
    assert "cnn_heart_rate: UAR " in done.stderr
    assert "SYNTHETIC" in done.stderr
    return out


def experiment(people: Path, out: Path, **changed: object) -> Experiment:
    return Experiment("har2", f"harage={people}", out, **({"variants": VARIANTS, "outer": 2} | changed))


def without_time(results: Results) -> list[object]:
    folds = sorted(results.folds, key=lambda fold: fold.fold)
    return [results.header, *(msgspec.structs.replace(fold, seconds=0.0) for fold in folds)]


def test_the_results_of_a_run(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.jsonl" for name in VARIANTS]
    for name in VARIANTS:
        header, folds = (results := read_results(out / f"{name}.jsonl")).header, results.folds
        assert header.variant.name == name
        assert (header.task, header.dataset, header.synthetic) == ("har2", "harage", True)
        assert header.classes == ("static", "dynamic")
        assert (header.protocol.outer, header.protocol.max_epochs, header.protocol.patience) == (
            "2 folds by person",
            150,
            20,
        )
        assert sorted(person for fold in folds for person in fold.test_people) == list(header.people)
        # 60 s of each class, three windows without overlap.
        assert {sum(map(sum, matrix)) for fold in folds for matrix in fold.confusion.values()} == {6}


def test_an_interrupted_run_goes_on_in_two_processes_and_gives_the_same(
    people: Path, out: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    torn, gone = (again / f"{name}.jsonl" for name in VARIANTS)
    whole = torn.read_bytes()
    torn.write_bytes(whole[: len(whole) - 20])
    kept = whole.splitlines()[:-1]
    gone.unlink()
    run_experiment(experiment(people, again, processes=2), Console(quiet=True))
    assert torn.read_bytes().splitlines()[: len(kept)] == kept  # a finished fold is not run again
    for name in VARIANTS:
        assert without_time(read_results(again / f"{name}.jsonl")) == without_time(read_results(out / f"{name}.jsonl"))


def test_a_finished_run_does_nothing(people: Path, out: Path) -> None:
    before = {path: path.read_bytes() for path in out.iterdir()}
    run_experiment(experiment(people, out), Console(quiet=True))
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 1}, "cnn_heart_rate.jsonl:1: is of another run: protocol.seed is 0 there and 1 now"),
        ({"minutes_per_activity": 30.0}, "protocol.minutes_per_activity is None there and 30.0 now"),
        ({"outer": 12}, "10 people: too few for 12 folds by person"),
        ({"variants": ("cnn_nothing",)}, "variant 'cnn_nothing': not possible here"),
        ({"minutes_per_activity": 0.2}, "nobody has windows of two classes of har2"),
    ],
)
def test_what_cannot_be_run_is_named(people: Path, out: Path, changed: dict, named: str) -> None:
    with pytest.raises(DatasetError, match=named):
        run_experiment(experiment(people, out, **changed), Console(quiet=True))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--outer-folds", "one"], "--outer-folds: 'one' is neither loso nor a number of folds above 1"),
        (["--minutes-per-activity", "0"], "--minutes-per-activity: 0 is not between 0.1 and 1000000"),
        (["--dataset", "harage=nowhere"], "nowhere: no such file or directory"),
    ],
)
def test_the_command_line_fails_in_one_line(people: Path, tmp_path: Path, arguments: list[str], named: str) -> None:
    done = gaitway("--task", "har2", "--dataset", f"harage={people}", "--out", tmp_path / "out", *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"gaitway: {named}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("labels.csv", "start_ms,end_ms,activity\n0,9,juggling\n", r"labels.csv:2: unknown activity 'juggling'"),
        ("accelerometer.csv.gz", None, "no recording here"),
    ],
)
def test_a_broken_data_set_is_named(tmp_path: Path, file: str, content: str | None, named: str) -> None:
    folder = tmp_path / "p"
    write_recording(folder, recording([(0, 60, "sitting")], seconds=60))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(DatasetError, match=named):
        run_experiment(Experiment("har2", f"recordings={tmp_path}", tmp_path / "out"), Console(quiet=True))
    assert not (tmp_path / "out").exists()
