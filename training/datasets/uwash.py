"""UWash's test set in the wild: hand washing after the WHO's steps, with a smartwatch, in the layout of ``indexed``.

F. Wang, T. Zhang, X. Wu et al., "You Can Wash Hands Better: Accurate Daily Handwashing Assessment with Smartwatches",
arXiv 2112.06657; github.com/aiotgroup/UWash. A trial is about a minute of washing. The source labels no sample, so the
first and the last 3 s of each trial, where people begin and stop, are unlabelled.

Frame: not settled, as nobody walks; presumed to be Android's. Three findings in 7 people fit that. x varies least, and
turning a hand moves gravity between y and z, so x is along the forearm. x and y are negative on average, as on a watch
that is worn to be read, with the hands below the elbows and the thumbs up. z is negative in the first samples, when the
palms are up.
"""

from pathlib import Path

from training.datasets.indexed import IndexedDataset, Spans, Trial, find_people
from training.datasets.recording import Source

EDGE_MS = 3_000.0


def span_middle(trial: Trial) -> Spans:
    """The trial without ``EDGE_MS`` at both ends."""
    return [(EDGE_MS, trial.end_ms - EDGE_MS)] if trial.end_ms > 2 * EDGE_MS else []


DATASET = IndexedDataset(
    name="uwash",
    device="uwash-smartwatch",
    source="UWash, test set in the wild (Wang, Zhang, Wu et al., arXiv 2112.06657)",
    licence="MIT",
    activity_by_name={"washing_hands": "washing_hands"},
    find_spans=span_middle,
    notes={"frame": "unknown: presumed to be Android's, not verified by walking"},
)


def find(root: Path) -> list[Source]:
    """Find the people (``01``).

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    return find_people(root, DATASET)
