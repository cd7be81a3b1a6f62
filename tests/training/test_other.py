"""What is none of the activities: the withheld kinds, what they are called and the false active minutes."""

from dataclasses import replace

import numpy as np

from shared.contracts.labels import OTHER
from tests.training.separable_samples import made_up
from training.evaluation.other import GROUPS, measure_other, withhold_groups

CLASSES = ("sitting", "walking", OTHER)
DETAILS = np.array(["wisdm/sitting", "wisdm/walking", "wisdm/teeth", "wisdm/typing", "wisdm/clapping", "wisdm/chips"])
ACTIVITIES = np.array(["sitting", "walking", OTHER, "sitting", OTHER, ""])


def six_windows():
    return replace(made_up(6), activity=ACTIVITIES, detail=DETAILS, dataset=np.array(["wisdm"] * 6))


def test_each_fold_lacks_one_group_and_every_group_is_lacking_once():
    samples = six_windows()
    withheld = withhold_groups(samples, len(GROUPS))
    assert [fold.nonzero()[0].tolist() for fold in withheld] == [[4], [], [], [2], []]
    names = [name for group in GROUPS for name in group]
    assert len(names) == len(set(names))


def test_what_is_called_active_counts_by_confidence_by_kind_and_at_the_desk():
    probabilities = np.array(
        [
            [0.8, 0.1, 0.1],  # sitting
            [0.1, 0.8, 0.1],  # walking
            [0.1, 0.85, 0.05],  # teeth: confidently called walking
            [0.2, 0.6, 0.2],  # typing: called walking
            [0.1, 0.2, 0.7],  # clapping: other
            [0.5, 0.2, 0.3],  # chips: neither known nor other
        ]
    )
    unseen = DETAILS == "wisdm/clapping"
    values = measure_other(six_windows(), probabilities, CLASSES, 0.0, unseen)
    assert values["windows"] == 2
    assert (values["named_active"], values["confidently_active"], values["unknown"]) == (0.5, 0.5, 0.5)
    # Of the three known windows none has more of other than clapping, and all have more than teeth.
    assert (values["auroc"], values["auroc_unseen"]) == (0.5, 1.0)
    assert (values["named_active_unseen"], values["windows_unseen"]) == (0.0, 1.0)
    assert values["false_active_min_per_h"] == 60
    assert values["known_called_unknown"] == 0.0
    # Below the threshold nothing is named.
    shy = measure_other(six_windows(), probabilities, CLASSES, 0.9, unseen)
    assert (shy["named_active"], shy["known_called_unknown"], shy["false_active_min_per_h"]) == (0.0, 1.0, 0.0)
