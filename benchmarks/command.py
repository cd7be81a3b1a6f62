"""The command line of a single stage."""

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console

from benchmarks.measure import Stage


def run_alone(doc: str | None, run: Callable[[int, Console, Any], Stage], size: type[Any]) -> None:
    """``--rounds`` and every field of ``size`` as options; prints the ratios."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    for name in size.__slots__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(size(), name))
    options = vars(parser.parse_args())
    console = Console(width=140)
    stage = run(options.pop("rounds"), console, size(**options))
    for name, ratio in stage.ratios().items():
        console.print(f"gaitway / {name}: {ratio:.2f}")
