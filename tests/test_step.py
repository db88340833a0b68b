from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from torchio_seg.config.optimizations import Optimization
from torchio_seg.config.sections import Training
from torchio_seg.errors import TrainingError
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.step import MOST_SKIPPED_IN_A_ROW, Stepper, supervised
from torchio_seg.targets import leave_out_ignored


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


@pytest.mark.parametrize(("settings", "groups"), [({"batch_size": 3}, [3]), ({"batch_size": 5}, [5, 3])])
@pytest.mark.parametrize("at_once", [1, 2])
def test_every_sample_counts_the_same_in_uneven_portions(
    settings: dict[str, Any], groups: list[int], at_once: int
) -> None:
    """Of samples that differ as much as 1 and 100."""
    images, masks = pair(7, sum(groups))
    images = images * torch.logspace(0, 2, len(images)).view(-1, 1, 1, 1, 1)
    whole = stepper(Training())
    portions = stepper(Training(patches_at_once=at_once, **settings))
    wanted = whole([(images, masks)])
    found = portions(list(zip(images.split(groups), masks.split(groups), strict=True)))
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert found.gradient_norm == pytest.approx(wanted.gradient_norm, rel=1e-5)
    assert torch.allclose(weights(whole), weights(portions), rtol=1e-4, atol=1e-6)


def test_samples_of_which_nothing_is_known_count_nowhere_in_portions() -> None:
    images, masks = pair(8, 5)
    masks[1:3] = math.nan
    masks[4, :, :3] = math.nan
    steppers = [stepper(Training(batch_size=5, patches_at_once=at_once)) for at_once in (5, 2, 1)]
    for one in steppers:
        one.loss = leave_out_ignored(squared_error)
    losses = [one([(images, masks)]).loss for one in steppers]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    for one in steppers[1:]:
        assert torch.allclose(weights(one), weights(steppers[0]), atol=1e-6)
    nothing = one([(images, torch.full_like(masks, math.nan))])
    assert nothing.loss == nothing.gradient_norm == 0


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
    assert float(supervised(squared_error, [fine, coarse], masks, 1.0)) == pytest.approx((1 + 4) / 2)
