"""`gaitway predict` from the files to the tables."""

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gaitway.predict.minutes import TITLE, Minutes
from gaitway.predict.run import Score, by_person, predict
from gaitway.predict.window_table import row, write_windows
from shared.model.bundle import load_bundle
from training.datasets import find_sources
from training.unclassified import why_no_window


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What the command line asked for."""

    dataset: str
    model: Path
    people: list[str] | None
    summary: Path | None
    windows: Path | None


def run_predict(options: PredictOptions, console: Console) -> bool:
    """Classify, print, write; False when there was no window at all.

    Raises:
        DatasetError, BundleError: a file cannot be read.
    """
    model = load_bundle(options.model)
    score, minutes = Score(model.label_set), Minutes(model.classes)
    rows: list[list[str]] = []
    for recordings in by_person(find_sources(options.dataset, options.people)):
        person = recordings[0].person
        predictions = predict(recordings, model)
        for prediction in predictions:
            score.add(person, prediction.window.activity, prediction.activity)
        minutes.add(person, recordings, predictions)
        if options.windows is not None:
            rows += sorted(map(row, predictions), key=lambda cells: int(cells[1]))
        reasons = "" if predictions else ": " + "; ".join(dict.fromkeys(map(why_no_window, recordings)))
        console.print(f"{person}: {len(predictions)} windows{reasons}", soft_wrap=True)
    # Not the table's own title, which would be folded to the width of a narrow table.
    console.print(TITLE)
    console.print(minutes.table())
    result = score.summary()
    if result["windows"]:
        console.print(score.table())
        people = len(result["uar_by_person"])
        worth = f"UAR {result['uar']:.3f}, mean over {people} people"
    else:
        worth = f"{score.windows} windows, none of them labelled"
    console.print(f"{worth}; model {model.name_version}", soft_wrap=True)
    if options.windows is not None:
        write_windows(options.windows, model.classes, rows)
    if options.summary is not None:
        summary = result | {"minutes_by_person": minutes.to_json()}
        options.summary.write_text(json.dumps(summary, indent=2) + "\n")
    return score.windows > 0
