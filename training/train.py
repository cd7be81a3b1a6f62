"""Train a bundle: ``python -m training.train --out models/default --dataset wisdm=DIR --dataset e4=DIR ...``.

A data set is LAYOUT=DIR with LAYOUT one of wisdm, dsads, selfback, e4. First five folds by person say how well the
network does on people it never saw and how many epochs it needs; then one is trained on everybody. The people of the
demo are left out of both and measured at the end.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from rich.console import Console

from shared.labels import LABEL_SETS
from shared.modality import BY_NAME, NAMES, WINDOW_MS
from shared.model.bundle import CARD, save_bundle
from shared.model.manifest import Manifest, Measurement
from shared.model.network import Encoder, Fusion, NetworkConfig
from shared.signal.features import FEATURE_VERSION
from training.card import card
from training.convert import LAYOUTS
from training.datasets.held_out import DEMO_PEOPLE
from training.datasets.recording import DatasetError, Recording
from training.evaluate import FOLDS, cross_validate, summary
from training.loop import TrainingSettings, fit, predict
from training.samples import Samples, collect, concatenate

LABEL_SET = "har7"
LICENCE = "Apache-2.0"

PROTOCOL = (
    "{folds} folds by person over {people} people of {datasets}, none of them of the demo; per fold three train, one "
    "stops early, one is tested; 20 s windows every 10 s, causal baseline as live; steps emulated; seed {seed}"
)


def read_datasets(roots: Mapping[str, Path], classes: tuple[str, ...]) -> Samples:
    """The labelled windows of several data sets, LAYOUT -> folder.

    Raises:
        DatasetError: a layout is unknown, or something cannot be read.
    """
    parts = []
    for layout, root in roots.items():
        if layout not in LAYOUTS:
            raise DatasetError(f"{layout}={root}", f"unknown layout, known are {', '.join(LAYOUTS)}")
        recordings = sorted((source.read() for source in LAYOUTS[layout](root)), key=_start_ms)
        parts.append(collect(layout, recordings).of_classes(classes))
    return concatenate(parts)


def _start_ms(recording: Recording) -> float:
    """A person's sessions must be folded into the baseline in the order in which they happened."""
    return float(recording.accelerometer_t_ms[0])


def split_demo(samples: Samples) -> tuple[Samples, Samples]:
    """Windows of people to train on, and of those of the demo."""
    demo = [f"{dataset}-{person}" for dataset, people in DEMO_PEOPLE.items() for person in people]
    held_out = np.isin(samples.person, demo)
    return samples.take(~held_out), samples.take(held_out)


def train(
    out: Path, samples: Samples, config: NetworkConfig, settings: TrainingSettings, *, name: str, version: str
) -> Manifest:
    """Measure, train and write one bundle with its card; prints what it does."""
    console = Console()
    known, demo = split_demo(samples)
    console.print(f"{len(known)} windows of {len(np.unique(known.person))} people; {len(demo)} of the demo's left out")
    for fold, unseen in cross_validate(config, known, settings):
        console.print(f"fold {fold + 1} of {FOLDS}: {unseen.epochs[-1]} epochs")
    metrics = {"unseen_people": _measure(known, unseen.predicted, config, _protocol(known, settings))}
    network = fit(config, known, settings, epochs=unseen.median_epochs).network
    if len(demo):
        where = "people of the demo, whole recordings, by the network of this bundle"
        metrics["demo_people"] = _measure(demo, predict(network, demo), config, where)
        without = predict(network, demo.without("heart_rate"))
        metrics["demo_people_no_heart_rate"] = _measure(demo, without, config, f"{where}; heart rate masked")
    for key, measurement in metrics.items():
        console.print(key, measurement.values)
    manifest = Manifest(
        name=name,
        version=version,
        label_set=LABEL_SET,
        classes=config.classes,
        modalities=config.modalities,
        encoder=config.encoder,
        fusion=config.fusion,
        feature_version=FEATURE_VERSION,
        feature_shapes={modality: BY_NAME[modality].feature_shape for modality in config.modalities},
        window_ms=WINDOW_MS,
        temperature=1.0,
        trained_on=_people(known),
        seeds=[settings.seed],
        created=datetime.now(UTC).date().isoformat(),
        licence=LICENCE,
        metrics=metrics,
    )
    manifest = save_bundle(out, network, manifest)
    (out / CARD).write_text(card(manifest, unseen.median_epochs), encoding="utf-8")
    return manifest


def _measure(samples: Samples, predicted: np.ndarray, config: NetworkConfig, measured_on: str) -> Measurement:
    return Measurement(measured_on, summary(samples, predicted, config.classes))


def _people(samples: Samples) -> dict[str, list[str]]:
    """Data set -> its people, as they are named there."""
    return {
        name: [
            person.removeprefix(f"{name}-") for person in np.unique(samples.person[samples.dataset == name]).tolist()
        ]
        for name in np.unique(samples.dataset).tolist()
    }


def _protocol(samples: Samples, settings: TrainingSettings) -> str:
    return PROTOCOL.format(
        folds=FOLDS,
        people=len(np.unique(samples.person)),
        datasets=", ".join(np.unique(samples.dataset).tolist()),
        seed=settings.seed,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0, or 1 with one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--dataset", action="append", required=True, metavar="LAYOUT=DIR", help="may be repeated")
    parser.add_argument("--name", default="gaitway-cnn")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--encoder", choices=get_args(Encoder), default="cnn")
    parser.add_argument("--fusion", choices=get_args(Fusion), default="concatenation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="the network is small: more threads make it no faster")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    config = NetworkConfig(LABEL_SETS[LABEL_SET], NAMES, options.encoder, options.fusion)
    try:
        roots = dict(_layout_and_root(spec) for spec in options.dataset)
        samples = read_datasets(roots, config.classes)
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 1
    settings = TrainingSettings(seed=options.seed)
    train(options.out, samples, config, settings, name=options.name, version=options.version)
    return 0


def _layout_and_root(spec: str) -> tuple[str, Path]:
    layout, _, root = spec.partition("=")
    if not root:
        raise DatasetError(spec, "expected LAYOUT=DIR")
    return layout, Path(root)


if __name__ == "__main__":
    sys.exit(main())
