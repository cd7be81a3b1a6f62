"""Networks trained together are those that torch's own layers, loop and Adam give one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from shared.contracts.modality import MODALITY_NAMES
from shared.model.network import FusionNetwork, NetworkConfig
from tests.training.noise_cohort import cohort, protocol
from training.experiment import reference_trainer
from training.experiment.job import EarlyStopping, Job
from training.experiment.results import Variant
from training.experiment.stacked import Windows, predict, train_together
from training.experiment.stacked_fusion import Dropout, hidden
from training.experiment.stacked_network import StackedNetworks
from training.experiment.variants import variants

COHORT = cohort(people=6, windows=10)
ROWS = np.arange(len(COHORT.target))
STEEP = protocol(batch_size=8, max_epochs=8, patience=3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x)


def jobs_of_unequal_size() -> list[Job]:
    """Other numbers of batches, other last batches, other ends."""
    return [Job(ROWS[:21], (0, 1), epochs=2), Job(ROWS[10:50], (0, 2), epochs=1), Job(ROWS[30:47], (0, 3), epochs=3)]


# Torch's own GRU takes long for 500 steps: one modality and all of them stand for the others.
CHECKED = [
    variant
    for variant in variants()
    if variant.encoder == "cnn" or "accelerometer" not in variant.modalities or len(variant.modalities) == 1
] + [Variant("gru", MODALITY_NAMES, "outer_product")]


@pytest.mark.usefixtures("no_dropout")
@pytest.mark.parametrize("variant", CHECKED, ids=lambda variant: variant.name)
def test_every_loss_and_weight_is_that_of_the_plain_loop(variant: Variant) -> None:
    config, jobs = variant.config(COHORT.classes), jobs_of_unequal_size()
    losses: list[list[float]] = [[] for _ in jobs]
    together = train_together(config, Windows.of(COHORT, config), jobs, STEEP, dropout=0.0, losses=losses)
    assert [len(steps) for steps in losses] == [6, 5, 9]
    for job, trained, steps in zip(jobs, together, losses, strict=True):
        alone: list[float] = []
        network, epochs = reference_trainer.train(config, COHORT, job, STEEP, losses=alone)
        assert trained.epochs == epochs == job.epochs
        np.testing.assert_allclose(steps, alone, atol=2e-5)
        for name, tensor in network.state_dict().items():
            # Batch norm takes the convolution's bias away again: its gradient is rounding, which Adam makes steps of.
            if tensor.is_floating_point() and not name.endswith(("convolution.bias", "running_mean")):
                torch.testing.assert_close(trained.state[name], tensor, atol=2e-4, rtol=1e-3)


@pytest.mark.usefixtures("no_dropout")
@pytest.mark.parametrize("encoder", ["cnn", "gru"])
def test_early_stopping_ends_where_the_plain_loop_does(encoder: str) -> None:
    variant = Variant(encoder, ("heart_rate", "steps"), "concatenation")
    config = variant.config(COHORT.classes)
    jobs = [Job(ROWS[first : first + 30], (5, first), validation=ROWS[40:]) for first in range(6)]
    together = train_together(config, Windows.of(COHORT, config), jobs, STEEP, dropout=0.0)
    alone = [reference_trainer.train(config, COHORT, job, STEEP)[1] for job in jobs]
    assert [trained.epochs for trained in together] == alone
    assert len(set(alone)) > 1  # else nobody has left the stack early


@pytest.mark.parametrize("encoder", ["cnn", "gru"])
def test_networks_trained_together_are_those_trained_alone(encoder: str) -> None:
    config = Variant(encoder, ("accelerometer", "steps"), "outer_product").config(COHORT.classes)
    windows, jobs = Windows.of(COHORT, config), jobs_of_unequal_size()
    together = train_together(config, windows, jobs, STEEP)
    for job, trained in zip(jobs, together, strict=True):
        (alone,) = train_together(config, windows, [job], STEEP)
        for name, tensor in alone.state.items():
            torch.testing.assert_close(trained.state[name], tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("encoder", ["cnn", "gru"])
def test_what_is_said_is_what_the_network_says(encoder: str) -> None:
    config = Variant(encoder, ("accelerometer", "heart_rate", "steps"), "outer_product").config(COHORT.classes)
    windows = Windows.of(COHORT, config)
    trained = train_together(config, windows, jobs_of_unequal_size(), STEEP)
    rows = [ROWS[:7], ROWS, ROWS[50:]]
    decide = predict(StackedNetworks(config, [one.state for one in trained]), windows, rows)
    for one, own, answers in zip(trained, rows, decide, strict=True):
        network = FusionNetwork(config)
        network.load_state_dict(one.state, strict=False)
        np.testing.assert_array_equal(answers, reference_trainer.predict(network, COHORT, own))


def test_the_first_weights_are_torchs_and_the_global_generator_is_left_alone() -> None:
    config = NetworkConfig(("a", "b"))
    torch.manual_seed(3)
    expected, after = FusionNetwork(config).state_dict(), torch.rand(1)
    torch.manual_seed(3)
    FusionNetwork(config)
    state = StackedNetworks.initial(config, [7, 3]).state(1)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_dropout_drops_its_share_and_scales_the_rest() -> None:
    masks = Dropout([np.random.default_rng(seed) for seed in (0, 1)], (64, 4913), 0.3).mask(64)
    assert masks.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float((masks > 0).float().mean()) == pytest.approx(0.7, abs=0.003)
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("modalities", [2, 3])
def test_the_outer_products_gradient_is_autograds(modalities: int) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = [torch.randn(2, 5, 16, generator=generator, requires_grad=True) for _ in range(modalities)]
    weight = torch.randn(2, 16, 17**modalities, generator=generator, requires_grad=True)
    bias = torch.randn(2, 16, generator=generator, requires_grad=True)
    dropout = Dropout([np.random.default_rng(seed) for seed in (0, 1)], (8, 17**modalities), 0.3)
    extended = [torch.nn.functional.pad(one, (0, 1), value=1.0) for one in embeddings]
    fused = extended[0]
    for factor in extended[1:]:
        fused = torch.einsum("mbi,mbj->mbij", fused, factor).flatten(2)
    expected = torch.einsum("mbf,mof->mbo", fused * dropout.mask(5), weight) + bias[:, None]
    actual = hidden(embeddings, "outer_product", weight, bias, dropout)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
    wanted = [*embeddings, weight, bias]
    probe = torch.randn(actual.shape, generator=generator)
    for got, true in zip(
        torch.autograd.grad(actual, wanted, probe), torch.autograd.grad(expected, wanted, probe), strict=True
    ):
        torch.testing.assert_close(got, true, atol=1e-3, rtol=1e-3)


def test_early_stopping_waits_and_ends() -> None:
    stopping = EarlyStopping(patience=2, max_epochs=10)
    assert [stopping.stops_after(uar) for uar in (0.5, 0.6, 0.6, 0.55)] == [False, False, False, True]
    stopping = EarlyStopping(patience=20, max_epochs=3)
    assert [stopping.stops_after(uar) for uar in (0.5, 0.6, 0.7)] == [False, False, True]


def test_a_job_ends_by_validation_or_by_number() -> None:
    with pytest.raises(ValueError, match="give either validation"):
        Job(ROWS, (0,))
    batches = next(Job(ROWS[:20], (0,), epochs=1).epochs_of_batches(8))
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert sorted(np.concatenate(batches)) == ROWS[:20].tolist()
