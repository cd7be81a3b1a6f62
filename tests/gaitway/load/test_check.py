"""The verdict on the events."""

from gaitway.load.check import EventCheck
from gaitway.load.fleet import Fleet
from tests.shared.windows.signals import BASE_MS


def verdict(*counts: dict[int, int]):
    users = [f"u{n}" for n in range(len(counts))]
    check = EventCheck(Fleet(users, [b""] * len(counts), [b""], BASE_MS + 5_000), "nowhere", "")
    check.seen.hop_ms = 10_000
    for own, seen in zip(check.seen.counts, counts, strict=True):
        own |= {BASE_MS + second * 1000: count for second, count in seen.items()}
    return check.verdict(8)


def test_every_window_once():
    whole = verdict({0: 1, 10: 1, 20: 1})
    assert (whole.expected, whole.missing, whole.twice, whole.partial, whole.unexpected) == (3, 0, 0, 0, 0)


def test_missing_repeated_cut_and_foreign_windows_are_counted():
    found = verdict({0: 1, 20: 3, -10: 1, 90: 1})
    assert (found.missing, found.twice, found.partial, found.unexpected) == (1, 2, 1, 1)


def test_without_an_event_all_are_missing():
    check = EventCheck(Fleet(["u"], [b""], [b""], BASE_MS + 5_000), "nowhere", "")
    assert check.verdict(8).missing == check.verdict(8).expected == 3
