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
