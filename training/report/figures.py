"""Confusion matrices like figures 3 to 5 of Mallol-Ragolta et al. 2022: count and row share, zeros empty."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

CELL_INCH = 0.85
DARK = 0.5
"""Share from which the text is white."""


def cell_text(count: int, share: float) -> str:
    """What stands in one cell."""
    return f"{count}\n{share:.1%}" if count else ""


def draw_confusion(path: Path, confusion: NDArray[np.int64], classes: tuple[str, ...], title: str) -> None:
    """Write an SVG; ``confusion``: (classes, classes) counts, rows the truth. The same numbers give the same bytes."""
    total = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, total, out=np.zeros(confusion.shape), where=total > 0)
    size = CELL_INCH * len(classes)
    figure = Figure(figsize=(size + 1.8, size + 1.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    for row, column in np.argwhere(confusion).tolist():
        colour = "white" if share[row, column] > DARK else "black"
        text = cell_text(int(confusion[row, column]), float(share[row, column]))
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    names = [name.replace("_", " ") for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10, wrap=True)
    with mpl.rc_context({"svg.hashsalt": "gaitway", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
