"""One network to train: on which windows, until when, from which seed; and the random numbers that this takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class EarlyStopping:
    """After so many epochs without a lower 1 - UAR, or after the last one that is allowed."""

    def __init__(self, patience: int, max_epochs: int) -> None:
        self._patience = patience
        self._max_epochs = max_epochs
        self._best, self._best_epoch = np.inf, 0
        self.epochs = 0

    def stops_after(self, uar: float) -> bool:
        """Count one more epoch; ``uar`` is NaN where nothing was validated."""
        self.epochs += 1
        if 1.0 - uar < self._best:
            self._best, self._best_epoch = 1.0 - uar, self.epochs
        return self.epochs - self._best_epoch >= self._patience or self.epochs >= self._max_epochs


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Train on the windows ``train``: for ``epochs``, or, without, until the UAR on ``validation`` no longer rises."""

    train: NDArray[np.int64]
    seed: tuple[int, ...]
    validation: NDArray[np.int64] | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if (self.validation is None) == (self.epochs is None):
            raise ValueError("give either validation, to stop early, or epochs")

    @property
    def torch_seed(self) -> int:
        """What the first weights are drawn with."""
        return int(np.random.SeedSequence(self.seed).generate_state(1)[0])

    def dropout(self) -> np.random.Generator:
        """Where dropout's masks come from."""
        return np.random.default_rng([*self.seed, 1])

    def epochs_of_batches(self, batch_size: int) -> Iterator[list[NDArray[np.int64]]]:
        """Endlessly, an epoch's batches: all windows in a new order, the last batch as long as it is."""
        rng = np.random.default_rng([*self.seed, 0])
        while True:
            shuffled = rng.permutation(self.train)
            yield [shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size)]

    def stopping(self, patience: int, max_epochs: int) -> EarlyStopping:
        """When to end; without validation no epoch is ever better, so that ``epochs`` is a matter of patience."""
        return EarlyStopping(self.epochs or patience, self.epochs or max_epochs)
