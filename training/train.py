"""Train a bundle: what `gaitway train` does.

First, five folds by person measure the accuracy on unknown people, and give the temperature and the confidence below
which the model abstains. Then each data set is tested with a network trained on the others, as an unknown device. Then
one network is trained on all people. The held-out subjects take no part in that and are measured at the end.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from shared.contracts.labels import LABEL_SETS, OTHER
from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES, WINDOW_MS
from shared.model.bundle import CARD, save_bundle
from shared.model.manifest import Manifest, Measurement
from shared.model.network import Encoder, Fusion, NetworkConfig
from shared.signal.features import FEATURE_VERSION
from training.card import make_card
from training.corpus import classes_of, read_datasets, split_held_out
from training.datasets.recording import DatasetError
from training.evaluation.assessment import assess, assess_folds
from training.evaluation.calibration import fit_calibration
from training.evaluation.checkpoints import Checkpoints
from training.evaluation.corruption import corruption_values, evaluate_corruptions
from training.evaluation.evaluate import (
    FOLDS,
    cross_validate,
    leave_one_dataset_out,
    pool_predictions,
    to_evaluation,
)
from training.evaluation.other import withhold_groups
from training.evaluation.predictions import predict_by_fold
from training.evaluation.reference import reference
from training.evaluation.study import write_study
from training.samples import Samples
from training.trainer.loop import fit, logits
from training.trainer.sampling import TrainingSettings

NAME = "gaitway-default"
VERSION = "0.3.0"
LABEL_SET = "har10"
LICENCE = "Apache-2.0"
STEPS = 5700
"""Three times as long as the ablation showed to be enough: only with many devices does that help."""

PROTOCOL = (
    "{folds} folds by person over {people} people of {datasets}, none of the demo; trained on 20 s windows every "
    "10 s, tested on those that do not overlap; causal baseline; steps emulated; seed {seed}; no abstention"
)

REFERENCE = "the windows of unseen_people, with the temperature and the abstention of this bundle"


def train_bundle(
    out: Path,
    datasets: Sequence[str],
    *,
    label_set: str = LABEL_SET,
    modalities: tuple[str, ...] = MODALITY_NAMES,
    encoder: Encoder = "multi_scale",
    fusion: Fusion = "concatenation",
    seed: int = 0,
    steps: int = STEPS,
    name: str = NAME,
    version: str = VERSION,
    processes: int = 1,
    study: Path | None = None,
    checkpoints: Path | None = None,
) -> Manifest:
    """Train on data sets (``KIND=DIR``) and write the bundle; its classes are those that occur in the data.

    ``checkpoints``: a folder for finished folds, with which an interrupted training goes on where it stopped.

    Raises:
        DatasetError: a file cannot be read, or there are too few people, windows or classes for the folds.
    """
    samples = read_datasets(datasets, label_set)
    where = ", ".join(datasets)
    people = np.unique(split_held_out(samples.of_classes(LABEL_SETS[label_set]))[0].person)
    if len(people) < FOLDS:
        raise DatasetError(where, f"{len(people)} people besides those of the demo, {FOLDS} folds need {FOLDS} or more")
    classes = classes_of(split_held_out(samples)[0], label_set)
    if len(classes) < 2:
        raise DatasetError(where, f"of {label_set} only {classes[0]} occurs, a network needs two classes")
    # The network is small: more threads do not make it faster.
    torch.set_num_threads(1)
    config, settings = NetworkConfig(classes, modalities, encoder, fusion), TrainingSettings(seed=seed, steps=steps)
    return train(
        out,
        samples,
        config,
        settings,
        name=name,
        version=version,
        label_set=label_set,
        processes=processes,
        study=study,
        checkpoints=checkpoints,
    )


def train(
    out: Path,
    samples: Samples,
    config: NetworkConfig,
    settings: TrainingSettings,
    *,
    name: str,
    version: str,
    label_set: str = LABEL_SET,
    processes: int = 1,
    study: Path | None = None,
    checkpoints: Path | None = None,
) -> Manifest:
    """Evaluate, train and write one bundle with its card and, if asked for, an evaluation report; prints progress."""
    console = Console()
    known, demo = split_held_out(samples)
    people = len(np.unique(known.person))
    console.print(f"{len(known)} windows of {people} people; {len(demo)} of held-out people left out")
    metrics: dict[str, Measurement] = {}

    def report(key: str, measured_on: str, values: dict[str, float]) -> None:
        metrics[key] = Measurement(measured_on, values)
        console.print(key, values)

    folds = []
    withheld = withhold_groups(known, FOLDS) if OTHER in config.classes else None
    finished = Checkpoints(checkpoints) if checkpoints else None
    for fold in cross_validate(config, known, settings, withheld=withheld, processes=processes, checkpoints=finished):
        folds.append(fold)
        console.print(f"{fold.name} tested, {len(fold.rows)} windows")
    unseen = to_evaluation(known, pool_predictions(known, folds), config)
    calibration = fit_calibration(unseen.logits, unseen.targets, config.classes)
    predict = predict_by_fold(known, folds)
    corruptions = evaluate_corruptions(predict, unseen.of_activities().samples, config.classes)
    if study is not None:
        write_study(study, known, folds, unseen, calibration, corruptions)
    protocol = _protocol(known.of_classes(config.classes), settings)
    for key, what, values in assess_folds(known, folds, config):
        report(f"unseen_people{key}", f"{protocol}{what}", values)
    what = "; wrong or missing sensors, on the windows that have the modality"
    report("unseen_people_corrupted", f"{protocol}{what}", corruption_values(corruptions))
    for fold in leave_one_dataset_out(config, known, settings, processes=processes, checkpoints=finished):
        where = f"all of {fold.name} by a network of the other data sets, protocol as above"
        report(f"unseen_{fold.name}", where, assess(known.take(fold.rows), fold.logits, config, calibration))
    network = fit(config, known, settings).network
    if len(demo):
        where = "people of the demo, whole recordings, by the network of this bundle"
        report("demo_people", where, assess(demo, logits(network, demo), config, calibration))
        without = demo.without("heart_rate")
        values = assess(without, logits(network, without), config, calibration)
        report("demo_people_no_heart_rate", f"{where}; heart rate masked", values)
    probabilities, threshold = calibration.probabilities(unseen.logits), float(calibration.abstain_below)
    manifest = Manifest(
        name=name,
        version=version,
        label_set=label_set,
        classes=config.classes,
        modalities=config.modalities,
        encoder=config.encoder,
        fusion=config.fusion,
        feature_version=FEATURE_VERSION,
        feature_shapes={modality: MODALITY_BY_NAME[modality].feature_shape for modality in config.modalities},
        window_ms=WINDOW_MS,
        temperature=float(calibration.temperature),
        abstain_below=threshold,
        trained_on=_people(known.of_classes(config.classes)),
        seeds=[settings.seed],
        created=datetime.now(UTC).date().isoformat(),
        licence=LICENCE,
        metrics=metrics,
        reference=reference(probabilities, config.classes, threshold, REFERENCE),
    )
    manifest = save_bundle(out, network, manifest)
    (out / CARD).write_text(make_card(manifest, settings.steps), encoding="utf-8")
    return manifest


def _people(samples: Samples) -> dict[str, list[str]]:
    """Data set -> its people, with the names that they have there."""
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
