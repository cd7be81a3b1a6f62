"""`gaitway` and `python -m gaitway`: expected failures end in one clear line and a non-zero exit code."""

import logging
import sys

_CLIENT_ONLY = (
    "the installed package has only the client (gaitway.events, gaitway.expected); "
    "the command line needs a checkout of the repository or an image"
)
_EXTRA_OF = {
    "typer": "runtime",
    "jwt": "ingest",
    "faust": "features",
    "redis": "features",
    "torch": "inference",
    "safetensors": "inference",
    "matplotlib": "training",
    "sklearn": "training",
    "httpx": "client",
}


def main() -> None:
    """Run the command line."""
    # Services configure logging themselves; a command prints its failures and needs no log lines of libraries.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        # Before anything of the pipeline: where the wheel alone is installed, this is what is not there.
        from gaitway.cli.operator import app

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
    if isinstance(error, ModuleNotFoundError):
        return _missing(error.name or "")

    from gaitway.errors import CommandError
    from shared.contracts.errors import GaitwayError
    from training.datasets.recording import DatasetError

    if isinstance(error, CommandError | GaitwayError | DatasetError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


def _missing(module: str) -> str | None:
    if module == "gaitway.cli":
        return _CLIENT_ONLY
    extra = _EXTRA_OF.get(module.partition(".")[0])
    return extra and f"{module} is not installed; in the checkout: pip install -e '.[{extra}]'"


if __name__ == "__main__":
    main()
