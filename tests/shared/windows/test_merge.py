"""The merge of the three topics: one order, whatever the fetches bring first."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.windows.merge import TOPICS, LogRecord, Merge
from tests.shared.windows.signals import place, wearer

Stamps = tuple[list[int], list[int], list[int]]

# Few different stamps: ties between topics and a clock that steps back must be common.
STAMPS_MS = st.tuples(*(st.lists(st.integers(1, 12), max_size=8) for _ in TOPICS))


def log_times(stamps_ms: Sequence[int], floor_ms: int = 0) -> list[int]:
    """A record is never earlier than the one before it in its topic."""
    times = []
    for stamp_ms in stamps_ms:
        floor_ms = max(floor_ms, stamp_ms)
        times.append(floor_ms)
    return times


def total_order(stamps_ms: Stamps) -> list[tuple[int, int, int]]:
    return sorted(
        (log_ms, topic, offset) for topic in TOPICS for offset, log_ms in enumerate(log_times(stamps_ms[topic]))
    )


@st.composite
def deliveries(draw: st.DrawFn, stamps_ms: Stamps) -> list[int]:
    """Topic of each next record, in an order that the fetches might bring."""
    return draw(st.permutations([topic for topic in TOPICS for _ in stamps_ms[topic]]))


def push(merge: Merge, topic: int, offset: int, stamp_ms: int) -> None:
    merge.push(LogRecord(merge.floor_ms(topic, stamp_ms), topic, offset))


@settings(max_examples=50, deadline=None)
@given(st.data(), STAMPS_MS)
def test_released_are_exactly_those_whose_place_is_certain(data: st.DataObject, stamps_ms: Stamps) -> None:
    merge, released = Merge(), []
    delivered: list[list[int]] = [[], [], []]
    for topic in data.draw(deliveries(stamps_ms)):
        push(merge, topic, len(delivered[topic]), stamps_ms[topic][len(delivered[topic])])
        delivered[topic] = log_times(stamps_ms[topic][: len(delivered[topic]) + 1])
        if data.draw(st.booleans()):
            released += [place(record) for record in merge.pop()]
            # The next record of a topic is at best at the topic's latest time, so it sorts behind (latest, topic).
            certain = [
                (log_ms, topic, offset)
                for topic in TOPICS
                for offset, log_ms in enumerate(delivered[topic])
                if all(delivered[o] and (delivered[o][-1], o) > (log_ms, topic) for o in TOPICS if o != topic)
            ]
            assert released == sorted(certain)
    for topic in TOPICS:
        push(merge, topic, len(stamps_ms[topic]), 99)
    released += [place(record) for record in merge.pop()]
    assert released[: len(total_order(stamps_ms))] == total_order(stamps_ms)


@settings(max_examples=50, deadline=None)
@given(st.data(), STAMPS_MS)
def test_a_restart_goes_on_in_the_same_order(data: st.DataObject, stamps_ms: Stamps) -> None:
    order = total_order(stamps_ms)
    cut = data.draw(st.integers(0, len(order)), "cut")
    begin = [sum(1 for _, topic, _ in order[:cut] if topic == t) for t in TOPICS]
    # As committed: the next offset of each topic, with the log time of the last record that was released.
    floors = tuple(max([log_ms for log_ms, topic, _ in order[:cut] if topic == t], default=0) for t in TOPICS)
    merge = Merge(floors)
    rest: Stamps = tuple(stamps_ms[t][begin[t] :] for t in TOPICS)  # type: ignore[assignment]
    next_offset = list(begin)
    released = []
    for topic in data.draw(deliveries(rest)):
        push(merge, topic, next_offset[topic], stamps_ms[topic][next_offset[topic]])
        next_offset[topic] += 1
        released += [place(record) for record in merge.pop()]
    for topic in TOPICS:
        push(merge, topic, next_offset[topic], 99)
    released += [place(record) for record in merge.pop()]
    assert released[: len(order) - cut] == order[cut:]


def test_a_silent_topic_holds_the_others_back_until_a_tick_comes() -> None:
    merge = Merge()
    push(merge, 0, 0, 5)
    push(merge, 1, 0, 6)
    assert list(merge.pop()) == []
    push(merge, 2, 0, 5)
    assert [place(record) for record in merge.pop()] == [(5, 0, 0)]
    assert [merge.waiting(topic) for topic in TOPICS] == [0, 1, 1]


def test_at_the_same_millisecond_a_lower_topic_may_still_deliver() -> None:
    merge = Merge()
    for topic, stamp_ms in ((0, 5), (1, 5), (2, 5)):
        push(merge, topic, 0, stamp_ms)
    # Topic 0 may have a second record at 5, which goes before topic 1's.
    assert [place(record) for record in merge.pop()] == [(5, 0, 0)]
    push(merge, 0, 1, 5)
    assert [place(record) for record in merge.pop()] == [(5, 0, 1)]
    push(merge, 0, 2, 6)
    assert [place(record) for record in merge.pop()] == [(5, 1, 0)]


def test_the_clock_steps_back() -> None:
    merge = Merge()
    for offset, stamp_ms in enumerate((10, 4, 11)):
        push(merge, 0, offset, stamp_ms)
    for topic in (1, 2):
        push(merge, topic, 0, 20)
    assert [place(record) for record in merge.pop()] == [(10, 0, 0), (10, 0, 1), (11, 0, 2)]


def test_a_floor_counts_only_for_the_order_not_as_a_delivery() -> None:
    merge = Merge((50, 60, 60))
    push(merge, 0, 7, 40)
    assert list(merge.pop()) == []
    for topic in (1, 2):
        push(merge, topic, 3, 41)
    assert [place(record) for record in merge.pop()] == [(50, 0, 7)]
    push(merge, 0, 8, 70)
    assert [place(record) for record in merge.pop()] == [(60, 1, 3)]


def test_the_bytes_that_wait_are_those_of_the_samples_that_wait() -> None:
    merge = Merge()
    samples = wearer(1).upload(0, 5_000, 0)
    for topic, part in enumerate(samples):
        merge.floor_ms(topic, 10)
        merge.push(LogRecord(10, topic, 0, "u", part))
    assert [merge.waiting_bytes(topic) for topic in TOPICS] == [3 * 125 * 2, 5, 5 * 4]
    for topic in TOPICS:
        merge.floor_ms(topic, 11)
        merge.push(LogRecord(11, topic, 1))
    assert len(list(merge.pop())) >= len(samples)
    assert [merge.waiting_bytes(topic) for topic in TOPICS] == [0, 0, 0]
