"""Dice by hand, and the options of the four published settings."""

import math

import pytest
import torch
from monai.losses.dice import DiceLoss

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.losses import dice

EVEN = math.log(3)
"""A logit whose sigmoid is 3/4; against 0 in two channels, its softmax too."""


def voxels(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, 2, 2, 2)


def test_region_by_hand_on_eight_voxels() -> None:
    masks = voxels(1, 1, 1, 1, 0, 0, 0, 0)
    logits = voxels(EVEN, EVEN, 0, 0, 0, 0, -EVEN, -EVEN)  # probabilities 3/4, 3/4, 1/2 ... 1/4: 4 in all
    overlap = 0.75 + 0.75 + 0.5 + 0.5
    assert float(dice.build(False)(logits, masks)) == pytest.approx(1 - 2 * overlap / (4 + 4), abs=1e-5)


def test_squared_prediction_by_hand_on_eight_voxels() -> None:
    masks = voxels(1, 1, 1, 1, 0, 0, 0, 0)
    logits = voxels(EVEN, EVEN, 0, 0, 0, 0, -EVEN, -EVEN)
    squares = 2 * 0.75**2 + 4 * 0.5**2 + 2 * 0.25**2
    loss = dice.build(False, squared_prediction=True, smooth_numerator=0.0)
    assert float(loss(logits, masks)) == pytest.approx(1 - 2 * 2.5 / (squares + 4), abs=1e-5)


def test_background_of_exclusive_classes_counts_only_when_asked_for() -> None:
    foreground = voxels(1, 0, 0, 0, 0, 0, 0, 0)
    masks = torch.cat([1 - foreground, foreground], dim=1)
    logits = torch.zeros_like(masks)
    of_foreground, of_background = 1 - 2 * 0.5 / (4 + 1), 1 - 2 * 3.5 / (4 + 7)
    assert float(dice.build(True)(logits, masks)) == pytest.approx(of_foreground, abs=1e-5)
    both = dice.build(True, include_background=True, smooth_numerator=0.0, smooth_denominator=1e-9)
    assert float(both(logits, masks)) == pytest.approx((of_foreground + of_background) / 2, abs=1e-5)


def test_regions_have_no_background_to_leave_out() -> None:
    masks = torch.cat([voxels(1, 1, 1, 1, 0, 0, 0, 0), voxels(1, 0, 0, 0, 0, 0, 0, 0)], dim=1)
    logits = torch.randn(1, 2, 2, 2, 2)
    each = [dice.build(False)(logits[:, [region]], masks[:, [region]]) for region in (0, 1)]
    assert float(dice.build(False)(logits, masks)) == pytest.approx(float(sum(each)) / 2)


def test_a_sample_counts_for_itself_unless_the_batch_is_pooled() -> None:
    masks = torch.cat([voxels(*[1] * 8), voxels(1, *[0] * 7)])
    logits = torch.zeros_like(masks)
    apart = ((1 - 2 * 4 / (4 + 8)) + (1 - 2 * 0.5 / (4 + 1))) / 2
    assert float(dice.build(False)(logits, masks)) == pytest.approx(apart, abs=1e-5)
    assert float(dice.build(False, batch=True)(logits, masks)) == pytest.approx(1 - 2 * 4.5 / (8 + 9), abs=1e-5)


def test_nothing_there_and_nothing_found_is_perfect() -> None:
    masks = torch.zeros(1, 1, 4, 4, 4)
    assert float(dice.build(False)(torch.full_like(masks, -50), masks)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("wrong", [{"smooth_denominator": 0.0}, {"smooth_numerator": -1.0}])
def test_smoothing_that_would_divide_by_nothing_is_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        components.assemble("losses", {"name": "dice", **wrong}, True)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("batch", [False, True])
def test_value_and_gradient_are_those_of_monai(squared: bool, exclusive: bool, batch: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 5, 6, 7), generator=generator)
    masks = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    logits = torch.randn(masks.shape, generator=generator, requires_grad=True)
    theirs = DiceLoss(
        softmax=exclusive, sigmoid=not exclusive, include_background=not exclusive, squared_pred=squared, batch=batch
    )
    found = dice.build(exclusive, squared_prediction=squared, batch=batch)(logits, masks)
    expected = theirs(logits, masks)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (found, expected)))


@pytest.mark.parametrize("squared", [False, True])
def test_small_overlap_in_a_large_volume_is_exact_in_float32(squared: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(1, 1, 128, 128, 128, generator=generator) > 0.99).float()
    logits = torch.randn(masks.shape, generator=generator) - 6
    found = 1 - dice.build(False, squared_prediction=squared)(logits, masks).item()
    probabilities, truth = logits.double().sigmoid(), masks.double()
    extent = (probabilities.square() if squared else probabilities).sum() + truth.sum()
    assert found == pytest.approx(float(2 * (probabilities * truth).sum() / extent), rel=1e-4)


def test_shapes_that_would_broadcast_are_an_error() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        dice.build(False)(torch.zeros(1, 2, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4))
