"""Made-up windows that any network must tell apart, and settings that learn them quickly. No person was measured."""

import numpy as np

from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES
from shared.model.network import FusionNetwork
from training.metrics import uar
from training.samples import Samples
from training.trainer.loop import logits
from training.trainer.sampling import TrainingSettings


def made_up(n: int, seed: int = 0, *, heart_rate: bool = True, dataset: str = "made_up") -> Samples:
    """Walking swings, sitting does not, lying is turned by 1 g: any network must tell them apart."""
    rng = np.random.default_rng(seed)
    activity = np.array(["lying", "sitting", "walking"])[np.arange(n) % 3]
    features = {name: np.zeros((n, *MODALITY_BY_NAME[name].feature_shape), dtype=np.float16) for name in MODALITY_NAMES}
    features["accelerometer"] += rng.normal(scale=0.05, size=features["accelerometer"].shape).astype(np.float16)
    features["accelerometer"][activity == "lying", 0] += 1.0
    swing = np.sin(np.arange(500) / 2.0).astype(np.float16)
    features["accelerometer"][activity == "walking", 1:6] += swing
    features["steps"][activity == "walking", 0] = 2.0
    mask = np.ones((n, 3), dtype=bool)
    mask[:, MODALITY_NAMES.index("heart_rate")] = heart_rate
    person = np.array([f"{dataset}-{(i // 3) % 6}" for i in range(n)])
    detail = np.char.add(f"{dataset}/", activity)
    start_ms = np.arange(n, dtype=np.int64) * 10_000
    datasets, baseline_mg = np.array([dataset] * n), np.zeros((n, 3), dtype=np.int64)
    return Samples(features, mask, baseline_mg, activity, detail, person, datasets, start_ms)


CLASSES = ("lying", "sitting", "walking")
QUICK = TrainingSettings(learning_rate=1e-2, batch_size=16, steps=150, augmentation=None)


def right(network: FusionNetwork, samples: Samples) -> float:
    return uar(samples.targets(CLASSES), logits(network, samples).argmax(axis=1), 3)
