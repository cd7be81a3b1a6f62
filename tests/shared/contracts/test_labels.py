"""What a model says of a window."""

import pytest

from shared.contracts.labels import HAR10, LABEL_SETS, OTHER, UNKNOWN, answers_of, decide, find_nearest, project


@pytest.mark.parametrize(
    ("abstain_below", "expected"),
    [(0.0, "walking"), (0.5, "walking"), (0.501, UNKNOWN), (0.99, UNKNOWN)],
)
def test_the_most_probable_class_unless_it_is_below_the_threshold(abstain_below, expected):
    assert decide({"sitting": 0.2, "walking": 0.5, "running": 0.3}, abstain_below) == (expected, 0.5)


def test_of_equal_probabilities_the_first_class_is_chosen():
    assert decide({"sitting": 0.5, "walking": 0.5}, 0.0) == ("sitting", 0.5)


def test_unknown_and_other_are_no_classes_of_a_label_set():
    assert not any({UNKNOWN, OTHER} & set(classes) for classes in LABEL_SETS.values())


def test_what_is_none_of_the_classes_is_unknown_with_its_probability_and_the_nearest_class():
    probabilities = {"sitting": 0.1, "walking": 0.3, OTHER: 0.6}
    assert decide(probabilities, 0.4) == (UNKNOWN, 0.6)
    assert find_nearest(probabilities) == "walking"
    assert answers_of(tuple(probabilities)) == ("sitting", "walking", UNKNOWN)


def test_the_smaller_label_sets_are_sums_of_har10():
    probabilities = {name: (number + 1) / 66 for number, name in enumerate((*HAR10, OTHER))}
    har7, har2 = project(probabilities, "har7"), project(probabilities, "har2")
    for sums in (har7, har2):
        assert sum(sums.values()) == pytest.approx(1.0)
    assert {name: har7[name] for name in har7 if name != OTHER} == {
        name: probabilities[name] for name in HAR10 if name not in {"washing_hands", "strength", "flexibility"}
    }
    assert har2["static"] == pytest.approx(sum(har7[name] for name in ("lying", "sitting", "standing")))
    assert har7[OTHER] == har2[OTHER]
    # A model of har7 knows nothing else: its movement has two entries.
    assert project({"sitting": 0.25, "walking": 0.75}, "har2") == {"static": 0.25, "dynamic": 0.75}
