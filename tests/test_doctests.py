"""The examples in docstrings do what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = ("shared", "services", "gaitway", "training", "deploy")
MODULES = sorted(
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for package in PACKAGES
    for path in (PROJECT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


def test_modules_with_examples_are_found() -> None:
    assert MODULES


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_give_what_they_say(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
