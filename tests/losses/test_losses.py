"""What every loss keeps, tested over whatever lies in the folder, for the kinds of labels that it takes."""

from collections.abc import Callable

import pytest
import torch

from torchio_seg import components
from torchio_seg.errors import ConfigError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


pytestmark = pytest.mark.usefixtures("one_thread")


def kinds() -> list[tuple[str, bool]]:
    """Every loss with every kind of labels; a kind that it refuses in words is left to a test of its own."""
    taken = []
    for name in components.names("losses"):
        for exclusive in (True, False):
            try:
                components.assemble("losses", {"name": name}, exclusive)
            except ConfigError:
                continue
            taken.append((name, exclusive))
    return taken


contract = pytest.mark.parametrize(("name", "exclusive"), kinds())


def build(name: str, exclusive: bool) -> Loss:
    loss: Loss = components.assemble("losses", {"name": name}, exclusive)
    return loss


def random_masks(exclusive: bool, num_samples: int = 2) -> torch.Tensor:
    if exclusive:
        labels = torch.randint(0, 3, (num_samples, 6, 5, 4))
        return torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    return (torch.rand(num_samples, 3, 6, 5, 4) > 0.6).float()


def empty_masks(exclusive: bool) -> torch.Tensor:
    masks = torch.zeros(2, 3, 6, 5, 4)
    masks[:, 0] = float(exclusive)
    return masks


@pytest.mark.parametrize("name", components.names("losses"))
def test_every_loss_takes_one_kind_of_labels_at_least(name: str) -> None:
    assert name in {taken for taken, _ in kinds()}


@contract
def test_perfect_is_below_random_is_below_wrong(name: str, exclusive: bool) -> None:
    loss, masks = build(name, exclusive), random_masks(exclusive)
    perfect, wrong = 40 * masks - 20, 20 - 40 * masks
    values = [loss(logits, masks) for logits in (perfect, torch.randn_like(masks), wrong)]
    assert all(value.shape == () and value.dtype == torch.float32 and value.isfinite() for value in values)
    assert float(values[0]) == pytest.approx(0, abs=1e-4)
    assert values[0] < values[1] < values[2]


@contract
def test_following_the_gradient_lowers_the_loss(name: str, exclusive: bool) -> None:
    loss, masks = build(name, exclusive), random_masks(exclusive)
    logits = torch.randn_like(masks).requires_grad_()
    before = loss(logits, masks)
    before.backward()
    assert logits.grad is not None
    assert loss(logits - logits.grad, masks) < before


@contract
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, -1e4])
@pytest.mark.parametrize("make_masks", [random_masks, empty_masks])
def test_gradients_are_finite_at_extreme_logits_and_empty_masks(
    name: str, exclusive: bool, scale: float, make_masks: Callable[[bool], torch.Tensor]
) -> None:
    masks = make_masks(exclusive)
    for logits in (scale * torch.randn_like(masks), scale * (2 * masks - 1), torch.full_like(masks, scale)):
        logits.requires_grad_()
        value = build(name, exclusive)(logits, masks)
        value.backward()
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


@contract
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_are_summed_in_float32(name: str, exclusive: bool, dtype: torch.dtype) -> None:
    loss, masks = build(name, exclusive), random_masks(exclusive)
    logits = torch.randn_like(masks).to(dtype)
    expected = loss(logits.float(), masks)
    with torch.autocast("cpu", dtype):
        found = loss(logits, masks)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@contract
def test_masks_of_any_number_type_count_alike(name: str, exclusive: bool) -> None:
    loss, masks = build(name, exclusive), random_masks(exclusive)
    logits = torch.randn_like(masks)
    for dtype in (torch.bool, torch.uint8, torch.bfloat16):
        assert torch.equal(loss(logits, masks.to(dtype)), loss(logits, masks))


@contract
def test_neither_logits_nor_masks_are_changed(name: str, exclusive: bool) -> None:
    masks = random_masks(exclusive)
    logits = torch.randn_like(masks)
    before = logits.clone(), masks.clone()
    build(name, exclusive)(logits, masks)
    assert torch.equal(logits, before[0])
    assert torch.equal(masks, before[1])
