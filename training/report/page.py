"""The page of one run as Markdown: a function of its result files alone, so that a test can make it again."""

from collections.abc import Callable, Sequence

from training.experiment.results import LEAVE_ONE_OUT, Header
from training.experiment.variants import ENCODERS, variants
from training.report.formatting import figure_name, in_order, label, progress
from training.report.scores import Score, best_by_encoder
from training.report.tables import cost_table, fusion_table, recall_table, uar_table

SYNTHETIC = "**SYNTHETIC: no person was measured; nothing follows from these numbers.**"

_PAPER = (
    'Mallol-Ragolta et al., "Outer Product-Based Fusion of Smartwatch Sensor Data for Human Activity Recognition", '
    "Frontiers in Computer Science, 2022"
)


def render(scores: Sequence[Score]) -> str:
    """The whole page; ``scores`` of one run, at least one."""
    header = scores[0].header
    mark = [SYNTHETIC] if header.synthetic else []
    people = max(len(score.header.people) for score in scores)
    parts = [
        f"# {'SYNTHETIC: ' if header.synthetic else ''}{header.task} on {header.dataset}",
        *mark,
        f"The variants of {_PAPER}, on {people} people of {header.dataset}; classes: {', '.join(header.classes)}. "
        "This page is made by `gaitway report` from the `.jsonl` files beside it, one per variant, fold by fold.",
        "## UAR per person",
        *mark,
        "Mean and standard deviation (of a sample) over people of each person's unweighted average recall, in %, over "
        f"the classes that the person has; chance is {100 / len(header.classes):.1f} for who has all. Bold: each "
        "encoder's best, pictured below.",
        uar_table(scores),
        *_incomplete(scores),
        *_fusion(scores, mark),
        "## Recall per class",
        *mark,
        "In %, over the windows of all people together.",
        recall_table(scores),
        "## Confusion matrices",
        *mark,
        "Each encoder's best variant: windows, and their share of what was true; zeros are empty.",
        *(f"![{label(score.header.variant)}]({figure_name(encoder)})" for encoder, score in best_by_encoder(scores)),
        "## Protocol",
        *mark,
        *_protocols(scores),
        _left_out(scores),
        "## Cost",
        *mark,
        cost_table(scores),
        "Versions: " + "; ".join(f"{name} {version}" for name, version in _versions(scores)) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _fusion(scores: Sequence[Score], mark: list[str]) -> list[str]:
    compared = fusion_table(scores)
    if not compared:
        return []
    text = (
        "Outer product minus concatenation, in percentage points of each person's UAR, the same people in both: mean ± "
        "twice its standard error over people. A difference within that is noise."
    )
    return ["## Outer product against concatenation", *mark, text, compared]


def _incomplete(scores: Sequence[Score]) -> list[str]:
    """What the tables lack, said in words."""
    lines = []
    run = {score.header.variant for score in scores}
    possible = variants()
    if missing := [variant for variant in possible if variant not in run]:
        listed = "; ".join(map(label, missing))
        lines.append(f"**Not run: {len(missing)} of the paper's {len(possible)} variants:** {listed}.")
    unfinished = [score for score in in_order(scores) if not score.is_complete]
    if unfinished:
        listed = "; ".join(label(score.header.variant) + progress(score) for score in unfinished)
        lines.append(f"**Not finished, so that their numbers are of some of the people alone:** {listed}.")
    outers = {score.header.protocol.outer for score in scores}
    if len(outers) > 1:
        lines.append(
            f"**Not every variant was measured alike** ({'; '.join(sorted(outers))}; see Protocol): compare variants "
            "of one protocol with one another."
        )
    return lines


def _protocols(scores: Sequence[Score]) -> list[str]:
    """One paragraph per protocol, with the variants that followed it."""
    return [
        f"**{_who(group, scores)}:** {_protocol_text(group[0].header)}"
        for group in _grouped(scores, lambda score: (score.header.protocol, score.header.people))
    ]


def _protocol_text(header: Header) -> str:
    protocol = header.protocol
    outer = f"{protocol.outer} over {len(header.people)} people"
    if protocol.outer == LEAVE_ONE_OUT:
        outer = f"nested {outer} ({len(header.people)} outer folds)"
    cut = (
        ""
        if protocol.minutes_per_activity is None
        else f" At most {protocol.minutes_per_activity:g} min of each activity per person."
    )
    return (
        f"{outer}; in each, {protocol.inner_folds} inner folds by person stop early, and the outer network is trained "
        f"for the median of the epochs that they ran. At most {protocol.max_epochs} epochs, patience "
        f"{protocol.patience} on 1 - UAR; Adam at {protocol.learning_rate:g}, batches of {protocol.batch_size}; seed "
        f"{protocol.seed}. Windows of 20 s, cut from filtered segments, {protocol.train_overlap:.0%} overlap for "
        f"training and {protocol.test_overlap:.0%} for test; accelerometer baseline {protocol.baseline}. Steps are "
        f"emulated from the accelerometer where a data set has no counter.{cut}"
    )


def _who(group: Sequence[Score], scores: Sequence[Score]) -> str:
    """The variants of a group, in as few words as say it."""
    if len(group) == len(scores):
        return "All variants"
    own = {score.header.variant for score in group}
    words = []
    for encoder in ENCODERS:
        of_encoder = {score.header.variant for score in scores if score.header.variant.encoder == encoder}
        if of_encoder and of_encoder <= own:
            words.append(f"all {encoder.upper()} variants")
            own -= of_encoder
    words += [label(score.header.variant) for score in in_order(group) if score.header.variant in own]
    decide = "; ".join(words)
    return decide[0].upper() + decide[1:]


def _left_out(scores: Sequence[Score]) -> str:
    paragraphs = []
    groups = _grouped(scores, lambda score: tuple(score.header.left_out.items()))
    for group in groups:
        left_out = group[0].header.left_out
        whom = "" if len(groups) == 1 else f" ({_who(group, scores)})"
        if left_out:
            lines = [f"- {person}: {why}" for person, why in left_out.items()]
            paragraphs.append("\n".join([f"People left out{whom}:", "", *lines]))
        else:
            paragraphs.append(f"Nobody was left out{whom}.")
    return "\n\n".join(paragraphs)


def _grouped(scores: Sequence[Score], key: Callable[[Score], object]) -> list[list[Score]]:
    groups: dict[object, list[Score]] = {}
    for score in in_order(scores):
        groups.setdefault(key(score), []).append(score)
    return list(groups.values())


def _versions(scores: Sequence[Score]) -> list[tuple[str, str]]:
    return sorted({item for score in scores for item in score.header.versions.items()})
