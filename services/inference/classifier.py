"""The model in a thread of its own."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.cloud_events import ModelName
from shared.contracts.errors import InvalidRecord
from shared.contracts.window import WindowRecord
from shared.model.bundle import load_bundle
from shared.model.trial import try_out
from shared.runtime import metrics

log = logging.getLogger("gaitway.inference")


class Classifier:
    """A bundle and the thread that runs it, because torch on the event loop would block heartbeats."""

    def __init__(self, bundle: Path, threads: int) -> None:
        """Load the bundle; raises BundleError, also when the model fails on a window of zeros."""
        torch.set_num_threads(threads)
        self._model = load_bundle(bundle)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.name = ModelName(self._model.name_version, self._model.label_set, self._model.abstain_below)
        self.classes = tuple(self._model.classes)
        self.manifest = self._model.manifest
        self.feature_version = self.manifest.feature_version
        self.reference = self.manifest.reference
        self._try_out()

    def _try_out(self) -> None:
        """Run the model on a valid window; raises BundleError when it fails."""
        try_out(self._model)

    async def classify(self, windows: Sequence[WindowRecord]) -> list[NDArray[np.float64] | InvalidRecord]:
        """Return (classes,) probabilities per window, or the reason why the model gives none for it.

        Raises:
            BundleError: the model fails on a valid window of zeros too.
        """
        try:
            return list(await self._run(windows))
        except MemoryError:
            raise
        except Exception as error:
            log.error("the model failed on a batch of %d windows: %r; classifying them one by one", len(windows), error)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._try_out)
        return [await self._alone(window) for window in windows]

    async def _alone(self, window: WindowRecord) -> NDArray[np.float64] | InvalidRecord:
        try:
            probabilities: NDArray[np.float64] = (await self._run([window]))[0]
            return probabilities
        except MemoryError:
            raise
        except Exception as error:
            return InvalidRecord(f"the model fails on this window: {error!r}", fault="model")

    async def _run(self, windows: Sequence[WindowRecord]) -> NDArray[np.float64]:
        began_s = time.perf_counter()
        probabilities = await self.compute(windows)
        metrics.MODEL_SECONDS.observe(time.perf_counter() - began_s)
        metrics.BATCH_WINDOWS.observe(len(windows))
        return probabilities

    async def compute(self, windows: Sequence[WindowRecord]) -> NDArray[np.float64]:
        """Return the (n, classes) probabilities, unmeasured; raises what the model raises."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread,
            self._model.probabilities,
            [window.features for window in windows],
            [window.mask for window in windows],
            [window.baseline.accelerometer.mg for window in windows],
        )

    def close(self) -> None:
        """End the thread once it has done what it has begun; the event loop does not wait for it."""
        self._thread.shutdown(wait=False)
