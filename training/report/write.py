"""Write a run's report: Markdown, and its pictures beside it."""

from pathlib import Path

from training.report.figures import draw_confusion
from training.report.formatting import figure_name, figure_title
from training.report.page import render
from training.report.scores import best_by_encoder, read_scores

PAGE = "README.md"


def write_report(directory: Path, out: Path | None = None) -> Path:
    """Read ``directory``'s results and write ``out`` (README.md in it) with its SVGs beside it; returns the page.

    Raises:
        DatasetError: see training.report.scores.read_scores.
    """
    scores = read_scores(directory)
    page = out or directory / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    for encoder, score in best_by_encoder(scores):
        path = page.parent / figure_name(encoder)
        draw_confusion(path, score.confusion, score.header.classes, figure_title(score))
    page.write_text(render(scores), encoding="utf-8")
    return page
