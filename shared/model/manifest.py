"""The manifest of a model bundle, and checks that it fits this code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from shared.contracts.errors import BundleError
from shared.contracts.labels import LABEL_SETS, OTHER, answers_of
from shared.contracts.modality import MODALITY_BY_NAME, WINDOW_MS
from shared.model.network import Encoder, Fusion, NetworkConfig
from shared.signal.features import FEATURE_VERSION

Share = Annotated[float, Meta(ge=0, le=1)]
SHARES_TOLERANCE = 0.001
"""Tolerance, because shares are rounded."""


class Measurement(Struct, frozen=True, forbid_unknown_fields=True):
    """Values, and what they were measured on: data, people, protocol."""

    measured_on: str
    values: dict[str, float]


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """Distribution of the network's answers for unknown people, to compare those for users with.

    ``activities``: share of each answer, including "unknown". ``confidence_deciles``: the nine values between the
    tenths of the windows, ascending; ``confidence_shares``: how many windows lie between them (an edge is in the bin
    above it), a tenth each unless many confidences are equal.
    """

    measured_on: str
    activities: dict[str, Share]
    confidence_deciles: Annotated[tuple[Share, ...], Meta(min_length=9, max_length=9)]
    confidence_shares: Annotated[tuple[Share, ...], Meta(min_length=10, max_length=10)]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest of a bundle. ``classes`` are in the order of the network's outputs, ``OTHER`` among them if learnt.

    ``abstain_below``: a window whose highest probability is lower is "unknown". Without ``reference`` no drift is
    measured.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    version: Annotated[str, Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
    label_set: str
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    encoder: Encoder
    fusion: Fusion
    feature_version: int
    feature_shapes: dict[str, tuple[int, int]]
    window_ms: int
    temperature: Annotated[float, Meta(gt=0)]
    trained_on: dict[str, list[str]]
    seeds: list[int]
    created: str
    licence: str
    metrics: dict[str, Measurement]
    weights_sha256: str = ""
    abstain_below: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    reference: Reference | None = None

    @property
    def config(self) -> NetworkConfig:
        """The network of the weights; raises ValueError if there is no such network."""
        return NetworkConfig(self.classes, self.modalities, self.encoder, self.fusion)


def check_manifest(path: Path, manifest: Manifest) -> None:
    """Raise BundleError, with ``path`` as the file, for the first field that does not fit this code."""
    if manifest.feature_version != FEATURE_VERSION:
        raise BundleError(f"{path}: feature_version {manifest.feature_version}, the features are {FEATURE_VERSION}")
    if manifest.window_ms != WINDOW_MS:
        raise BundleError(f"{path}: window_ms {manifest.window_ms}, the windows have {WINDOW_MS}")
    try:
        _ = manifest.config
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error
    check_keys(path, manifest.modalities, manifest.feature_shapes)
    for name, shape in manifest.feature_shapes.items():
        if shape != (computed := MODALITY_BY_NAME[name].feature_shape):
            raise BundleError(f"{path}: feature_shapes.{name} is {shape}, the features have {computed}")
    if manifest.label_set not in LABEL_SETS:
        raise BundleError(f"{path}: label_set {manifest.label_set!r}, known are {', '.join(LABEL_SETS)}")
    if foreign := [name for name in manifest.classes if name not in (*LABEL_SETS[manifest.label_set], OTHER)]:
        raise BundleError(f"{path}: class {foreign[0]!r} is not in label set {manifest.label_set}")
    if manifest.reference is not None:
        _check_reference(path, manifest.reference, manifest.classes)


def _check_reference(path: Path, reference: Reference, classes: Sequence[str]) -> None:
    if set(reference.activities) != set(answers := answers_of(classes)):
        raise BundleError(f"{path}: reference.activities needs {', '.join(answers)} and nothing else")
    for name, shares in (
        ("activities", reference.activities.values()),
        ("confidence_shares", reference.confidence_shares),
    ):
        if abs(sum(shares) - 1) > SHARES_TOLERANCE:
            raise BundleError(f"{path}: reference.{name} sums to {sum(shares):g}, not to 1")
    if list(reference.confidence_deciles) != sorted(reference.confidence_deciles):
        raise BundleError(f"{path}: reference.confidence_deciles do not ascend")


def check_keys(path: Path, expected: Sequence[str] | Mapping[str, object], actual: Mapping[str, object]) -> None:
    """Raise BundleError for the first name that only one of the two has."""
    if missing := [name for name in expected if name not in actual]:
        raise BundleError(f"{path}: {missing[0]} is missing")
    if extra := [name for name in actual if name not in expected]:
        raise BundleError(f"{path}: {extra[0]} is not of this network")
