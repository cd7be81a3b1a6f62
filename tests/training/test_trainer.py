"""What is drawn, how it is altered, and that a small set is learnt."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from shared.contracts.labels import OTHER
from shared.contracts.modality import MODALITY_NAMES
from shared.model.network import BASELINE, Fusion, NetworkConfig
from tests.training.separable_samples import CLASSES, QUICK, made_up, right
from training.evaluation.evaluate import (
    cross_validate,
    detail_uars,
)
from training.samples import concatenate
from training.trainer.augment import Augmentation
from training.trainer.loop import detail_logits, fit
from training.trainer.sampling import BatchSampler, sampling_probability, with_donor_heart_rate


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
    batch = BatchSampler(
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


def test_classes_are_drawn_equally_often() -> None:
    samples = made_up(30).take(np.array([*range(30), 0, 0, 0, 3, 3]))
    probability = sampling_probability(samples, np.ones(len(samples), bool), QUICK)
    assert probability.sum() == pytest.approx(1.0)
    for name in CLASSES:
        assert probability[samples.activity == name].sum() == pytest.approx(1 / 3)


def test_other_activities_are_drawn_more_often_than_a_class() -> None:
    samples = made_up(30)
    samples = replace(samples, activity=np.where(samples.activity == "lying", OTHER, samples.activity))
    probability = sampling_probability(samples, np.ones(len(samples), bool), replace(QUICK, other_weight=3.0))
    assert probability[samples.activity == OTHER].sum() == pytest.approx(3 / 5)
    assert probability[samples.activity == "sitting"].sum() == pytest.approx(1 / 5)


def test_a_data_set_counts_by_the_root_of_its_windows_and_the_unlabelled_have_their_share() -> None:
    samples = concatenate([made_up(48), made_up(12, dataset="other"), made_up(30, dataset="unlabelled")])
    known = samples.dataset != "unlabelled"
    settings = replace(QUICK, unlabelled_share=0.3)
    probability = sampling_probability(samples, known, settings)
    assert probability.sum() == pytest.approx(1.0)
    assert probability[~known].sum() == pytest.approx(0.3)
    for name in CLASSES:
        of_class = samples.activity == name
        large, small = (probability[of_class & (samples.dataset == dataset)].sum() for dataset in ("made_up", "other"))
        assert large + small == pytest.approx(0.7 / 3)
        assert large == pytest.approx(2 * small)
    # Otherwise every window counts alike.
    alike = sampling_probability(samples, known, replace(settings, balanced=False))
    np.testing.assert_allclose(alike[known], 0.7 / 60)
    np.testing.assert_allclose(alike[~known], 0.3 / 30)


def test_a_batch_is_altered_with_its_baseline_and_holds_what_the_encoder_looks_at() -> None:
    samples = replace(made_up(30), baseline_mg=np.tile([30, -40, 0], (30, 1)))
    for encoder, channels in (("cnn", 9), ("multi_scale", 3)):
        config = NetworkConfig(CLASSES, encoder=encoder)
        plain, altered, again = (
            BatchSampler(samples, config, replace(QUICK, augmentation=augmentation), (), np.random.default_rng(0))()
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
    donated = with_donor_heart_rate(samples, rows, 0.5, rng)
    np.testing.assert_array_equal(donated[:30], rows[:30])
    changed = donated[30:] != rows[30:]
    assert 0 < changed.sum() < 30
    assert samples.mask[donated[30:][changed], MODALITY_NAMES.index("heart_rate")].all()
    nobody = made_up(30, heart_rate=False)
    np.testing.assert_array_equal(with_donor_heart_rate(nobody, rows[:30], 1.0, rng), rows[:30])


def test_training_goes_on_from_what_har2_has_taught() -> None:
    config, samples, short = NetworkConfig(CLASSES), made_up(90), replace(QUICK, steps=10)
    plain, taught = (fit(config, samples, replace(short, har2_share=share)).network for share in (0.0, 10.0))
    moved = [
        (a - b).abs().max().item()
        for a, b in zip(plain.encoders.parameters(), taught.encoders.parameters(), strict=True)
    ]
    # Ten steps alone move no weight by more than 0.1.
    assert max(moved) > 0.2
