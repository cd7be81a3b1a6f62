"""The model off the event loop."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.events import ModelName
from shared import metrics
from shared.model.bundle import load_bundle
from shared.records.window import WindowRecord


class Classifier:
    """A bundle and the one thread that runs it: torch on the event loop would stop heartbeats."""

    def __init__(self, bundle: Path, threads: int) -> None:
        """Raises BundleError."""
        torch.set_num_threads(threads)
        self._model = load_bundle(bundle)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.name = ModelName(self._model.name_version, self._model.label_set, self._model.abstain_below)
        self.classes = tuple(self._model.classes)
        self.feature_version = self._model.manifest.feature_version
        self.reference = self._model.manifest.reference

    async def classify(self, windows: Sequence[WindowRecord]) -> NDArray[np.float64]:
        """(n, classes) probabilities."""
        began_s = time.perf_counter()
        probabilities = await asyncio.get_running_loop().run_in_executor(
            self._thread,
            self._model.probabilities,
            [window.features for window in windows],
            [window.mask for window in windows],
            [window.baseline.accelerometer.mg for window in windows],
        )
        metrics.MODEL_SECONDS.observe(time.perf_counter() - began_s)
        metrics.BATCH_WINDOWS.observe(len(windows))
        return probabilities

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
