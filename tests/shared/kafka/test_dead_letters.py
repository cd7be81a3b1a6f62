import pytest

from shared.contracts.errors import Stop
from shared.kafka.dead_letters import DeadLetterLimit


def test_a_handful_is_no_share():
    share = DeadLetterLimit(0.5, min_records=200)
    for _ in range(199):
        share.count(1, rejected=1)
    with pytest.raises(Stop):
        share.count(1, rejected=1)


def test_the_line_says_how_many_and_where():
    with pytest.raises(Stop) as stop:
        DeadLetterLimit(0.25, min_records=10).count(40, rejected=30)
    assert str(stop.value) == (
        "75% of the last 40 records were rejected, 25% may be: watch.rejected holds them and says why"
    )


def test_just_the_share_is_allowed():
    share = DeadLetterLimit(0.5, min_records=10)
    for _ in range(1_000):
        share.count(2, rejected=1)
    DeadLetterLimit(1.0, min_records=1).count(10_000, rejected=10_000)


def test_an_old_storm_is_forgotten():
    share = DeadLetterLimit(0.5, min_records=200)
    share.count(1_000, rejected=500)
    for _ in range(20):
        share.count(100, rejected=0)
    for _ in range(100):
        share.count(1, rejected=1)


def test_good_years_hide_no_storm():
    share = DeadLetterLimit(0.5, min_records=200)
    for _ in range(1_000):
        share.count(2_000, rejected=0)
    for _ in range(100):
        share.count(1, rejected=1)
    with pytest.raises(Stop):
        share.count(300, rejected=300)


def test_nothing_read_is_nothing_rejected():
    DeadLetterLimit(0.5, min_records=1).count(0, rejected=0)
