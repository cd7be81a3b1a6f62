"""Training: the measures against hand-counted numbers, a small set that is learnt, the bundle that ships."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from shared.labels import HAR7, LABEL_SETS
from shared.modality import BY_NAME, NAMES
from shared.model.bundle import CARD, load_bundle
from shared.model.network import BASELINE, Fusion, FusionNetwork, NetworkConfig
from training.corpus import of_label_set, split_demo
from training.datasets.held_out import DEMO_PEOPLE
from training.datasets.recording import BASE_MS, Label, Recording
from training.measure.evaluate import (
    counted,
    cross_validate,
    detail_uars,
    fold_of_people,
    gather,
    leave_one_dataset_out,
    summary,
)
from training.metrics import cell_uar, confusion_matrix, recalls, uar, uar_by_person
from training.recipe.augment import Augmentation
from training.recipe.draw import Draw, TrainingSettings, draw_probability, with_lent_heart_rate
from training.recipe.loop import detail_logits, fit, logits
from training.samples import Samples, collect, concatenate
from training.train import train

MODELS = Path(__file__).parents[2] / "models"

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
    detail = np.char.add(f"{dataset}/", activity)
    start_ms = np.arange(n, dtype=np.int64) * 10_000
    datasets, baseline_mg = np.array([dataset] * n), np.zeros((n, 3), dtype=np.int64)
    return Samples(features, mask, baseline_mg, activity, detail, person, datasets, start_ms)


CLASSES = ("lying", "sitting", "walking")
QUICK = TrainingSettings(learning_rate=1e-2, batch_size=16, steps=150, augmentation=None)


def right(network: FusionNetwork, samples: Samples) -> float:
    return uar(samples.targets(CLASSES), logits(network, samples).argmax(axis=1), 3)


@pytest.mark.parametrize("encoder", ["cnn", "multi_scale"])
@pytest.mark.parametrize("fusion", get_args(Fusion))
def test_a_small_set_is_learnt_and_every_mask_still_works(encoder, fusion) -> None:
    network = fit(NetworkConfig(CLASSES, encoder=encoder, fusion=fusion), made_up(180), QUICK).network
    test = made_up(90, seed=2)
    for masked in (test, test.without("heart_rate"), test.without("heart_rate").without("steps")):
        assert right(network, masked) > 0.9


def test_the_same_seed_gives_the_same_weights() -> None:
    config, samples = NetworkConfig(CLASSES, encoder="multi_scale"), made_up(60)
    settings = replace(QUICK, steps=20, augmentation=Augmentation())
    one, two = (fit(config, samples, settings).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = fit(config, samples, replace(settings, seed=1)).network.state_dict()
    assert not torch.equal(one["classifier.1.weight"], other["classifier.1.weight"])


def test_windows_of_no_class_teach_the_second_head_alone() -> None:
    samples = made_up(90)
    hidden = replace(samples, activity=np.where(samples.activity == "lying", "", samples.activity))
    classes = ("sitting", "walking")
    batch = Draw(
        hidden, NetworkConfig(classes), QUICK, ("made_up/lying", "made_up/sitting"), np.random.default_rng(0)
    )()
    assert set(batch.target.tolist()) == {-1, 0, 1}
    assert (batch.detail[batch.target == -1] == 0).all()
    fitted = fit(NetworkConfig(classes), hidden, QUICK)
    assert fitted.detail_names == ("made_up/lying", "made_up/sitting", "made_up/walking")
    folds = list(cross_validate(NetworkConfig(classes), hidden, QUICK, folds=2))
    assert detail_uars(hidden, folds)["uar_of_3_names.made_up"] > 0.9
    with pytest.raises(ValueError, match="no window is of the classes"):
        fit(NetworkConfig(("running", "cycling")), samples, QUICK)


def test_classes_are_drawn_alike() -> None:
    samples = made_up(30).take(np.array([*range(30), 0, 0, 0, 3, 3]))
    probability = draw_probability(samples, np.ones(len(samples), bool), QUICK)
    assert probability.sum() == pytest.approx(1.0)
    for name in CLASSES:
        assert probability[samples.activity == name].sum() == pytest.approx(1 / 3)


def test_a_data_set_counts_by_the_root_of_its_windows_and_the_unlabelled_have_their_share() -> None:
    samples = concatenate([made_up(48), made_up(12, dataset="other"), made_up(30, dataset="unlabelled")])
    known = samples.dataset != "unlabelled"
    settings = replace(QUICK, unlabelled_share=0.3)
    probability = draw_probability(samples, known, settings)
    assert probability.sum() == pytest.approx(1.0)
    assert probability[~known].sum() == pytest.approx(0.3)
    for name in CLASSES:
        of_class = samples.activity == name
        large, small = (probability[of_class & (samples.dataset == dataset)].sum() for dataset in ("made_up", "other"))
        assert large + small == pytest.approx(0.7 / 3)
        assert large == pytest.approx(2 * small)
    # Otherwise every window counts alike.
    alike = draw_probability(samples, known, replace(settings, balanced=False))
    np.testing.assert_allclose(alike[known], 0.7 / 60)
    np.testing.assert_allclose(alike[~known], 0.3 / 30)


def test_a_batch_is_altered_with_its_baseline_and_holds_what_the_encoder_looks_at() -> None:
    samples = replace(made_up(30), baseline_mg=np.tile([30, -40, 0], (30, 1)))
    for encoder, channels in (("cnn", 9), ("multi_scale", 3)):
        config = NetworkConfig(CLASSES, encoder=encoder)
        plain, altered, again = (
            Draw(samples, config, replace(QUICK, augmentation=augmentation), (), np.random.default_rng(0))()
            for augmentation in (
                None,
                Augmentation(noise_g=0, stretch=0, scale=0),
                Augmentation(noise_g=0, stretch=0, scale=0),
            )
        )
        assert plain.features["accelerometer"].shape == (16, channels, 500)
        torch.testing.assert_close(plain.features[BASELINE], torch.tensor([[0.03, -0.04, 0.0]]).expand(16, 3))
        assert not torch.allclose(altered.features[BASELINE], plain.features[BASELINE])
        torch.testing.assert_close(altered.features[BASELINE].norm(dim=1), torch.full((16,), 0.05))
        assert torch.equal(altered.features["accelerometer"], again.features["accelerometer"])
        assert torch.equal(altered.target, plain.target)
        for name in ("heart_rate", "steps"):
            assert torch.equal(altered.features[name], plain.features[name])


def test_a_network_without_a_second_head_says_so() -> None:
    samples = made_up(60)
    fitted = fit(NetworkConfig(CLASSES), samples, replace(QUICK, steps=20, detail_weight=0.0))
    assert (fitted.details, fitted.detail_names) == (None, ())
    with pytest.raises(ValueError, match="without a second head"):
        detail_logits(fitted, samples)
    folds = list(cross_validate(NetworkConfig(CLASSES), samples, replace(QUICK, steps=20, detail_weight=0.0), folds=2))
    assert detail_uars(samples, folds) == {}


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


def test_cross_validation_judges_every_window_once() -> None:
    samples, config = made_up(90), NetworkConfig(CLASSES)
    folds = list(cross_validate(config, samples, QUICK, folds=3))
    assert [fold.name for fold in folds] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    found = gather(samples, folds)
    assert not np.isnan(found).any()
    judged = counted(samples, found, config)
    assert len(judged.samples) == 45  # every second window overlaps the one before
    assert summary(judged.samples, judged.logits.argmax(axis=1), CLASSES)["uar"] > 0.9


def test_each_data_set_is_judged_by_a_network_of_the_others() -> None:
    other = made_up(90, dataset="other")
    # Here the other set's words are swapped: who has learnt from the first set alone is wrong about it.
    swap = {"lying": "sitting", "sitting": "lying", "walking": "walking"}
    other = replace(other, activity=np.array([swap[name] for name in other.activity.tolist()]))
    samples, config = concatenate([made_up(90), other]), NetworkConfig(CLASSES)
    for processes in (1, 2):
        folds = {fold.name: fold for fold in leave_one_dataset_out(config, samples, QUICK, processes=processes)}
        assert set(folds) == {"made_up", "other"}
        judged = counted(samples.take(folds["other"].rows), folds["other"].logits, config)
        assert summary(judged.samples, judged.logits.argmax(axis=1), CLASSES)["uar"] == pytest.approx(1 / 3, abs=0.05)


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
    assert (samples.activity == "walking").all()
    assert (samples.detail == "").all()
    with pytest.raises(ValueError, match="made_up: no window"):
        collect("made_up", [Recording("bob", "watch", "made up", "none", t_ms, mg)])


def test_windows_with_the_sources_own_name_alone_are_kept_and_each_keeps_its_baseline() -> None:
    t_ms = BASE_MS + np.arange(0, 90_000, 40.0)
    mg = np.random.default_rng(0).normal([300, -30, 980], 50, (len(t_ms), 3))
    mg[len(mg) // 2 :, 0] -= 900.0
    labels = (Label(BASE_MS, BASE_MS + 40_000, "walking"),)
    details = (Label(BASE_MS, BASE_MS + 30_000, "slowly"), Label(BASE_MS + 50_000, BASE_MS + 80_000, "typing"))
    samples = collect("set", [Recording("ann", "watch", "", "", t_ms, mg, labels=labels, details=details)])
    assert (samples.start_ms - BASE_MS).tolist() == [0, 10_000, 20_000, 50_000, 60_000]
    assert samples.activity.tolist() == ["walking", "walking", "walking", "", ""]
    assert samples.detail.tolist() == ["set/slowly", "set/slowly", "", "set/typing", "set/typing"]
    # What was taken away and what is left are what was measured.
    assert len(np.unique(samples.baseline_mg, axis=0)) > 1
    for row, start_ms in enumerate(samples.start_ms):
        measured = mg[(t_ms >= start_ms) & (t_ms < start_ms + 20_000)].mean(axis=0)
        whole = samples.features["accelerometer"][row, :3].astype(float).mean(axis=1) * 1000 + samples.baseline_mg[row]
        np.testing.assert_allclose(whole, measured, atol=2)
    both = concatenate([samples, samples]).take(np.array([0, 8]))
    assert both.detail.tolist() == ["set/slowly", "set/typing"]
    np.testing.assert_array_equal(both.baseline_mg, samples.baseline_mg[[0, 3]])


def test_what_a_label_set_has_no_name_for_stays_only_with_a_name_of_its_own() -> None:
    samples = made_up(9)
    renamed = np.where(samples.activity == "lying", "washing_hands", samples.activity)
    samples = replace(samples, activity=renamed, detail=np.array(["made_up/washing", *[""] * 8]))
    assert of_label_set(samples, "har10").activity.tolist() == renamed.tolist()
    assert of_label_set(samples, "har7").activity.tolist() == ["", *["sitting", "walking"] * 3]
    assert of_label_set(samples, "har2").activity.tolist() == ["", *["static", "dynamic"] * 3]
    assert of_label_set(samples, "har7").detail[0] == "made_up/washing"


def test_train_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    samples = made_up(90, dataset="wisdm")
    of_demo = f"wisdm-{DEMO_PEOPLE['wisdm'][0]}"
    samples = replace(samples, person=np.where(samples.person == "wisdm-0", of_demo, samples.person))
    known, demo = split_demo(samples)
    assert set(demo.person) == {of_demo}
    assert len(known) + len(demo) == len(samples)
    manifest = train(tmp_path, samples, NetworkConfig(CLASSES), QUICK, name="tiny", version="0.0.1")
    assert manifest.trained_on == {"wisdm": ["1", "2", "3", "4", "5"]}
    model = load_bundle(tmp_path)
    assert model.name_version == "tiny@0.0.1"
    assert model.abstain_below == manifest.abstain_below
    values = manifest.metrics["unseen_people"].values
    assert {"ece_raw", "ece", "answered", "accuracy", "accuracy_of_answered"} <= values.keys()
    assert values["accuracy_of_answered"] >= values["accuracy"]
    assert manifest.metrics["demo_people"].values["people"] == 1
    assert "WISDM" in (tmp_path / CARD).read_text()


@pytest.mark.parametrize("name", ["default", "gaitway-cnn"])
def test_a_bundle_that_ships_loads_and_knows_nobody_of_the_demo(name: str) -> None:
    model = load_bundle(MODELS / name)
    assert model.label_set == "har7"
    assert model.classes == HAR7 == LABEL_SETS["har7"]
    assert model.modalities == NAMES
    assert (MODELS / name / CARD).is_file()
    for dataset, people in model.manifest.trained_on.items():
        assert people
        assert not set(people) & set(DEMO_PEOPLE.get(dataset, ()))
    assert model.manifest.metrics["unseen_people"].values["uar"] >= 0.66


@pytest.mark.parametrize("name", ["default", "gaitway-cnn"])
def test_a_bundle_that_ships_tells_made_up_stillness_from_swinging(name: str) -> None:
    model = load_bundle(MODELS / name)
    samples = made_up(6)
    features = [{name: samples.features[name][i] for name in NAMES} for i in range(6)]
    masks = [{"accelerometer": True, "heart_rate": False, "steps": True} for _ in range(6)]
    probabilities = model.probabilities(features, masks, [(0, 0, 0)] * 6)
    moving = probabilities[:, [HAR7.index(n) for n in ("walking", "running", "stairs")]]
    swings = samples.activity == "walking"
    assert moving.sum(axis=1)[swings].min() > 0.5
    assert moving.sum(axis=1)[~swings].max() < 0.5
