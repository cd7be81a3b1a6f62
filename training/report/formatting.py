"""The words of a report: names of variants, numbers, tables."""

from collections.abc import Iterable, Sequence

from training.experiment.results import Variant
from training.experiment.variants import variants
from training.report.scores import Score


def label(variant: Variant) -> str:
    """CNN accelerometer + heart rate, outer product."""
    fused = f", {fusion(variant)}" if variant.fusion else ""
    return f"{variant.encoder.upper()} {names(variant.modalities)}{fused}"


def names(modalities: Iterable[str]) -> str:
    """Modalities as people call them."""
    return " + ".join(name.replace("_", " ") for name in modalities)


def fusion(variant: Variant) -> str:
    """The fusion, none for a single modality."""
    return variant.fusion.replace("_", " ") if variant.fusion else "none"


def percent(share: float) -> str:
    """A share in %, without the sign."""
    return f"{100 * share:.1f}"


def progress(score: Score) -> str:
    """What marks a variant that is not finished, with a space before it; else nothing."""
    return "" if score.is_complete else f" ({len(score.folds)} of {score.folds_expected} folds)"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right_from: int) -> str:
    """A Markdown table whose columns from ``right_from`` on hold numbers."""
    rule = ["---" if index < right_from else "---:" for index in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def in_order(scores: Sequence[Score]) -> list[Score]:
    """As the paper's tables have them."""
    order = {variant: index for index, variant in enumerate(variants())}
    return sorted(scores, key=lambda score: order[score.header.variant])


def figure_name(encoder: str) -> str:
    """File of an encoder's confusion matrix, beside the report."""
    return f"confusion_{encoder}.svg"


def figure_title(score: Score) -> str:
    """What stands above a confusion matrix."""
    mark = "SYNTHETIC: " if score.header.synthetic else ""
    return f"{mark}{label(score.header.variant)}\nmean UAR {percent(score.mean)} %{progress(score)}"
