"""Finished tests of an evaluation on disk, so that an interrupted training goes on where it stopped.

A checkpoint is found by a digest of everything that its result depends on besides the code: the windows, the network's
structure and the settings. Predictions are NumPy arrays, weights safetensors: reading them runs no code.
"""

import hashlib
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from shared.model.network import FusionNetwork, NetworkConfig
from training.evaluation.predictions import HeldOutPredictions
from training.samples import Samples
from training.trainer.sampling import TrainingSettings


class Checkpoints:
    """A folder of finished tests."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def digest_of(
        self, config: NetworkConfig, settings: TrainingSettings, samples: Samples, train: NDArray[np.bool_], name: str
    ) -> str:
        """Return the key of one test. ``train``: (n,) the windows that its network is trained on."""
        digest = hashlib.sha256(repr((name, astuple(config), settings)).encode())
        names = (samples.activity, samples.detail, samples.person, samples.dataset)
        for array in (*names, samples.start_ms, samples.mask, samples.baseline_mg, train):
            digest.update(np.ascontiguousarray(array).tobytes())
        for features in samples.features.values():
            digest.update(np.ascontiguousarray(features).data)
        return digest.hexdigest()[:32]

    def read(
        self, key: str, name: str, number: int, rows: NDArray[np.int64], config: NetworkConfig
    ) -> HeldOutPredictions | None:
        """Return the finished test, or None."""
        if not (path := self._folder / f"{key}.npz").exists():
            return None
        stored = np.load(path, allow_pickle=False)
        network = FusionNetwork(config)
        network.load_state_dict(load_file(path.with_suffix(".safetensors")))
        names = tuple(stored["detail_names"].tolist())
        details = stored["detail_logits"] if names else None
        return HeldOutPredictions(name, number, rows, stored["logits"], names, details, network.eval())

    def write(self, key: str, done: HeldOutPredictions) -> None:
        """Keep a finished test."""
        path = self._folder / f"{key}.npz"
        save_file(done.network.state_dict(), path.with_suffix(".safetensors"))
        partial = path.with_suffix(".partial.npz")
        details = np.empty(0) if done.detail_logits is None else done.detail_logits
        np.savez_compressed(
            partial, logits=done.logits, detail_logits=details, detail_names=np.array(done.detail_names, dtype=np.str_)
        )
        # Last, and whole: with it the checkpoint counts.
        partial.replace(path)
