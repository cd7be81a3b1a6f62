"""``python -m services.features``: windows, baselines and features, with settings from the environment."""

import sys

from services.features.service import FeaturesService
from services.features.settings import FeaturesSettings
from shared.runtime.service import run_main

if __name__ == "__main__":
    sys.exit(run_main("features", FeaturesSettings.read, FeaturesService))
