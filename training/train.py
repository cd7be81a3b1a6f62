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

from shared.contracts.labels import LABEL_SETS
from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES, WINDOW_MS
from shared.model.bundle import CARD, save_bundle
from shared.model.manifest import Manifest, Measurement
from shared.model.network import Encoder, Fusion, NetworkConfig
from shared.signal.features import FEATURE_VERSION
from training.card import make_card
from training.corpus import classes_of, read_datasets, split_held_out
from training.datasets.recording import DatasetError
from training.evaluation.calibration import abstain_below, confidence_metrics, fit_temperature, softmax
from training.evaluation.evaluate import (
    FOLDS,
    Evaluation,
    HeldOutPredictions,
    cross_validate,
    detail_uars,
    leave_one_dataset_out,
    pool_predictions,
    summary,
    to_evaluation,
)
from training.evaluation.reference import reference
from training.evaluation.study import write_study
from training.samples import Samples
from training.trainer.loop import fit, logits
from training.trainer.sampling import TrainingSettings

NAME = "gaitway-default"
VERSION = "0.2.0"
LABEL_SET = "har7"
LICENCE = "Apache-2.0"

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
    name: str = NAME,
    version: str = VERSION,
    processes: int = 1,
    study: Path | None = None,
) -> Manifest:
    """Train on data sets (``KIND=DIR``) and write the bundle; its classes are those that occur in the data.

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
    config, settings = NetworkConfig(classes, modalities, encoder, fusion), TrainingSettings(seed=seed)
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
) -> Manifest:
    """Evaluate, train and write one bundle with its card and, if asked for, an evaluation report; prints progress."""
    console = Console()
    known, demo = split_held_out(samples)
    people = len(np.unique(known.person))
    console.print(f"{len(known)} windows of {people} people; {len(demo)} of held-out people left out")

    def report(fold: HeldOutPredictions) -> None:
        console.print(f"{fold.name} tested, {len(fold.rows)} windows")

    evaluation = []
    for fold in cross_validate(config, known, settings, processes=processes):
        report(fold)
        evaluation.append(fold)
    unseen = to_evaluation(known, pool_predictions(known, evaluation), config)
    temperature = fit_temperature(unseen.logits, unseen.targets)
    probabilities = softmax(unseen.logits, temperature)
    threshold = abstain_below(probabilities.max(axis=1), probabilities.argmax(axis=1) == unseen.targets)
    metrics = {"unseen_people": _measure(unseen, config, _protocol(known.of_classes(config.classes), settings))}
    sure = confidence_metrics(unseen.logits, unseen.targets, temperature, threshold)
    metrics["unseen_people"].values.update({name: round(value, 4) for name, value in sure.items()})
    metrics["unseen_people"].values.update(detail_uars(known, evaluation))
    if study is not None:
        write_study(study, known, evaluation, unseen, temperature, threshold)
    for fold in leave_one_dataset_out(config, known, settings, processes=processes):
        report(fold)
        where = f"all of {fold.name} by a network of the other data sets, protocol as above"
        metrics[f"unseen_{fold.name}"] = _measure(
            to_evaluation(known.take(fold.rows), fold.logits, config), config, where
        )
    network = fit(config, known, settings).network
    if len(demo):
        where = "people of the demo, whole recordings, by the network of this bundle"
        metrics["demo_people"] = _measure(to_evaluation(demo, logits(network, demo), config), config, where)
        without = demo.without("heart_rate")
        judged_without = to_evaluation(without, logits(network, without), config)
        metrics["demo_people_no_heart_rate"] = _measure(judged_without, config, f"{where}; heart rate masked")
    for key, measurement in metrics.items():
        console.print(key, measurement.values)
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
        temperature=temperature,
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


def _measure(evaluation: Evaluation, config: NetworkConfig, measured_on: str) -> Measurement:
    return Measurement(measured_on, summary(evaluation.samples, evaluation.logits.argmax(axis=1), config.classes))


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
