"""Questions without labels, their answers, and networks that begin with what they taught."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.model.network import NetworkConfig
from tests.training.separable_samples import CLASSES, QUICK, made_up
from training.evaluation.pretraining import (
    PretrainingOutcome,
    choose_people,
    compare_pretraining,
    pretraining_table,
)
from training.samples import concatenate
from training.trainer.loop import fit
from training.trainer.pretraining import PARTS, PretrainingSettings, pretrain_encoder, transform

FEW = PretrainingSettings(steps=15, batch_size=16)


def windows(n: int = 8):
    return torch.from_numpy(np.random.default_rng(1).normal(size=(n, 3, 500)).astype(np.float32))


def transformed(g, *answers: bool):
    return transform(g, torch.tensor([answers] * len(g)), torch.Generator().manual_seed(0))


def test_nothing_changes_where_no_answer_is_yes():
    g = windows()
    assert torch.equal(transformed(g, False, False, False), g)


def test_time_runs_backwards():
    g = windows()
    assert torch.equal(transformed(g, True, False, False), g.flip(2))


def test_parts_are_in_another_order_and_all_there():
    g = windows(64)
    changed = transformed(g, False, True, False)
    for window, other in zip(g, changed, strict=True):
        parts, found = (list(each.split(500 // PARTS, dim=1)) for each in (window, other))
        places = [next(i for i, part in enumerate(parts) if torch.equal(part, piece)) for piece in found]
        assert sorted(places) == list(range(PARTS)) != places


def test_the_tempo_changes_and_the_ends_stay():
    # A ramp shows the time of each sample.
    ramp = torch.linspace(0, 1, 500).expand(8, 3, 500)
    warped = transformed(ramp, False, False, True)
    steps = warped.diff(dim=2)
    assert (steps >= -1e-6).all()
    assert (steps.amax(dim=2) > 1.1 * steps.amin(dim=2)).all()
    torch.testing.assert_close(warped[:, :, 0], torch.zeros(8, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(warped[:, :, -1], torch.ones(8, 3), atol=1e-4, rtol=0)


def test_a_network_begins_with_the_pretrained_weights_and_labels_are_not_looked_at():
    samples = made_up(60)
    pretrained = pretrain_encoder(samples, FEW)
    blind = pretrain_encoder(replace(samples, activity=samples.activity[::-1]), FEW)
    assert all(torch.equal(pretrained.weights[name], blind.weights[name]) for name in pretrained.weights)
    assert set(pretrained.accuracy) == {"reversed", "permuted", "warped"}
    config = NetworkConfig(CLASSES, encoder="multi_scale")
    first = fit(config, samples, replace(QUICK, steps=10, learning_rate=1e-9), pretrained.weights).network
    begun = first.encoders["accelerometer"].state_dict()["level1.0.weight"]
    torch.testing.assert_close(begun, pretrained.weights["level1.0.weight"], atol=1e-5, rtol=0)


def test_still_windows_teach_nothing():
    samples = made_up(6)
    still = {name: np.zeros_like(array) for name, array in samples.features.items()}
    with pytest.raises(ValueError, match="nothing moves"):
        pretrain_encoder(replace(samples, features=still), FEW)


def test_a_smaller_share_of_people_is_part_of_a_larger_one():
    samples = concatenate([made_up(90), made_up(90, dataset="other")])
    tenth, half = (choose_people(samples, share, seed=0) for share in (0.1, 0.5))
    assert [len(np.unique(samples.person[rows])) for rows in (tenth, half)] == [2, 6]
    assert half[tenth].all()
    assert choose_people(samples, 1.0, seed=0).all()


def test_every_test_has_a_network_with_and_one_without():
    samples = concatenate([made_up(60), made_up(60, dataset="other")])
    config = NetworkConfig(CLASSES, encoder="multi_scale")
    settings = replace(QUICK, steps=10)
    found = list(
        compare_pretraining(
            samples, made_up(30, seed=3), config, settings, FEW, folds=1, unknown=["other"], processes=2
        )
    )
    assert [(one.test, one.share, one.pretrained) for one in found] == [
        (test, share, flag)
        for test, share in (("fold 1 of 5", 0.1), ("fold 1 of 5", 0.3), ("fold 1 of 5", 1.0), ("other", 1.0))
        for flag in (False, True)
    ]
    assert {person.partition("-")[0] for person in found[-1].people} == {"other"}


def test_the_table_pairs_people():
    outcomes = [
        PretrainingOutcome("fold 1 of 5", 0.1, False, 0.5, {"a": 0.4, "b": 0.6}),
        PretrainingOutcome("fold 1 of 5", 0.1, True, 0.6, {"a": 0.6, "b": 0.8}),
        PretrainingOutcome("wisdm", 1.0, False, 0.8, {"c": 0.8, "d": 0.8}),
        PretrainingOutcome("wisdm", 1.0, True, 0.8, {"c": 0.7, "d": 0.92}),
    ]
    table = pretraining_table(outcomes)
    assert "| unknown people | 10% | 0.500 | 0.600 | +0.200 ± 0.000 | better |" in table
    assert "| wisdm, unknown device | 100% | 0.800 | 0.800 | +0.010 ± 0.220 | noise |" in table
