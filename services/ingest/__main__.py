"""``python -m services.ingest``: the gateway, with settings from the environment."""

import sys

from services.ingest.service import IngestService
from services.ingest.settings import IngestSettings
from shared.runtime.service import run_main

if __name__ == "__main__":
    sys.exit(run_main("ingest", IngestSettings.read, IngestService))
