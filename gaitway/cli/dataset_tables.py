"""The output of `gaitway datasets inspect`: tables that fit a terminal of 80 columns."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from gaitway.tables import PLAIN_TABLE
from shared.contracts.modality import MODALITY_NAMES
from training.inspect import DataSummary, Inspection

TOTAL = "total"


def render(inspection: Inspection) -> Iterator[RenderableType]:
    """Yield the facts, then minutes, coverage and gaps."""
    total = inspection.total
    if inspection.synthetic:
        yield "SYNTHETIC: no person was measured"
    yield f"{inspection.dataset}: {len(inspection.people)} people, {total.recordings} recordings"
    for name, values in (
        ("source", inspection.sources),
        ("licence", inspection.licences),
        ("device", inspection.devices),
        ("note", {f"{about}: {note}" for about, note in inspection.notes}),
    ):
        for value in sorted(values):
            yield f"{name}: {value}"
    yield ""
    yield _make_minutes_table(inspection, total)
    yield ""
    yield _make_coverage_table(inspection, total)
    yield ""
    yield _make_gaps_table(total) if total.gap_count else "no gaps"


def _make_minutes_table(inspection: Inspection, total: DataSummary) -> Table:
    table = Table(title="Labelled minutes", **PLAIN_TABLE | {"padding": (0, 1, 0, 0)})
    _add_person_column(table, inspection)
    for name in [*(name.replace("_", " ") for name in inspection.activities), "all"]:
        table.add_column(name, justify="right", overflow="fold")
    for name, person in [*sorted(inspection.people.items()), (TOTAL, total)]:
        cells = [f"{person.minutes[a]:.1f}" if a in person.minutes else "" for a in inspection.activities]
        table.add_row(name, *cells, f"{sum(person.minutes.values()):.1f}")
    return table


def _add_person_column(table: Table, inspection: Inspection) -> None:
    """Add the column of names, which a narrow terminal must not cut."""
    table.add_column("person", min_width=max(map(len, [*inspection.people, TOTAL]), default=0))


def _make_coverage_table(inspection: Inspection, total: DataSummary) -> Table:
    table = Table(
        title="Recorded minutes, 20 s windows, share of them that reach the model with a modality", **PLAIN_TABLE
    )
    _add_person_column(table, inspection)
    table.add_column("minutes", justify="right")
    table.add_column("windows", justify="right")
    for name in MODALITY_NAMES:
        table.add_column(name.replace("_", " "), justify="right")
    for name, person in [*sorted(inspection.people.items()), (TOTAL, total)]:
        shares = [person.coverage(modality) if person.has[modality] else None for modality in MODALITY_NAMES]
        cells = ("none" if share is None else f"{share:.1%}" for share in shares)
        table.add_row(name, f"{person.recorded_min:.1f}", str(person.windows), *cells)
    return table


def _make_gaps_table(total: DataSummary) -> Table:
    table = Table(title="Gaps", **PLAIN_TABLE)
    for name in ("modality", "reason", "count", "seconds"):
        table.add_column(name, justify="right" if name in ("count", "seconds") else "left")
    for (modality, reason), count in sorted(total.gap_count.items()):
        table.add_row(modality, reason, str(count), f"{total.gap_ms[modality, reason] / 1000:.0f}")
    return table
