"""`gaitway` and `python -m gaitway`: expected failures end in one clear line and a non-zero exit code."""

import logging
import sys

from gaitway.cli import app

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
    # The errors' modules are imported by the commands anyway; importing them here costs nothing more.
    from gaitway.errors import CommandError
    from shared.errors import GaitwayError
    from training.datasets.recording import DatasetError

    # Libraries' log lines are for services, which configure logging themselves; a command tells its failures itself.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app()
    except (CommandError, GaitwayError, DatasetError) as error:
        sys.exit(f"gaitway: {error}")
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        sys.exit(f"gaitway: {error.name} is not installed: pip install 'gaitway[{extra}]'")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
