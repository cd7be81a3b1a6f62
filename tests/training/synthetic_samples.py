"""Made-up windows whose activities can be distinguished: no person was measured."""

import numpy as np

from shared.signal.features import accelerometer_features, heart_rate_features, steps_features
from training.datasets.recording import BASE_MS
from training.samples import Samples

CLASSES = ("sitting", "walking", "running")
STRIDES_HZ = (0.0, 1.8, 2.8)
AMPLITUDES_MG = (2.0, 250.0, 900.0)


def made_up(people=6, each=6, *, datasets=("a", "b"), heart_rate=True, seed=0):
    """``each`` windows of every class per person, 20 s apart, activities in blocks; people alternate over the sets.

    Only the first data set has heart rate.
    """
    rng = np.random.default_rng(seed)
    n, k = people * each * len(CLASSES), each * len(CLASSES)
    number = np.tile(np.repeat(np.arange(len(CLASSES)), each), people)
    of_person = np.repeat(np.arange(people), k)
    seconds = np.arange(500) / 25
    phase = 2 * np.pi * (np.array(STRIDES_HZ)[number][:, None] * seconds + rng.random((n, 1)))
    wave = np.array(AMPLITUDES_MG)[number][:, None] * np.sin(phase)  # (n, time)
    gravity = rng.normal(0, 100, (people, 3))[of_person] + [300.0, -850.0, 350.0]
    mg = gravity[:, :, None] + wave[:, None] * np.array([0.3, 1.0, 0.2])[:, None] + rng.normal(0, 3, (n, 3, 500))
    baseline_mg = np.rint(gravity + rng.normal(0, 150, (n, 3))).astype(np.int64)
    bpm = 70.0 + 25 * number[:, None, None] + 5 * of_person[:, None, None] + 0.5 * np.arange(20)
    total = np.cumsum(np.repeat(np.array([0, 2, 3])[number][:, None, None], 20, axis=2), axis=2)
    dataset = np.array(datasets)[of_person % len(datasets)]
    beats = heart_rate & (dataset == datasets[0])
    pulse = heart_rate_features(bpm, np.full(n, 70.0)) * beats[:, None, None]
    return Samples(
        features={
            "accelerometer": accelerometer_features(mg, baseline_mg).astype(np.float16),
            "heart_rate": pulse.astype(np.float16),
            "steps": steps_features(total).astype(np.float16),
        },
        mask=np.stack([np.ones(n, dtype=bool), beats, np.ones(n, dtype=bool)], axis=1),
        baseline_mg=baseline_mg,
        activity=np.array(CLASSES)[number],
        detail=np.full(n, ""),
        person=np.char.add(np.char.add(dataset, "-"), of_person.astype(str)),
        dataset=dataset,
        start_ms=BASE_MS + 20_000 * np.tile(np.arange(k), people),
    )
