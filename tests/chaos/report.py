"""What a person reads: the table, and of a failure enough history to find its cause."""

import time

from rich.console import Console
from rich.table import Table

from tests.chaos.checker import Finding
from tests.chaos.run import Result

SHOWN = 5


def print_report(result: Result, console: Console) -> None:
    """Faults with their proof, the table, and the first findings."""
    for done in result.executor.done:
        console.print(f"{_clock(done.began_ms)} to {_clock(done.ended_ms)}  {done}", soft_wrap=True, highlight=False)
    table = Table(title=f"chaos, seed {result.options.seed}", show_header=False)
    for name, value in result.summary().items():
        if name != "failures":
            shown = ", ".join(f"{key} {n}" for key, n in value.items()) if isinstance(value, dict) else str(value)
            table.add_row(name, shown)
    console.print(table)
    for step in result.operator.steps:
        followed = "not followed" if step.followed_s is None else f"followed after {step.followed_s:.1f} s"
        console.print(f"{_clock(step.began_ms)}  roll-out {step.name}: {followed}", highlight=False)
    verdict = result.verdict
    for name, findings in (
        ("lost", verdict.lost),
        ("twice", verdict.twice),
        ("wrong", verdict.wrong),
        ("wrong of the shadow", verdict.shadow),
    ):
        for finding in findings[:SHOWN]:
            _explain(name, finding, result, console)
        if len(findings) > SHOWN:
            console.print(f"... and {len(findings) - SHOWN} more {name}")
    for failure in result.failures:
        console.print(f"FAILED: {failure}", style="red", soft_wrap=True, highlight=False)


def _explain(name: str, finding: Finding, result: Result, console: Console) -> None:
    user, device, start = finding.key
    console.print(
        f"{name}: {user} {device} window {start}: {finding.what}", style="bold", soft_wrap=True, highlight=False
    )
    window = result.verdict.windows.get(finding.key)
    if window is None:
        return
    console.print(f"  certain {window.certain}, complete {window.complete}, possible contents {len(window.contents)}")
    first_ms = min(upload.began_ms for upload in window.uploads)
    last_ms = max(attempt.ended_ms for upload in window.uploads for attempt in upload.attempts)
    for upload in window.uploads:
        attempts = ", ".join(f"{_clock(a.began_ms)}-{_clock(a.ended_ms)} {a.answer}" for a in upload.attempts)
        console.print(f"  upload {upload.number}: {attempts}", soft_wrap=True, highlight=False)
    for done in result.executor.done:
        if done.ended_ms > first_ms - 10_000 and done.began_ms < last_ms + 60_000:
            console.print(f"  {_clock(done.began_ms)}-{_clock(done.ended_ms)} {done.fault.kind} {done.fault.victim}")


def _clock(ms: float) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(ms / 1000))}.{int(ms % 1000):03d}"
