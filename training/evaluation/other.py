"""Everything else that people do: does a model say so, or does it name one of its activities?

A day holds more than the ten activities. A model that has learnt some of the rest must also know what it has not
learnt. So the kinds of other activities form ``GROUPS`` by what the arm does, and the network of each fold of a
cross-validation learns all groups but one: what that one holds is unknown to it, and so are the people that it is
tested on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from shared.contracts.labels import OTHER, UNKNOWN
from shared.model.decision import decide_all
from training.metrics import Floats
from training.samples import Samples

GROUPS: tuple[tuple[str, ...], ...] = (
    # Hands meet or are waved.
    (
        "wisdm/clapping",
        "umafall/aplausing",
        "umafall/handsup",
        "berkeley_mhad/clapping",
        "berkeley_mhad/waving_one_hand",
        "berkeley_mhad/waving_two_hands",
    ),
    # Balls and blows.
    (
        "wisdm/catch",
        "wisdm/dribbling",
        "wisdm/kicking",
        "dsads/playing basketball",
        "berkeley_mhad/throwing_ball",
        "berkeley_mhad/punching",
    ),
    # Jumps and machines.
    (
        "dsads/jumping",
        "dsads/exercising on a cross trainer",
        "dsads/rowing",
        "umafall/hopping",
        "berkeley_mhad/jumping_jacks",
        "berkeley_mhad/jumping_in_place",
    ),
    ("wisdm/teeth",),
    # Work about the house.
    ("wisdm/folding", "umafall/openingdoor", "umafall/bending", "berkeley_mhad/bending_hands_up"),
)
"""The sources' names of what is ``OTHER``; each group is unknown to one fold."""

DESK = ("wisdm/typing", "wisdm/writing")
"""Work at a desk; the seated hour of Stress-Predict counts as such too."""
DESK_DATASETS = ("stress_predict",)

ACTIVE = ("walking", "running", "stairs", "cycling")
"""Named for something else, these are the errors that spoil a coach's numbers."""
CONFIDENT = 0.8


def groups_of(samples: Samples) -> NDArray[np.int64]:
    """(n,) group of each window's own name, -1 where it is in none."""
    group_of = {name: number for number, names in enumerate(GROUPS) for name in names}
    return np.array([group_of.get(name, -1) for name in samples.detail.tolist()], dtype=np.int64)


def withhold_groups(samples: Samples, folds: int) -> list[NDArray[np.bool_]]:
    """Per fold (n,) the windows of the group that its network must not learn."""
    group = groups_of(samples)
    return [group == fold % len(GROUPS) for fold in range(folds)]


def measure_other(
    samples: Samples,
    probabilities: Floats,
    classes: Sequence[str],
    abstain_below: Floats | float,
    unseen: NDArray[np.bool_],
) -> dict[str, float]:
    """The numbers of "everything else". ``probabilities``: (n, classes); ``unseen``: (n,) kinds not learnt.

    ``auroc``: of the probability of ``OTHER``, one of the classes; other activities against known.
    ``named_active``: share of other windows named as one of ``ACTIVE``, ``confidently_active`` with ``CONFIDENT`` or
    more. ``*_unseen``: the same for kinds that the network has not learnt. ``false_active_min_per_h``: at a desk.
    """
    answers = decide_all(probabilities, classes, abstain_below)
    confidence = probabilities.max(axis=1)
    score = probabilities[:, list(classes).index(OTHER)]
    active = np.isin(answers, ACTIVE)
    other = samples.activity == OTHER
    known = (samples.activity != "") & ~other
    values: dict[str, float] = {"windows": float(other.sum()), "people": float(len(np.unique(samples.person[other])))}
    for suffix, rows in (("", other), ("_unseen", other & unseen)):
        if not rows.any() or not known.any():
            continue
        judged = rows | known
        values |= {
            f"auroc{suffix}": float(roc_auc_score(rows[judged], score[judged])),
            f"unknown{suffix}": float(np.mean(answers[rows] == UNKNOWN)),
            f"named_active{suffix}": float(active[rows].mean()),
            f"confidently_active{suffix}": float((active & (confidence >= CONFIDENT))[rows].mean()),
        }
    values["windows_unseen"] = float((other & unseen).sum())
    values["known_called_unknown"] = float(np.mean(answers[known] == UNKNOWN)) if known.any() else float("nan")
    desk = np.isin(samples.detail, DESK) | np.isin(samples.dataset, DESK_DATASETS)
    if desk.any():
        values["false_active_min_per_h"] = 60 * float(active[desk].mean())
        values["desk_h"] = float(desk.sum()) / 180
    return {name: round(value, 4) for name, value in values.items() if not np.isnan(value)}
