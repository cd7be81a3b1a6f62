"""The paper's 22 networks of one task (Mallol-Ragolta et al. 2022, tables 2 to 4)."""

from collections.abc import Sequence
from itertools import combinations
from typing import get_args

from shared.contracts.modality import MODALITY_NAMES
from training.datasets.recording import DatasetError
from training.experiment.results import Encoder, Fusion, Variant

ENCODERS: tuple[Encoder, ...] = get_args(Encoder)
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)


def variants(encoders: Sequence[Encoder] = ENCODERS, modalities: Sequence[str] = MODALITY_NAMES) -> list[Variant]:
    """Every subset of the modalities, by each fusion where there is something to fuse, by each encoder."""
    subsets = [subset for size in range(1, len(modalities) + 1) for subset in combinations(modalities, size)]
    return [
        Variant(encoder, subset, fusion)
        for encoder in encoders
        for subset in subsets
        for fusion in (FUSIONS if len(subset) > 1 else (None,))
    ]


def choose(names: Sequence[str], encoders: Sequence[Encoder], modalities: Sequence[str]) -> list[Variant]:
    """The named variants, in the order of the names; without names all that the encoders and modalities give.

    Raises:
        DatasetError: a name is none of them, or needs a modality that the data do not have.
    """
    possible = variants(encoders, modalities)
    if not names:
        return possible
    by_name = {variant.name: variant for variant in possible}
    for name in names:
        if name not in by_name:
            raise DatasetError(f"variant {name!r}", f"not possible here, known are {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(names)]
