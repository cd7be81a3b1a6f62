"""Training: the measures against hand-counted numbers, a small set that is learnt, the bundle that ships."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.labels import HAR7, LABEL_SETS
from shared.modality import BY_NAME, NAMES
from shared.model.bundle import CARD, load_bundle
from shared.model.network import NetworkConfig
from training.datasets.held_out import DEMO_PEOPLE
from training.datasets.recording import BASE_MS, Label, Recording
from training.evaluate import cross_validate, fold_of_people, summary
from training.loop import TrainingSettings, balanced_probability, fit, predict, with_lent_heart_rate
from training.metrics import cell_uar, confusion_matrix, recalls, uar, uar_by_person
from training.samples import Samples, collect, concatenate
from training.train import split_demo, train

DEFAULT = Path(__file__).parents[2] / "models" / "default"

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 0, 1, 1, 0, 2])


def test_confusion_matrix_has_truth_in_rows() -> None:
    np.testing.assert_array_equal(
        confusion_matrix(TRUTH, SAID, 4), [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    )


def test_recalls_and_uar_are_those_counted_by_hand() -> None:
    np.testing.assert_array_equal(recalls(confusion_matrix(TRUTH, SAID, 4)), [0.75, 0.5, 1.0, np.nan])
    assert uar(TRUTH, SAID, 4) == pytest.approx((0.75 + 0.5 + 1.0) / 3)
    assert np.isnan(uar(TRUTH[:0], SAID[:0], 4))


def test_uar_by_person_counts_the_classes_that_the_person_has() -> None:
    person = np.array(["a", "a", "a", "b", "b", "b", "b"])
    assert uar_by_person(TRUTH, SAID, person, 3) == {"a": 1.0, "b": pytest.approx((0.0 + 0.5 + 1.0) / 3)}


def test_cell_uar_averages_over_the_sets_that_hold_a_class() -> None:
    dataset = np.array(["x", "x", "x", "y", "y", "y", "y"])
    # Class 0: 1.0 in x, 0.0 in y; class 1: 0.5 in y only; class 2: 1.0 in y only.
    assert cell_uar(TRUTH, SAID, dataset, 3) == pytest.approx((0.5 + 0.5 + 1.0) / 3)


def made_up(n: int, seed: int = 0, *, heart_rate: bool = True, dataset: str = "made_up") -> Samples:
    """Walking swings, sitting does not, lying is turned by 1 g: any network must tell them apart."""
    rng = np.random.default_rng(seed)
    activity = np.array(["lying", "sitting", "walking"])[np.arange(n) % 3]
    features = {name: np.zeros((n, *BY_NAME[name].feature_shape), dtype=np.float16) for name in NAMES}
    features["accelerometer"] += rng.normal(scale=0.05, size=features["accelerometer"].shape).astype(np.float16)
    features["accelerometer"][activity == "lying", 0] += 1.0
    swing = np.sin(np.arange(500) / 2.0).astype(np.float16)
    features["accelerometer"][activity == "walking", 1:6] += swing
    features["steps"][activity == "walking", 0] = 2.0
    mask = np.ones((n, 3), dtype=bool)
    mask[:, NAMES.index("heart_rate")] = heart_rate
    person = np.array([f"{dataset}-{(i // 3) % 6}" for i in range(n)])
    return Samples(features, mask, activity, person, np.array([dataset] * n), np.arange(n) * 10_000)


CLASSES = ("lying", "sitting", "walking")
QUICK = TrainingSettings(learning_rate=1e-2, batch_size=16, max_epochs=12, patience=4)


@pytest.mark.parametrize("fusion", ["concatenation", "outer_product"])
def test_a_small_set_is_learnt_and_every_mask_still_works(fusion: str) -> None:
    config = NetworkConfig(CLASSES, fusion=fusion)  # type: ignore[arg-type]
    network = fit(config, made_up(180), QUICK, epochs=12).network
    test = made_up(90, seed=2)
    for masked in (test, test.without("heart_rate"), test.without("heart_rate").without("steps")):
        assert uar(masked.targets(CLASSES), predict(network, masked), 3) > 0.9


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    fitted = fit(NetworkConfig(CLASSES), made_up(180), QUICK, held_out=made_up(90, seed=1))
    best = max(fitted.uar_by_epoch)
    assert best > 0.95
    assert fitted.epochs == fitted.uar_by_epoch.index(best) + 1
    assert len(fitted.uar_by_epoch) == min(QUICK.max_epochs, fitted.epochs + QUICK.patience)


def test_the_same_seed_gives_the_same_weights() -> None:
    config, samples = NetworkConfig(CLASSES), made_up(60)
    one, two = (fit(config, samples, QUICK, epochs=2).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = fit(config, samples, TrainingSettings(seed=1), epochs=2).network.state_dict()
    assert not torch.equal(one["classifier.1.weight"], other["classifier.1.weight"])


def test_fit_stops_early_or_after_a_number_of_epochs_not_both() -> None:
    with pytest.raises(ValueError, match="either held_out"):
        fit(NetworkConfig(CLASSES), made_up(30), QUICK)


def test_classes_are_drawn_alike() -> None:
    samples = made_up(30).take(np.array([*range(30), 0, 0, 0, 3, 3]))
    probability = balanced_probability(samples)
    assert probability.sum() == pytest.approx(1.0)
    for name in CLASSES:
        assert probability[samples.activity == name].sum() == pytest.approx(1 / 3)


def test_a_heart_rate_is_lent_only_to_windows_without_one() -> None:
    samples = concatenate([made_up(30), made_up(30, heart_rate=False, dataset="other")])
    rows, rng = np.arange(60), np.random.default_rng(0)
    lent = with_lent_heart_rate(samples, rows, 0.5, rng)
    np.testing.assert_array_equal(lent[:30], rows[:30])
    changed = lent[30:] != rows[30:]
    assert 0 < changed.sum() < 30
    assert samples.mask[lent[30:][changed], NAMES.index("heart_rate")].all()
    nobody = made_up(30, heart_rate=False)
    np.testing.assert_array_equal(with_lent_heart_rate(nobody, rows[:30], 1.0, rng), rows[:30])


def test_folds_share_no_person_and_spread_each_data_set() -> None:
    samples = concatenate([made_up(90), made_up(90, dataset="other")])
    fold = fold_of_people(samples, 3, seed=0)
    for person in np.unique(samples.person):
        assert len(set(fold[samples.person == person])) == 1
    for dataset in ("made_up", "other"):
        assert set(fold[samples.dataset == dataset]) == {0, 1, 2}
    with pytest.raises(ValueError, match="12 people"):
        fold_of_people(samples, 13, seed=0)


def test_cross_validation_predicts_every_window_once() -> None:
    samples = made_up(90)
    *_, (last, unseen) = cross_validate(NetworkConfig(CLASSES), samples, QUICK, folds=3)
    assert last == 2
    assert (unseen.predicted >= 0).all()
    assert len(unseen.epochs) == 3
    assert min(unseen.epochs) <= unseen.median_epochs <= max(unseen.epochs)
    assert summary(samples, unseen.predicted, CLASSES)["uar"] > 0.9


def test_targets_name_a_foreign_activity() -> None:
    with pytest.raises(ValueError, match="'walking' is none of lying, sitting"):
        made_up(3).targets(("lying", "sitting"))


def test_windows_come_from_the_live_path_with_emulated_steps() -> None:
    t_ms = BASE_MS + np.arange(0, 90_000, 40.0)
    wave = 500.0 * np.sin(2 * np.pi * 2.0 * (t_ms - BASE_MS) / 1000)
    mg = np.stack([np.zeros_like(wave), np.zeros_like(wave), 1000.0 + wave], axis=1)
    labels = (Label(BASE_MS + 20_000, BASE_MS + 60_000, "walking"),)
    recording = Recording("ann", "watch", "made up", "none", t_ms, mg, labels=labels)
    samples = collect("made_up", [recording])
    assert (samples.start_ms - BASE_MS).tolist() == [20_000, 30_000, 40_000]
    assert samples.person.tolist() == ["made_up-ann"] * 3
    assert samples.mask.tolist() == [[True, False, True]] * 3
    assert samples.features["steps"][:, 0, 1:].mean() == pytest.approx(2.0, abs=0.1)
    with pytest.raises(ValueError, match="made_up: no window"):
        collect("made_up", [Recording("bob", "watch", "made up", "none", t_ms, mg)])


def test_train_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    samples = made_up(90, dataset="wisdm")
    of_demo = f"wisdm-{DEMO_PEOPLE['wisdm'][0]}"
    samples = replace(samples, person=np.where(samples.person == "wisdm-0", of_demo, samples.person))
    known, demo = split_demo(samples)
    assert set(demo.person) == {of_demo}
    assert len(known) + len(demo) == len(samples)
    manifest = train(tmp_path, samples, NetworkConfig(CLASSES), QUICK, name="tiny", version="0.0.1")
    assert manifest.trained_on == {"wisdm": ["1", "2", "3", "4", "5"]}
    assert load_bundle(tmp_path).name_version == "tiny@0.0.1"
    assert "WISDM" in (tmp_path / CARD).read_text()


def test_the_default_bundle_loads_and_knows_nobody_of_the_demo() -> None:
    model = load_bundle(DEFAULT)
    assert model.label_set == "har7"
    assert model.classes == HAR7 == LABEL_SETS["har7"]
    assert model.modalities == NAMES
    assert (DEFAULT / CARD).is_file()
    for dataset, people in model.manifest.trained_on.items():
        assert people
        assert not set(people) & set(DEMO_PEOPLE[dataset])
    assert model.manifest.metrics["unseen_people"].values["uar"] >= 0.66


def test_the_default_bundle_tells_made_up_stillness_from_swinging() -> None:
    model = load_bundle(DEFAULT)
    samples = made_up(6)
    features = [{name: samples.features[name][i] for name in NAMES} for i in range(6)]
    masks = [{"accelerometer": True, "heart_rate": False, "steps": True} for _ in range(6)]
    moving = model.probabilities(features, masks)[:, [HAR7.index(n) for n in ("walking", "running", "stairs")]]
    swings = samples.activity == "walking"
    assert moving.sum(axis=1)[swings].min() > 0.5
    assert moving.sum(axis=1)[~swings].max() < 0.5
