"""The checker on histories made by hand: it must find what is wrong, and only that."""

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.model.bundle import load_bundle
from shared.signal.features import accelerometer_features, heart_rate_features, steps_features
from tests.chaos.checker import Rules, Verdict, check
from tests.chaos.contract import KINDS, RunningMedian, features
from tests.chaos.history import ReceivedEvent, Sent, read_uploads, write_lines
from tests.chaos.network import NumpyNetwork
from tests.chaos.rollout import make_candidate
from tests.chaos.run import MODEL
from tests.chaos.windows import Window, windows_of

RULES = Rules(hop_ms=10_000, grace_ms=30_000)
CELL_MS = 5_000
CELLS = 12
START_MS = 1_700_000_002_000
"""A window of u1 starts here: the phase is 2 s."""

Line = dict[str, Any]


@pytest.fixture(scope="module")
def network() -> NumpyNetwork:
    return NumpyNetwork(MODEL)


@pytest.fixture
def lines() -> list[Line]:
    """A minute of one watch in twelve uploads, one a second, each accepted at once."""
    random = np.random.default_rng(5)
    x = np.cumsum(random.normal(0, 30, CELLS * 125))
    return [_line(number, x[number * 125 : (number + 1) * 125]) for number in range(CELLS)]


def _line(number: int, x: np.ndarray) -> Line:
    t0_ms = START_MS + number * CELL_MS
    body = {
        "device": "watch",
        "accelerometer": {
            "t0_ms": t0_ms,
            "rate_hz": 25,
            "unit": "mg",
            "x": np.rint(x).tolist(),
            "y": np.rint(x / 2 - 100).tolist(),
            "z": np.rint(900 - x / 3).tolist(),
        },
        "heart_rate": {"t0_ms": t0_ms, "rate_hz": 1, "bpm": [70, 71, None, 72, 70 + number]},
        "steps": {"t0_ms": t0_ms, "rate_hz": 1, "total": [number * 9, number * 9 + 2, None, None, number * 9 + 7]},
    }
    return {
        "user": "u1",
        "device": "watch",
        "upload": number,
        "began_ms": number * 1000,
        "ended_ms": number * 1000 + 20,
        "answer": 202,
        "body": json.dumps(body),
    }


@pytest.fixture
def history(tmp_path: Path) -> Callable[[list[Line]], list[Sent]]:
    def read(lines: list[Line]) -> list[Sent]:
        write_lines(tmp_path / "uploads.jsonl", lines)
        return read_uploads(tmp_path / "uploads.jsonl")

    return read


def event_of(window: Window, offset: int, mg: list[int], state: str, network: NumpyNetwork) -> ReceivedEvent:
    """The event that a pipeline in order gives for this window."""
    user, device, start = window.key
    signals = window.contents[0]
    probabilities = network.probabilities(
        features(
            **{kind.name: signals[kind.name].values[np.newaxis] for kind in KINDS},
            baseline_mg=np.array([mg], dtype=np.float64),
            baseline_bpm=np.array([70.0]),
        ),
        {kind.name: np.array([signals[kind.name].passes]) for kind in KINDS},
    )[0]
    by_class = dict(zip(network.classes, probabilities.tolist(), strict=True))
    activity = max(by_class, key=lambda name: by_class[name])
    data = {
        "user": user,
        "device": device,
        "window_start_ms": start,
        "window_end_ms": start + 20_000,
        "hop_ms": 10_000,
        "model": network.name,
        "activity": activity,
        "confidence": by_class[activity],
        "probabilities": by_class,
        "modalities": [kind.name for kind in KINDS if signals[kind.name].passes],
        "coverage": {kind.name: signals[kind.name].coverage for kind in KINDS},
        "baseline": {
            "accelerometer": {"state": state, "mg": mg},
            "heart_rate": {"state": "default", "bpm": 70},
        },
        "published_at_ms": 1_000 * offset,
    }
    return ReceivedEvent(1, offset, user, {"ce_id": f"{user}-{start}"}, data, window.due_ms(RULES.grace_ms) + 500)


def events_of(uploads: list[Sent], network: NumpyNetwork, *, updates: bool = True) -> list[ReceivedEvent]:
    """All events, the baseline updated window by window, or that of the window itself."""
    median, events = RunningMedian(), []
    for offset, window in enumerate(w for w in windows_of(uploads, RULES.hop_ms, RULES.grace_ms) if w.contents):
        values = window.contents[0]["accelerometer"].values
        medians = median.medians() if median.count else np.median(values, axis=1)
        events.append(event_of(window, offset, [round(float(value)) for value in medians], median.state, network))
        if updates:
            median.add(values[:, 250:])
    return events


def changed(event: ReceivedEvent, **data: Any) -> ReceivedEvent:
    return replace(event, data=event.data | data)


def found(verdict: Verdict) -> tuple[int, int, int]:
    return len(verdict.lost), len(verdict.twice), len(verdict.wrong)


def test_faultless_history_passes(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    uploads = history(lines)
    verdict = check(uploads, events_of(uploads, network), {network.name: network}, RULES)
    assert found(verdict) == (0, 0, 0)
    # A minute holds five windows; the two that hang over its ends lack half of their accelerometer.
    assert (verdict.windows_expected, verdict.windows_uncertain, verdict.baselines_checked) == (5, 0, 5)
    assert verdict.longest_stall_s == 0.5


def test_missing_event_is_lost(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    uploads = history(lines)
    events = events_of(uploads, network)
    verdict = check(uploads, events[:-1], {network.name: network}, RULES)
    assert found(verdict) == (1, 0, 0)
    assert verdict.lost[0].key == ("u1", "watch", START_MS + 40_000)


def test_second_event_of_a_window_is_twice(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    uploads = history(lines)
    events = events_of(uploads, network)
    assert found(check(uploads, [*events, replace(events[2], offset=9)], {network.name: network}, RULES)) == (0, 1, 0)
    same_id = [*events[:-1], replace(events[-1], headers=events[0].headers)]
    assert found(check(uploads, same_id, {network.name: network}, RULES)) == (0, 1, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda event: changed(event, probabilities=dict.fromkeys(event.data["probabilities"], 1 / 7)),
        lambda event: changed(event, probabilities={**event.data["probabilities"], "flying": 0.0}),
        lambda event: changed(event, modalities=["accelerometer"]),
        lambda event: changed(event, coverage={**event.data["coverage"], "steps": 0.5}),
        lambda event: changed(
            event, baseline={"accelerometer": event.data["baseline"]["accelerometer"], "heart_rate": {"bpm": 120}}
        ),
        lambda event: changed(event, window_end_ms=event.data["window_start_ms"] + 10_000),
        lambda event: replace(event, key="somebody else"),
        lambda event: replace(event, partition=3),
    ],
)
def test_event_with_another_value_is_wrong(
    change: Callable[[ReceivedEvent], ReceivedEvent],
    lines: list[Line],
    history: Callable[[list[Line]], list[Sent]],
    network: NumpyNetwork,
) -> None:
    uploads = history(lines)
    events = events_of(uploads, network)
    verdict = check(uploads, [*events[:3], change(events[3]), *events[4:]], {network.name: network}, RULES)
    assert verdict.wrong
    assert not verdict.lost
    assert {finding.key[2] for finding in verdict.wrong} == {START_MS + 30_000}


def test_an_event_that_nobody_sent_data_for(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    whole = history(lines)
    events = events_of(whole, network)
    # Without the third upload the windows over it miss 5 s: a gap, no event.
    verdict = check([upload for upload in whole if upload.number != 2], events, {network.name: network}, RULES)
    assert {finding.key[2] for finding in verdict.wrong} >= {START_MS, START_MS + 10_000}
    assert verdict.windows_expected == 3


def test_what_was_never_accepted_is_uncertain(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    events = events_of(history(lines), network)
    lines[5]["answer"] = "hung up"
    uploads = history(lines)
    with_them = check(uploads, events, {network.name: network}, RULES)
    without_them = check(uploads, [events[0], *events[3:]], {network.name: network}, RULES)
    assert (with_them.windows_expected, with_them.windows_uncertain) == (3, 2)
    assert found(with_them) == found(without_them) == (0, 0, 0)
    # One that is there must be right all the same.
    events[1].data["probabilities"] = dict.fromkeys(events[1].data["probabilities"], 1 / 7)
    assert check(uploads, events, {network.name: network}, RULES).wrong


def test_window_of_an_upload_after_the_grace_period_is_uncertain(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    for line in lines[6:]:
        line["began_ms"] += 40_000
        line["ended_ms"] += 40_000
    uploads = history(lines)
    verdict = check(uploads, [], {network.name: network}, RULES)
    # Its second half came so late that the window from the fifth to the eighth upload may have ended as a gap.
    assert (verdict.windows_expected, verdict.windows_uncertain) == (4, 1)
    assert len(verdict.lost) == 4


def test_stale_baseline_is_wrong(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork
) -> None:
    uploads = history(lines)
    stale = events_of(uploads, network, updates=False)
    assert len(check(uploads, stale, {network.name: network}, RULES).wrong) == 4
    # Right after Redis has lost everything nobody can say.
    assert found(check(uploads, stale, {network.name: network}, replace(RULES, losses=(0.0,)))) == (0, 0, 0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> NumpyNetwork:
    return NumpyNetwork(make_candidate(MODEL, tmp_path_factory.mktemp("models") / "candidate"))


def test_each_event_is_held_against_the_model_that_it_names(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork, other: NumpyNetwork
) -> None:
    uploads, networks = history(lines), {network.name: network, other.name: other}
    before, after = events_of(uploads, network), events_of(uploads, other)
    events = [*before[:2], *after[2:]]
    assert found(check(uploads, events, networks, RULES)) == (0, 0, 0)
    # A window has one event, of one model or the other.
    assert found(check(uploads, [*events, replace(before[2], offset=9)], networks, RULES)) == (0, 1, 0)
    untrue = [changed(event, model=network.name) for event in events]
    assert len(check(uploads, untrue, networks, RULES).wrong) == 3
    assert len(check(uploads, events, {network.name: network}, RULES).wrong) >= 3


def test_the_shadows_events_are_checked_as_the_live_ones(
    lines: list[Line], history: Callable[[list[Line]], list[Sent]], network: NumpyNetwork, other: NumpyNetwork
) -> None:
    uploads, networks = history(lines), {network.name: network, other.name: other}
    live, shadow = events_of(uploads, network), events_of(uploads, other)

    def faults(shadow_events: list[ReceivedEvent], live_events: list[ReceivedEvent] = live) -> set[int]:
        verdict = check(uploads, live_events, networks, RULES, shadow_events)
        return {(finding.key[2] - START_MS) // 10_000 for finding in verdict.shadow}

    # Some may be missing.
    assert faults(shadow[1:]) == faults([]) == set()
    assert faults([*shadow, replace(shadow[1], offset=9)]) == {1}
    assert faults(shadow, live[1:]) == {0}
    assert faults([*shadow[:4], live[4]]) == {4}
    assert faults([changed(shadow[0], coverage={**shadow[0].data["coverage"], "steps": 0.5})]) == {0}
    assert faults([changed(live[3], model=other.name)]) == {3}


def test_the_checker_shares_no_code_with_what_it_checks() -> None:
    allowed = sys.stdlib_module_names | {"numpy"}
    todo, seen = ["checker"], set[str]()
    while todo:
        seen.add(name := todo.pop())
        for node in ast.walk(ast.parse(Path(__file__).with_name(f"{name}.py").read_text())):
            for module in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            ):
                ours = module.startswith("tests.chaos.")
                assert ours or module.partition(".")[0] in allowed, f"{name} imports {module}"
                todo += [module.rpartition(".")[2]] if ours and module.rpartition(".")[2] not in seen else []
    assert seen == {"checker", "windows", "contract", "network", "history", "stall", "baselines"}


def test_features_are_those_of_the_services() -> None:
    random = np.random.default_rng(1)
    mg = random.normal(0, 800, (4, 3, 500)).round()
    bpm = random.uniform(50, 150, (4, 1, 20)).round()
    steps = np.cumsum(random.integers(0, 4, (4, 1, 20)), axis=2).astype(float)
    steps[2, 0, 9:] = 0  # a reset
    baseline_mg, baseline_bpm = random.normal(0, 500, (4, 3)).round(), np.array([60.0, 70, 80, 65])
    ours = features(mg, bpm, steps, baseline_mg, baseline_bpm)
    theirs = {
        "accelerometer": accelerometer_features(mg, baseline_mg),
        "heart_rate": heart_rate_features(bpm, baseline_bpm),
        "steps": steps_features(steps),
    }
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values.astype(np.float16), rtol=2e-3, atol=1e-4)


def test_the_network_is_that_of_the_services(network: NumpyNetwork) -> None:
    random = np.random.default_rng(2)
    shapes = {"accelerometer": (9, 500), "heart_rate": (3, 20), "steps": (2, 20)}
    arrays = {name: random.normal(0, 1, (5, *shape)).astype(np.float32) for name, shape in shapes.items()}
    masks = {"accelerometer": np.ones(5, bool), "heart_rate": np.arange(5) > 2, "steps": np.arange(5) % 2 == 0}
    theirs = load_bundle(MODEL).probabilities(
        [{name: array[i] for name, array in arrays.items()} for i in range(5)],
        [{name: bool(mask[i]) for name, mask in masks.items()} for i in range(5)],
        random.integers(-1000, 1000, (5, 3)).tolist(),
    )
    np.testing.assert_allclose(network.probabilities(arrays, masks), theirs, atol=1e-5)
