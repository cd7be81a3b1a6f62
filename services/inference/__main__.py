"""``python -m services.inference``: the model, with settings from the environment."""

import sys

from services.inference.service import InferenceService
from services.inference.settings import InferenceSettings
from shared.runtime.service import run_main

if __name__ == "__main__":
    sys.exit(run_main("inference", InferenceSettings.read, InferenceService))
