"""`gaitway` and `python -m gaitway`: expected failures end in one clear line and a non-zero exit code."""

import logging
import sys

from gaitway.cli.operator import app

_EXTRA_OF = {
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
    # Libraries' log lines are for services, which configure logging themselves; a command tells its failures itself.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        if "--help" not in sys.argv:
            _check_variables()
        app()
    except SystemExit:
        raise
    except BaseException as raised:
        error = _first_of(raised)
        if isinstance(error, KeyboardInterrupt):
            sys.exit(130)
        if (line := _line(error)) is None:
            raise
        sys.exit(f"gaitway: {line}")


def _check_variables() -> None:
    from shared.runtime.environment import check_variables

    check_variables()


def _first_of(error: BaseException) -> BaseException:
    """A task group ends all its tasks with the first failure: that one is the cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _line(error: BaseException) -> str | None:
    """What to say of an expected failure; None: it is a bug, and its traceback is wanted."""
    from gaitway.errors import CommandError
    from shared.contracts.errors import GaitwayError
    from training.datasets.recording import DatasetError

    if isinstance(error, CommandError | GaitwayError | DatasetError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        return extra and f"{error.name} is not installed: pip install 'gaitway[{extra}]'"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


if __name__ == "__main__":
    main()
