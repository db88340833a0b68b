from __future__ import annotations

import math

import pytest
import torch

from torchio_seg.config.optimizations import Optimization
from torchio_seg.config.sections import Training
from torchio_seg.errors import TrainingError
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.step import MOST_SKIPPED_IN_A_ROW, Stepper, supervised


def squared_error(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return (logits - masks).square().mean()


def stepper(settings: Training, optimizer: str = "sgd", seed: int = 0) -> Stepper:
    torch.manual_seed(seed)
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    choice = Optimization(optimizer=optimizer, schedule="constant", learning_rate=0.1, momentum=0.0)  # type: ignore[arg-type]
    rule = build_optimizer(network.parameters(), choice)
    schedule = Schedule(rule, choice, 100)
    return Stepper(network, squared_error, rule, schedule, settings=settings, device=torch.device("cpu"))


def pair(seed: int, samples: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, 1, 6, 6, 6, generator=generator)
    return images, (torch.rand(samples, 2, 6, 6, 6, generator=generator) > 0.5).float()


def weights(one: Stepper) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in one.network.parameters()])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_lower_the_loss(precision: str) -> None:
    one = stepper(Training(precision=precision), "adam")  # type: ignore[arg-type]
    losses = [one([pair(0)]).loss for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]


def test_two_accumulated_batches_do_what_one_of_both_does() -> None:
    together, apart = stepper(Training()), stepper(Training(accumulate=2))
    (first, first_masks), (second, second_masks) = pair(1), pair(2)
    together([(torch.cat([first, second]), torch.cat([first_masks, second_masks]))])
    apart([(first, first_masks), (second, second_masks)])
    assert torch.allclose(weights(together), weights(apart), atol=1e-7)


def test_a_long_gradient_is_shortened_to_the_limit() -> None:
    free, clipped = stepper(Training(clip_norm=None)), stepper(Training(clip_norm=0.01))
    start = weights(free).clone()
    norm = free([pair(3)]).gradient_norm
    assert clipped([pair(3)]).gradient_norm == pytest.approx(norm)
    moved = (weights(clipped) - start).norm()
    assert float(moved) == pytest.approx(0.1 * 0.01, rel=1e-3)  # learning rate times the longest gradient
    assert float((weights(free) - start).norm()) == pytest.approx(0.1 * norm, rel=1e-3)


def test_a_batch_that_is_not_finite_changes_nothing_and_a_row_of_them_stops() -> None:
    one = stepper(Training())
    images, masks = pair(4)
    before = weights(one).clone()
    for _ in range(MOST_SKIPPED_IN_A_ROW - 1):
        result = one([(images * math.nan, masks)])
        assert result.skipped
    assert torch.equal(weights(one), before)
    assert not one([(images, masks)]).skipped
    assert one.skipped_in_a_row == 0
    for _ in range(MOST_SKIPPED_IN_A_ROW - 1):
        one([(images * math.nan, masks)])
    with pytest.raises(TrainingError, match="learning_rate"):
        one([(images * math.nan, masks)])


def test_a_restored_stepper_goes_on_as_if_nothing_had_happened() -> None:
    whole, halves = stepper(Training(), "adamw"), stepper(Training(), "adamw")
    for seed in range(6):
        whole([pair(seed)])
    for seed in range(3):
        halves([pair(seed)])
    state, kept = halves.state(), {name: tensor.clone() for name, tensor in halves.network.state_dict().items()}
    resumed = stepper(Training(), "adamw", seed=7)
    resumed.network.load_state_dict(kept)
    resumed.restore(state)
    for seed in range(3, 6):
        resumed([pair(seed)])
    assert torch.equal(weights(whole), weights(resumed))


def test_deep_supervision_weighs_coarser_outputs_less() -> None:
    masks = torch.ones(1, 1, 8, 8, 8)
    fine, coarse = torch.zeros(1, 1, 8, 8, 8), torch.full((1, 1, 4, 4, 4), 3.0)
    value = supervised(squared_error, [fine, coarse], masks)
    assert float(value) == pytest.approx((1 * 1 + 0.5 * 4) / 1.5)
    assert float(supervised(squared_error, fine, masks)) == 1.0
