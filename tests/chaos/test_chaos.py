"""A short chaos run ends with nothing lost, twice or wrong; the same run with a built-in fault is found out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import Verdict
from tests.chaos.run import Options, run

SHORT: dict[str, Any] = {"watches": 18, "period_s": 0.6, "workers": 1, "grace_s": 12.0}


@pytest.mark.timeout(400)
async def test_run_with_faults_ends_with_nothing_lost_twice_or_wrong(tmp_path: Path) -> None:
    kinds = ("kill", "pause", "broker-and-ingest-kill", "redis-flush-and-features-kill")
    result = await run(Options(seconds=50, faults=5, seed=3, folder=tmp_path, only=kinds, **SHORT))
    assert result.failures == []
    assert {done.fault.kind for done in result.executor.done} == set(kinds)
    assert result.verdict.windows_expected > 100
    # Events of the live bundle and of the promoted one, and of the shadow before that.
    assert set(result.events_of) == {"gaitway-cnn@0.2.0", "candidate@9.0.0"}
    assert result.shadow_events
    assert result.verdict.windows_uncertain < result.verdict.windows_expected / 5
    assert {name for name, count in result.counts.items() if count} >= {
        "hung up",
        "cut",
        "repeated",
        "retried",
        "refused",
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("inject_fault", "kind", "traces"),
    [
        ("no-ledger", "redis-flush-and-features-kill", lambda verdict: verdict.twice),
        ("stale-baseline", "kill", lambda verdict: verdict.wrong and not verdict.lost),
    ],
)
async def test_run_with_an_injected_fault_fails(
    inject_fault: str, kind: str, traces: Callable[[Verdict], object], tmp_path: Path
) -> None:
    result = await run(
        Options(seconds=10, faults=1, seed=1, folder=tmp_path, inject_fault=inject_fault, only=(kind,), **SHORT)
    )
    assert result.failures
    assert traces(result.verdict)
