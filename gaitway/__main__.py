"""`gaitway` and `python -m gaitway`: expected failures end in one clear line and a non-zero exit code."""

import logging
import sys

from gaitway.cli.operator import app

_EXTRAS = {
    "jwt": "ingest",
    "faust": "features",
    "redis": "features",
    "torch": "inference",
    "safetensors": "inference",
    "cloudevents": "inference",
    "matplotlib": "training",
    "httpx": "client",
}


def main() -> None:
    """Run the command line."""
    # Services configure logging themselves; a command prints its failures and needs no log lines of libraries.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        if "--help" not in sys.argv:
            _check_variables()
        app()
    except SystemExit:
        raise
    except BaseException as raised:
        error = _find_cause(raised)
        if isinstance(error, KeyboardInterrupt):
            sys.exit(130)
        if (line := _describe(error)) is None:
            raise
        sys.exit(f"gaitway: {line}")


def _check_variables() -> None:
    from shared.runtime.environment import check_variables

    check_variables()


def _find_cause(error: BaseException) -> BaseException:
    """The first failure in a task group is the cause: it ends the group's other tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _describe(error: BaseException) -> str | None:
    """The message of an expected failure; None for a bug, whose traceback is printed."""
    from gaitway.errors import CommandError
    from shared.contracts.errors import GaitwayError
    from training.datasets.recording import DatasetError

    if isinstance(error, CommandError | GaitwayError | DatasetError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        return extra and f"{error.name} is not installed: pip install 'gaitway[{extra}]'"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


if __name__ == "__main__":
    main()
