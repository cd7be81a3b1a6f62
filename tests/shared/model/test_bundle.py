"""Bundles: a round trip, and a clear refusal of everything that does not fit."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from shared.contracts.errors import BundleError
from shared.contracts.labels import HAR7, UNKNOWN
from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES, WINDOW_MS
from shared.contracts.window import FeatureArrays
from shared.model.bundle import FORWARD_BATCH, MANIFEST, WEIGHTS, load_bundle, save_bundle
from shared.model.manifest import Manifest, Measurement
from shared.model.network import BASELINE, FusionNetwork, NetworkConfig
from shared.signal.features import FEATURE_VERSION


def manifest_of(config: NetworkConfig, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "tiny",
        "version": "1.2.3",
        "label_set": "har7",
        "classes": config.classes,
        "modalities": config.modalities,
        "encoder": config.encoder,
        "fusion": config.fusion,
        "feature_version": FEATURE_VERSION,
        "feature_shapes": {name: MODALITY_BY_NAME[name].feature_shape for name in config.modalities},
        "window_ms": WINDOW_MS,
        "temperature": 1.0,
        "trained_on": {"made_up": ["1", "2"]},
        "seeds": [0],
        "created": "2022-11-09",
        "licence": "Apache-2.0",
        "metrics": {"nothing": Measurement("no data", {"uar": 0.5})},
    }
    return Manifest(**(values | changes))


Windows = tuple[list[FeatureArrays], list[dict[str, bool]], list[tuple[int, int, int]]]


def windows(n: int, seed: int = 0) -> Windows:
    """What ``probabilities`` takes: features, masks, baselines in mg."""
    rng = np.random.default_rng(seed)
    features = [
        {name: rng.normal(size=MODALITY_BY_NAME[name].feature_shape).astype(np.float16) for name in MODALITY_NAMES}
        for _ in range(n)
    ]
    masks = [{"accelerometer": True, "heart_rate": bool(i % 2), "steps": bool(i % 3)} for i in range(n)]
    return features, masks, [(int(x), int(y), int(z)) for x, y, z in rng.integers(-1000, 1000, (n, 3))]


VARIANTS = [
    ("cnn", "outer_product"),
    ("gru", "outer_product"),
    ("multi_scale", "concatenation"),
    ("multi_scale", "low_rank"),
    ("multi_scale", "gated"),
]


@pytest.fixture(params=VARIANTS, ids="_".join)
def network(request: pytest.FixtureRequest) -> FusionNetwork:
    torch.manual_seed(1)
    encoder, fusion = request.param
    return FusionNetwork(NetworkConfig(HAR7, encoder=encoder, fusion=fusion))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    net = FusionNetwork(NetworkConfig(HAR7))
    save_bundle(tmp_path / "tiny", net, manifest_of(net.config))
    return tmp_path / "tiny"


def test_a_saved_bundle_loads_as_the_same_model(tmp_path: Path, network: FusionNetwork) -> None:
    written = save_bundle(tmp_path, network, manifest_of(network.config))
    model = load_bundle(tmp_path)
    assert model.manifest == written
    assert model.name_version == "tiny@1.2.3"
    features, masks, baselines_mg = windows(5)
    probabilities = model.probabilities(features, masks, baselines_mg)
    assert probabilities.shape == (5, 7)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(np.stack([f[name] for f in features])).float() for name in MODALITY_NAMES}
        tensors[BASELINE] = torch.tensor(baselines_mg) / 1000
        logits = network.eval()(tensors, torch.tensor([[m[name] for name in MODALITY_NAMES] for m in masks]))
    np.testing.assert_allclose(probabilities, torch.softmax(logits.double(), 1).numpy(), atol=1e-6)


def test_the_same_bundle_is_written_as_the_same_bytes(tmp_path: Path, network: FusionNetwork) -> None:
    for name in ("a", "b"):
        save_bundle(tmp_path / name, network, manifest_of(network.config))
    for file in (MANIFEST, WEIGHTS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_probabilities_do_not_depend_on_the_batch(tmp_path: Path, network: FusionNetwork) -> None:
    save_bundle(tmp_path, network, manifest_of(network.config))
    model = load_bundle(tmp_path)
    many = windows(33)
    whole = model.probabilities(*many)
    np.testing.assert_array_equal(whole, model.probabilities(*many))
    for size in (1, 7):
        parts = [model.probabilities(*(each[i : i + size] for each in many)) for i in range(0, 33, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-6)


def test_no_windows_give_no_rows(bundle: Path) -> None:
    assert load_bundle(bundle).probabilities([], [], []).shape == (0, 7)


def test_temperature_flattens(tmp_path: Path) -> None:
    net = FusionNetwork(NetworkConfig(HAR7))
    save_bundle(tmp_path / "cold", net, manifest_of(net.config))
    save_bundle(tmp_path / "hot", net, manifest_of(net.config, temperature=1e6))
    few = windows(3)
    np.testing.assert_allclose(load_bundle(tmp_path / "hot").probabilities(*few), 1 / 7, atol=1e-4)
    assert load_bundle(tmp_path / "cold").probabilities(*few).std() > 1e-3


def test_a_window_keeps_its_own_baseline_beyond_one_forward_pass(tmp_path: Path, network: FusionNetwork) -> None:
    save_bundle(tmp_path, network, manifest_of(network.config))
    model = load_bundle(tmp_path)
    features, masks, baselines_mg = windows(1)
    n = FORWARD_BATCH + 5
    alone = model.probabilities(features, masks, baselines_mg)
    other = model.probabilities(features, masks, [(900, -700, 300)])
    many = model.probabilities(features * n, masks * n, [*baselines_mg * (n - 1), (900, -700, 300)])
    np.testing.assert_allclose(many[:-1], alone.repeat(n - 1, axis=0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(many[-1:], other, rtol=0, atol=1e-6)
    # Only "multi_scale" looks at it.
    difference = np.abs(other - alone).max()
    assert difference > 1e-5 if network.config.encoder == "multi_scale" else difference == 0


def test_the_confidence_below_which_a_bundle_abstains(bundle: Path, tmp_path: Path) -> None:
    assert load_bundle(bundle).abstain_below == 0.0
    net = FusionNetwork(NetworkConfig(HAR7))
    save_bundle(tmp_path / "shy", net, manifest_of(net.config, abstain_below=0.4))
    assert load_bundle(tmp_path / "shy").abstain_below == 0.4
    # Bundles that were made before there was such a thing.
    manifest = json.loads((bundle / MANIFEST).read_text())
    del manifest["abstain_below"]
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    assert load_bundle(bundle).abstain_below == 0.0


SHARES = dict.fromkeys((*HAR7, UNKNOWN), 0.125)
REFERENCE = {
    "measured_on": "made up",
    "activities": SHARES,
    "confidence_deciles": [tenth / 10 for tenth in range(1, 10)],
    "confidence_shares": [0.1] * 10,
}


def test_a_reference_is_kept_and_may_be_missing(bundle: Path) -> None:
    assert load_bundle(bundle).manifest.reference is None
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"reference": REFERENCE}))
    kept = load_bundle(bundle).manifest.reference
    assert kept is not None
    assert kept.activities == SHARES
    del manifest["reference"]
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    assert load_bundle(bundle).manifest.reference is None


@pytest.mark.parametrize("file", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    with pytest.raises(BundleError, match=f"{file}: No such file"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"feature_version": FEATURE_VERSION + 1}, "feature_version"),
        ({"window_ms": 10_000}, "window_ms 10000"),
        ({"feature_shapes": {"accelerometer": [3, 500], "heart_rate": [3, 20], "steps": [2, 20]}}, "feature_shapes"),
        ({"feature_shapes": {"accelerometer": [9, 500]}}, "heart_rate is missing"),
        ({"modalities": ["accelerometer", "gyroscope"]}, "gyroscope"),
        ({"label_set": "har99"}, "label_set 'har99'"),
        ({"label_set": "har2"}, "class 'lying' is not in label set har2"),
        ({"classes": [*HAR7[:-1], "flying"]}, "class 'flying'"),
        ({"encoder": "transformer"}, "encoder"),
        ({"temperature": 0.0}, "temperature"),
        ({"abstain_below": -0.1}, "abstain_below"),
        ({"abstain_below": 1.0}, "abstain_below"),
        ({"abstain_below": "never"}, "abstain_below"),
        ({"name": "a@b"}, "name"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"weights_sha256": "0" * 64}, "SHA-256"),
        ({"fusion": "outer_product"}, "classifier.1.weight has shape"),
        ({"encoder": "gru"}, "is missing"),
        ({"encoder": "multi_scale"}, "is missing"),
        ({"fusion": "gated"}, "fusion.gates.weight is missing"),
        ({"reference": REFERENCE | {"activities": {"lying": 1.0}}}, "reference.activities needs lying, sitting"),
        ({"reference": REFERENCE | {"activities": SHARES | {"walking": 0.5}}}, "reference.activities sums to 1.375"),
        ({"reference": REFERENCE | {"confidence_deciles": [0.5] * 8 + [0.4]}}, "confidence_deciles do not ascend"),
        ({"reference": REFERENCE | {"confidence_shares": [0.2] * 10}}, "reference.confidence_shares sums to 2"),
        ({"reference": REFERENCE | {"confidence_deciles": [0.1, 0.2]}}, "reference.confidence_deciles"),
        ({"reference": REFERENCE | {"activities": SHARES | {"walking": -0.5}}}, "reference.activities"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(bundle: Path, changes: dict[str, Any], named: str) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(manifest | changes))
    with pytest.raises(BundleError, match=named) as error:
        load_bundle(bundle)
    assert str(bundle) in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": "x"}'])
def test_what_is_no_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=MANIFEST):
        load_bundle(bundle)


def _without_a_key(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["classifier.3.bias"]


def _with_a_key_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["spare"] = torch.zeros(1)


def _of_another_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["classifier.3.bias"] = torch.zeros(8)


def _not_finite(tensors: dict[str, torch.Tensor]) -> None:
    tensors["classifier.3.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_without_a_key, "classifier.3.bias is missing"),
        (_with_a_key_more, "spare is not of this network"),
        (_of_another_shape, r"classifier.3.bias has shape \(8,\)"),
        (_not_finite, "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    bundle: Path, change: Callable[[dict[str, torch.Tensor]], None], named: str
) -> None:
    tensors = load_file(bundle / WEIGHTS)
    change(tensors)
    save_file(tensors, bundle / WEIGHTS)
    _sign(bundle)
    with pytest.raises(BundleError, match=named):
        load_bundle(bundle)


def test_weights_that_are_no_safetensors_are_refused(bundle: Path) -> None:
    (bundle / WEIGHTS).write_bytes(b"not safetensors")
    _sign(bundle)
    with pytest.raises(BundleError, match=WEIGHTS):
        load_bundle(bundle)


def _sign(bundle: Path) -> None:
    """Make the checksum fit, so that only what is tested is wrong."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["weights_sha256"] = hashlib.sha256((bundle / WEIGHTS).read_bytes()).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def test_a_manifest_of_another_network_is_not_saved(tmp_path: Path) -> None:
    net = FusionNetwork(NetworkConfig(HAR7))
    with pytest.raises(BundleError, match="another network"):
        save_bundle(tmp_path, net, manifest_of(NetworkConfig(HAR7, fusion="outer_product")))
    assert not list(tmp_path.iterdir())
