"""docs/configuration.md is what `gaitway settings` prints, and it names every setting that a service accepts."""

from pathlib import Path

from typer.testing import CliRunner

from gaitway.cli.operator import app
from shared.runtime.environment import PREFIX, SETTINGS

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_page_equals_the_command_output():
    printed = CliRunner().invoke(app, ["settings"])
    assert printed.exit_code == 0, printed.output
    assert printed.output == PAGE.read_text(), "run: gaitway settings > docs/configuration.md"


def test_page_names_every_setting():
    page = PAGE.read_text()
    assert {name for name in SETTINGS if f"| `{PREFIX}{name}` |" not in page} == set()
    assert page.count(f"| `{PREFIX}") >= len(SETTINGS)
