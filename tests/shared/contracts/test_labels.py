"""What a model says of a window."""

import pytest

from shared.contracts.labels import LABEL_SETS, UNKNOWN, decide


@pytest.mark.parametrize(
    ("abstain_below", "expected"),
    [(0.0, "walking"), (0.5, "walking"), (0.501, UNKNOWN), (0.99, UNKNOWN)],
)
def test_the_most_probable_class_unless_it_is_below_the_threshold(abstain_below, expected):
    assert decide({"sitting": 0.2, "walking": 0.5, "running": 0.3}, abstain_below) == (expected, 0.5)


def test_of_equal_probabilities_the_first_class_is_chosen():
    assert decide({"sitting": 0.5, "walking": 0.5}, 0.0) == ("sitting", 0.5)


def test_unknown_is_no_class():
    assert not any(UNKNOWN in classes for classes in LABEL_SETS.values())
