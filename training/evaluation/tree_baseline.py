"""A baseline for the networks: hand-crafted features and trees, evaluated by the same protocol."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shared.contracts.modality import WINDOW_MS
from training.evaluation.evaluate import FOLDS, fold_of_people, summary
from training.evaluation.hand_crafted import Float32, mirror_features, window_features
from training.metrics import Floats
from training.samples import Samples

Trees = Literal["boosted", "forest"]

MIRRORS = ((1, 1), (-1, 1), (1, -1), (-1, -1))
"""Signs of x and y: the other wrist, a watch turned by 180 degrees, both."""
ONE_THREAD = 1
"""Boosting's threads wait actively: two on busy cores took 3.6 times the CPU time of one."""
FOREST_TREES = 300
ROUNDS = 120
"""Iterations of boosting; fixed, so that no people are needed for early stopping."""


class TreeModel:
    """Trees that are fitted once; ``mirrored``: learn every window in four orientations, and average over them."""

    def __init__(self, trees: Trees, classes: Sequence[str], *, seed: int = 0, mirrored: bool = True) -> None:
        self._classes = tuple(classes)
        self._mirrors = MIRRORS if mirrored else MIRRORS[:1]
        self._model = _model(trees, seed)

    def fit(self, features: Float32, activity: NDArray[np.str_]) -> "TreeModel":
        """Learn from (n, F) of the windows whose activity is one of the classes; each class has equal weight.

        Raises:
            ValueError: there is none.
        """
        known = np.isin(activity, self._classes)
        if not known.any():
            raise ValueError("no window is of the classes to be learnt")
        worn = [mirror_features(features[known], *signs) for signs in self._mirrors]
        with threadpool_limits(ONE_THREAD, "openmp"):
            self._model.fit(np.concatenate(worn), np.tile(activity[known], len(worn)))
        return self

    def probabilities(self, features: Float32) -> Floats:
        """(n, classes); zeros for a class that did not occur when it was fitted."""
        learnt = [self._classes.index(name) for name in self._model.classes_]
        probabilities = np.zeros((len(features), len(self._classes)))
        for signs in self._mirrors:
            with threadpool_limits(ONE_THREAD, "openmp"):
                probabilities[:, learnt] += self._model.predict_proba(mirror_features(features, *signs))
        return probabilities / len(self._mirrors)


def cross_validate(
    samples: Samples,
    classes: Sequence[str],
    folds: int = FOLDS,
    seed: int = 0,
    *,
    mirrored: bool = True,
    trees: Trees = "boosted",
    features: Float32 | None = None,
) -> Floats:
    """(n, classes) probabilities of every window, by trees trained on the people of other folds.

    ``features``: those of the samples, where they have been computed. To leave out a modality, mask
    it (``Samples.without``). Raises ValueError for fewer people than folds.
    """
    fold = fold_of_people(samples, folds, seed)
    tests = {f"fold {number + 1}": fold == number for number in range(folds)}
    return _evaluate_tests(tests, samples, classes, seed, mirrored, trees, features)


def leave_one_dataset_out(
    samples: Samples,
    classes: Sequence[str],
    seed: int = 0,
    *,
    mirrored: bool = True,
    trees: Trees = "boosted",
    features: Float32 | None = None,
) -> Floats:
    """Like ``cross_validate``, but test each data set with trees of the others; NaN for sets of up to two classes."""
    counted = samples.of_classes(classes)
    tests = {
        name: samples.dataset == name
        for name in np.unique(counted.dataset).tolist()
        if len(np.unique(counted.activity[counted.dataset == name])) > 2
    }
    return _evaluate_tests(tests, samples, classes, seed, mirrored, trees, features)


def evaluate_trees(
    samples: Samples, classes: Sequence[str], *, seed: int = 0, trees: Trees = "boosted"
) -> dict[str, dict[str, float]]:
    """Protocol -> what ``training.evaluation.evaluate.summary`` returns: by person, and for each unknown data set."""
    samples = samples.take(np.isin(samples.activity, classes) & (samples.start_ms % WINDOW_MS == 0))
    features = window_features(samples)
    found = cross_validate(samples, classes, seed=seed, trees=trees, features=features)
    values = {"unseen_people": summary(samples, found.argmax(axis=1), tuple(classes))}
    found = leave_one_dataset_out(samples, classes, seed, trees=trees, features=features)
    for name in np.unique(samples.dataset[~np.isnan(found[:, 0])]).tolist():
        rows = samples.dataset == name
        values[f"unseen_{name}"] = summary(samples.take(rows), found[rows].argmax(axis=1), tuple(classes))
    return values


def _evaluate_tests(
    tests: Mapping[str, NDArray[np.bool_]],
    samples: Samples,
    classes: Sequence[str],
    seed: int,
    mirrored: bool,
    trees: Trees,
    features: Float32 | None,
) -> Floats:
    features = window_features(samples) if features is None else features
    # Overlapping windows add nothing for trees and double the time.
    taught = samples.start_ms % WINDOW_MS == 0
    whole = np.full((len(samples), len(classes)), np.nan)
    for test in tests.values():
        model = TreeModel(trees, classes, seed=seed, mirrored=mirrored)
        model.fit(features[taught & ~test], samples.activity[taught & ~test])
        whole[test] = model.probabilities(features[test])
    return whole


def _model(trees: Trees, seed: int) -> Any:
    if trees == "forest":
        return RandomForestClassifier(
            FOREST_TREES, min_samples_leaf=2, class_weight="balanced", n_jobs=-1, random_state=seed
        )
    return HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=0.1,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        max_features=0.3,
        class_weight="balanced",
        early_stopping=False,
        random_state=seed,
    )
