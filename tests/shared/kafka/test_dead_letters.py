import pytest

from shared.contracts.errors import Stop
from shared.kafka.dead_letters import DeadLetterLimit


def test_fewer_records_than_the_minimum_never_stop():
    limit = DeadLetterLimit(0.5, min_records=200)
    for _ in range(199):
        limit.count(1, rejected=1)
    with pytest.raises(Stop):
        limit.count(1, rejected=1)


def test_stop_says_how_many_were_rejected_and_where_they_are():
    with pytest.raises(Stop) as stop:
        DeadLetterLimit(0.25, min_records=10).count(40, rejected=30)
    assert str(stop.value) == (
        "75% of the last 40 records were rejected, 25% are allowed: see the reasons in the headers of watch.rejected"
    )


def test_share_equal_to_the_limit_is_allowed_and_one_more_is_not():
    limit = DeadLetterLimit(0.5, min_records=10)
    for _ in range(1_000):
        limit.count(2, rejected=1)
    with pytest.raises(Stop):
        limit.count(1, rejected=1)


def test_limit_of_one_allows_all_to_be_rejected_and_other_limits_do_not():
    DeadLetterLimit(1.0, min_records=1).count(10_000, rejected=10_000)
    with pytest.raises(Stop):
        DeadLetterLimit(0.999, min_records=1).count(10_000, rejected=10_000)


def test_rejections_before_many_accepted_records_count_no_longer():
    limit = DeadLetterLimit(0.5, min_records=200)
    limit.count(1_000, rejected=500)
    for _ in range(20):
        limit.count(100, rejected=0)
    for _ in range(100):
        limit.count(1, rejected=1)
    # Of the 3000 records before them little is left, so that these are over the limit.
    with pytest.raises(Stop):
        limit.count(300, rejected=300)


def test_many_accepted_records_hide_no_later_rejections():
    limit = DeadLetterLimit(0.5, min_records=200)
    for _ in range(1_000):
        limit.count(2_000, rejected=0)
    for _ in range(100):
        limit.count(1, rejected=1)
    with pytest.raises(Stop):
        limit.count(300, rejected=300)


def test_no_records_add_nothing_to_the_count():
    limit = DeadLetterLimit(0.5, min_records=1)
    limit.count(0, rejected=0)
    with pytest.raises(Stop, match="100% of the last 1 records"):
        limit.count(1, rejected=1)
