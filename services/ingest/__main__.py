"""``python -m services.ingest``: the gateway, with settings from the environment."""

import sys

from services.ingest.service import run
from services.ingest.settings import IngestSettings
from shared.contracts.errors import Stop


def main() -> int:
    """Exit code 0 after a signal, 1 with one line on standard error when it cannot run."""
    try:
        run(IngestSettings.read())
    except Stop as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
