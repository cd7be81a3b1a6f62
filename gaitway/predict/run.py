"""`gaitway predict` from the files to the tables."""

import json
from pathlib import Path

from rich.console import Console

from gaitway.predict.classify import Score, predict, read_by_person
from gaitway.predict.minutes import TITLE, Minutes
from gaitway.predict.window_table import make_row, write_windows
from shared.model.bundle import load_bundle
from training.datasets import find_sources
from training.unclassified import explain_no_window
from training.upload_simulator import as_name


def run_predict(
    console: Console,
    *,
    dataset: str,
    model: Path,
    people: list[str] | None,
    summary: Path | None,
    windows: Path | None,
    phase_per_user: bool,
) -> bool:
    """Classify recordings, print the tables and write the files; False when there was no window.

    With ``phase_per_user`` a person's windows are those that the user of `gaitway replay` has in the live stream.

    Raises:
        DatasetError, BundleError: a file cannot be read.
    """
    bundle = load_bundle(model)
    score, minutes = Score(bundle.label_set), Minutes(bundle.classes)
    rows: list[list[str]] = []
    for recordings in read_by_person(find_sources(dataset, people)):
        person = recordings[0].person
        user = as_name(person) if phase_per_user else None
        predictions = predict(recordings, bundle, user)
        for prediction in predictions:
            score.add(person, prediction.window.activity, prediction.activity)
        minutes.add(person, recordings, predictions)
        if windows is not None:
            rows += sorted(map(make_row, predictions), key=lambda cells: int(cells[1]))
        reasons = (
            ""
            if predictions
            else ": " + "; ".join(dict.fromkeys(explain_no_window(recording, user) for recording in recordings))
        )
        console.print(f"{person}: {len(predictions)} windows{reasons}", soft_wrap=True)
    # Not as the table's title, which is folded to the width of the table.
    console.print(TITLE)
    console.print(minutes.table())
    result = score.summary()
    if result["windows"]:
        console.print(score.table())
        scores = f"UAR {result['uar']:.3f}, mean over {len(result['uar_by_person'])} people"
    else:
        scores = f"{score.windows} windows, none of them labelled"
    console.print(f"{scores}; model {bundle.name_version}", soft_wrap=True)
    if windows is not None:
        write_windows(windows, bundle.classes, rows)
    if summary is not None:
        summary.write_text(json.dumps(result | {"minutes_by_person": minutes.to_json()}, indent=2) + "\n")
    return score.windows > 0
