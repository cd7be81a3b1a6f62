"""docs/metrics.md, generated from the catalogue: `gaitway metrics`."""

from collections.abc import Iterable, Iterator

from shared.runtime.metrics import CATALOGUE, Entry

_HEAD = """# Metrics

Made by `gaitway metrics` of `shared/runtime/metrics.py`; a test holds the two together. Each service and the canary
show their own on `/metrics`, with `process_*`, `python_info` and `python_gc_*` of prometheus-client beside them. Base
units; no user and no device is ever a label; known label values start at 0. `topic` is without the prefix,
`modalities` is a
window's, as `accelerometer+steps`.
"""

_PARTS = {
    ("ingest",): "ingest",
    ("features",): "features",
    ("inference",): "inference",
    ("features", "inference"): "features and inference",
    ("ingest", "features", "inference"): "ingest, features and inference",
    ("canary",): "canary",
}


def make_page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for services, title in _PARTS.items():
        entries = [entry for entry in CATALOGUE if entry.services == services]
        parts.append("\n".join([f"## {title}\n", *_table(entries), ""]))
    return "\n".join(parts)


def _table(entries: Iterable[Entry]) -> Iterator[str]:
    yield "| metric | kind, unit | meaning | when it moves |"
    yield "|---|---|---|---|"
    for entry in entries:
        labels = f"{{{', '.join(entry.labels)}}}" if entry.labels else ""
        yield f"| `{entry.name}{labels}` | {entry.kind}, {entry.unit} | {entry.meaning} | {entry.action} |"
