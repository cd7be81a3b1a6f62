"""The tables of a report."""

from collections.abc import Sequence

import numpy as np

from training.experiment.results import Variant
from training.experiment.variants import ENCODERS, variants
from training.metrics import recalls
from training.report.formatting import fusion, in_order, label, names, percent, progress, table
from training.report.scores import Score, best_by_encoder


def uar_table(scores: Sequence[Score]) -> str:
    """Like the paper's tables 2 to 4: mean and standard deviation per modalities and fusion, a column per encoder."""
    by_variant = {score.header.variant: score for score in scores}
    bold = {score.header.variant for _, score in best_by_encoder(scores)}
    rows = []
    for variant in variants(ENCODERS[:1]):
        every = [Variant(encoder, variant.modalities, variant.fusion) for encoder in ENCODERS]
        if not any(own in by_variant for own in every):
            continue
        cells = []
        for own in every:
            cell = _uar(by_variant[own]) if own in by_variant else "not run"
            cells.append(f"**{cell}**" if own in bold else cell)
        rows.append([names(variant.modalities), fusion(variant), *cells])
    return table(["modalities", "fusion", *(encoder.upper() for encoder in ENCODERS)], rows, right_from=2)


def _uar(score: Score) -> str:
    if not score.uar_by_person:
        return progress(score).strip()
    spread = score.standard_deviation
    text = percent(score.mean) if np.isnan(spread) else f"{percent(score.mean)} ± {percent(spread)}"
    return text + progress(score)


def fusion_table(scores: Sequence[Score]) -> str:
    """Outer product minus concatenation, paired by person; empty where no modalities have both.

    ± is twice the standard error over people: a difference within it is noise.
    """
    by_variant = {score.header.variant: score for score in scores}
    rows = []
    for variant in in_order([score for score in scores if score.header.variant.fusion == "concatenation"]):
        own = variant.header.variant
        other = by_variant.get(Variant(own.encoder, own.modalities, "outer_product"))
        if other is None:
            continue
        plain, product = variant.uar_by_person, other.uar_by_person
        differences = np.array([product[person] - plain[person] for person in plain if person in product])
        if len(differences) < 2:
            continue
        error = 2 * differences.std(ddof=1) / np.sqrt(len(differences))
        better, worse = int((differences > 0).sum()), int((differences < 0).sum())
        mean = differences.mean()
        verdict = "noise" if abs(mean) <= error else "outer product" if mean > 0 else "concatenation"
        cells = [str(len(differences)), f"{100 * mean:+.1f} ± {100 * error:.1f}", f"{better}, {worse}", verdict]
        rows.append([own.encoder.upper(), names(own.modalities), *cells])
    header = ["encoder", "modalities", "people", "difference", "people better, worse", "ahead"]
    return table(header, rows, right_from=2) if rows else ""


def recall_table(scores: Sequence[Score]) -> str:
    """Recall of each class, a row per variant; empty for a class that nobody tested so far has."""
    classes = scores[0].header.classes
    rows = []
    for score in in_order(scores):
        found = recalls(score.confusion)
        cells = ["" if np.isnan(recall) else percent(recall) for recall in found.tolist()]
        rows.append([label(score.header.variant) + progress(score), *cells])
    return table(["variant", *(name.replace("_", " ") for name in classes)], rows, right_from=1)


def cost_table(scores: Sequence[Score]) -> str:
    """What the finished folds took, a row per encoder."""
    rows = []
    for encoder in ENCODERS:
        own = [score for score in scores if score.header.variant.encoder == encoder]
        folds = [fold for score in own for fold in score.folds]
        if not folds:
            continue
        epochs = [fold.epochs for fold in folds]
        median = f"{np.median(epochs):g} ({min(epochs)} to {max(epochs)})"
        hours = sum(fold.seconds for fold in folds) / 3600
        rows.append([encoder.upper(), str(len(own)), str(len(folds)), median, f"{hours:.2f}"])
    header = ["encoder", "variants", "outer folds", "epochs of the outer network, median (range)", "hours, all folds"]
    return table(header, rows, right_from=1)
