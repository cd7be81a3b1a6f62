"""Calibration of a network: a temperature, the calibration error, and the threshold below which it says "unknown"."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from shared.contracts.labels import OTHER
from training.metrics import Floats, Ints

TEMPERATURES = (0.05, 20.0)
"""Limits of the fit; a network outside them needs another training."""
BINS = 15
"""Guo et al. 2017."""


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """(n, k) logits to probabilities; rows sum to 1."""
    scaled = logits / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: Floats, targets: Ints) -> float:
    """The temperature with the least negative log-likelihood; windows have equal weight, as in the calibration error.

    ``logits``: (n, k) of people whom the network does not know; ``targets``: (n,) class numbers. Guo et al. 2017, "On
    Calibration of Modern Neural Networks". Raises ValueError where there is no window.
    """
    if not len(targets):
        raise ValueError("a temperature cannot be fitted to no windows")
    rows = np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        surprise = np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, targets]
        return float(surprise.mean())

    fitted = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(fitted.x))


def expected_calibration_error(probabilities: Floats, targets: Ints, bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by windows (Guo et al. 2017)."""
    windows, confidence, right = reliability(probabilities, targets, bins)
    filled = windows > 0
    distance = np.abs(confidence[filled] - right[filled])
    return float(windows[filled] @ distance / windows.sum())


def reliability(probabilities: Floats, targets: Ints, bins: int = BINS) -> tuple[Ints, Floats, Floats]:
    """Per bin of confidence: windows, mean confidence, accuracy; the latter two are NaN in an empty bin.

    ``probabilities``: (n, k), ``targets``: (n,). A bin includes its upper edge, so the last one has confidence 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    windows = np.bincount(index, minlength=bins).astype(np.int64)
    means = [
        np.divide(
            np.bincount(index, weights=values, minlength=bins), windows, out=np.full(bins, np.nan), where=windows > 0
        )
        for values in (confidence, right.astype(np.float64))
    ]
    return windows, means[0], means[1]


def risk_coverage(confidence: Floats, right: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(n,) share of windows answered and (n,) share of the answers that are wrong, from the most confident window on.

    El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification".
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    answered = np.arange(1, len(wrong) + 1)
    return answered / len(wrong), np.cumsum(wrong) / answered


def abstain_below(confidence: Floats, right: NDArray[np.bool_], weight: Floats | None = None) -> float:
    """The confidence below which the model is more often wrong than right; 0.0 if abstaining never helps.

    It maximises right minus wrong answers over the windows that reach it, each with its ``weight`` (one), and lies
    halfway between two windows' confidences, so that rounding it changes no answer. The most confident windows are
    always answered.
    """
    order = np.argsort(-confidence, kind="stable")
    gain = np.cumsum(np.where(right, 1.0, -1.0)[order] * (1.0 if weight is None else weight[order]))
    ranked = confidence[order]
    # No threshold can separate two windows of equal confidence.
    cuts = np.flatnonzero(np.diff(ranked) < 0)
    if not len(cuts) or gain[cuts].max() <= gain[-1]:
        return 0.0
    best = cuts[np.argmax(gain[cuts])]
    return float(ranked[best] + ranked[best + 1]) / 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns logits into answers: a temperature, and the confidence below which a model abstains.

    One number for all windows, or (n,) for windows of several networks.
    """

    temperature: Floats | float
    abstain_below: Floats | float

    def probabilities(self, logits: Floats) -> Floats:
        """(n, k) logits to probabilities."""
        return softmax(logits / np.reshape(self.temperature, (-1, 1)))


def fit_calibration(logits: Floats, targets: Ints, classes: Sequence[str]) -> Calibration:
    """The temperature, and the threshold for answers besides ``OTHER``, which needs none: it says "unknown" anyway.

    For the threshold all classes count alike: how often each occurs in data sets says nothing about users.
    """
    temperature = fit_temperature(logits, targets)
    probabilities = softmax(logits, temperature)
    answers = probabilities.argmax(axis=1)
    named = answers != (list(classes).index(OTHER) if OTHER in classes else -1)
    weight = 1.0 / np.bincount(targets)[targets]
    right = (answers == targets)[named]
    return Calibration(temperature, abstain_below(probabilities.max(axis=1)[named], right, weight[named]))


def cross_fit(logits: Floats, targets: Ints, fold: Ints, classes: Sequence[str]) -> list[Calibration]:
    """For each fold the calibration fitted on the windows of all others. ``fold``: (n,) number of each window's fold.

    Fitted on the windows that judge it, a threshold looks better than it is.
    """
    return [
        fit_calibration(logits[fold != number], targets[fold != number], classes) for number in range(fold.max() + 1)
    ]


def select_calibrations(by_fold: Sequence[Calibration], fold: Ints) -> Calibration:
    """(n,) temperatures and thresholds of windows of several folds. ``fold``: (n,) numbers."""
    return Calibration(
        np.array([one.temperature for one in by_fold])[fold], np.array([one.abstain_below for one in by_fold])[fold]
    )


def confidence_metrics(logits: Floats, targets: Ints, calibration: Calibration) -> dict[str, float]:
    """Calibration error before and after the temperature; accuracy of all windows and of those above the threshold."""
    probabilities = calibration.probabilities(logits)
    answered = probabilities.max(axis=1) >= calibration.abstain_below
    right = probabilities.argmax(axis=1) == targets
    return {
        "ece_raw": expected_calibration_error(softmax(logits), targets),
        "ece": expected_calibration_error(probabilities, targets),
        "answered": float(answered.mean()),
        "accuracy": float(right.mean()),
        "accuracy_of_answered": float(right[answered].mean()),
    }


def plot_risk_coverage(path: Path, confidence: Floats, right: NDArray[np.bool_], threshold: float, title: str) -> None:
    """Write an SVG of wrong answers against answers, with ``threshold`` marked. Same numbers, same bytes."""
    coverage, risk = risk_coverage(confidence, right)
    answered = float((confidence >= threshold).mean())
    figure, axes = _square(title)
    axes.plot(coverage, risk, color="tab:blue")
    axes.axvline(
        answered, color="grey", linestyle="--", label=f"abstain below {threshold:.2f}: {answered:.1%} answered"
    )
    axes.set(xlabel="share of windows answered", ylabel="share of answers that are wrong", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=8)
    _write(figure, path)


def plot_reliability(path: Path, probabilities: Floats, targets: Ints, title: str) -> None:
    """Write an SVG of accuracy against confidence, with dots sized by bin. Same numbers, same bytes."""
    windows, confidence, right = reliability(probabilities, targets)
    figure, axes = _square(title)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="as sure as right")
    error = expected_calibration_error(probabilities, targets)
    axes.scatter(
        confidence, right, s=8 + 120 * windows / windows.sum(), label=f"calibration error {error:.3f}", clip_on=False
    )
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=8)
    _write(figure, path)


def _square(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, wrap=True)
    return figure, axes


def _write(figure: Figure, path: Path) -> None:
    with mpl.rc_context({"svg.hashsalt": "gaitway", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
