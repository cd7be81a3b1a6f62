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
from shared.contracts.errors import BundleError, InvalidRecord
from shared.contracts.modality import MODALITIES
from shared.contracts.window import WindowRecord
from shared.model.bundle import load_bundle
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
        self.feature_version = self._model.manifest.feature_version
        self.reference = self._model.manifest.reference
        self._try_out()

    def _try_out(self) -> None:
        """Run the model on a valid window; raises BundleError when it fails."""
        features = {m.name: np.zeros(m.feature_shape, dtype=np.float16) for m in MODALITIES}
        try:
            answer = self._model.probabilities([features], [dict.fromkeys(features, True)], [(0, 0, 0)])
        except Exception as error:
            raise BundleError(f"the model fails on a window of zeros: {error!r}") from error
        if not np.isfinite(answer).all():
            raise BundleError("the model gives no finite probability for a window of zeros")

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
