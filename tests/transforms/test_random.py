"""As TorchIO transforms, ours are fused where they are neighbours and stand beside any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchio as tio

from torchio_seg.sampling.seeds import seeded
from torchio_seg.subjects import make_subject
from torchio_seg.transforms import intensity, spatial
from torchio_seg.transforms.maps import Grid
from torchio_seg.transforms.random import RandomChange, RandomMove, fused
from torchio_seg.transforms.resampling import Interpolation, move

INSIDE = ({"name": "affine", "probability": 1.0}, {"name": "elastic", "probability": 1.0})
STOCK = ({"name": "torchio.RandomFlip"}, {"name": "affine", "probability": 1.0})


def subject(size: int = 20) -> tio.Subject:
    generator = torch.Generator().manual_seed(0)
    label = (torch.rand(1, size, size, size, generator=generator) * 5).to(torch.uint8)
    return make_subject(torch.randn(2, size, size, size, generator=generator), label, np.diag([1, 1, 2, 1.0]), "c")


def test_neighbours_become_one_and_a_stock_transform_parts_them() -> None:
    cubic = Interpolation("cubic", "linear")
    parted = [spatial.flip(), spatial.affine(), tio.RandomAnisotropy(), spatial.one_of(steps=INSIDE), spatial.flip()]
    first, stock, second = fused(parted, cubic)
    assert isinstance(first, RandomMove)
    assert isinstance(second, RandomMove)
    assert isinstance(stock, tio.RandomAnisotropy)
    assert (len(first.moves), len(second.moves), second.bends) == (2, 2, True)
    assert first.interpolation == second.interpolation == cubic
    steps = [intensity.noise(), intensity.gamma(), intensity.motion(), intensity.blur()]
    assert [type(each) for each in fused(steps)] == [RandomChange, tio.RandomMotion, RandomChange]
    assert len(fused([spatial.elastic(), spatial.affine(), spatial.elastic()])) == 2


def test_one_of_with_a_stock_transform_inside_keeps_the_chosen_interpolation() -> None:
    [choice] = fused([spatial.one_of(steps=STOCK)], Interpolation("cubic"))
    assert isinstance(choice, tio.OneOf)
    [ours] = [each for each in choice.transforms_dict if isinstance(each, RandomMove)]
    assert ours.interpolation == Interpolation("cubic")
    assert set(choice.transforms_dict.values()) == {0.5}


def test_fused_steps_move_what_single_steps_move() -> None:
    """A flip and then a shift are, together, the one and then the other."""
    steps = [spatial.flip(probability=1.0, axes=(0,)), spatial.affine(probability=1.0, degrees=0.0, scale=0.3)]
    [both] = fused(steps)
    whole = subject()
    with seeded("both"):
        together = both(whole)
        generator_used = torch.rand(())
    with seeded("both"):
        assert isinstance(both, RandomMove)
        torch.rand(1)  # TorchIO's own draw
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        where = both.draw(generator, Grid(whole.spatial_shape, whole.spacing))
        assert torch.equal(torch.rand(()), generator_used)
    image, label = move(whole["image"].data[None], whole["label"].data[None], [where])
    assert torch.equal(together["image"].data, image[0])
    assert torch.equal(together["label"].data, label[0])
    assert where.matrix[0, 0] < 0


def test_what_is_given_stays_as_it_is_and_nothing_is_copied_in_vain() -> None:
    original = subject()
    before = {name: original[name].data.clone() for name in ("image", "label")}
    steps = [spatial.flip(probability=1.0), spatial.elastic(probability=1.0), intensity.noise(probability=1.0)]
    with seeded("all"):
        changed = tio.Compose(fused(steps), copy=False)(original)
    assert all(torch.equal(original[name].data, before[name]) for name in before)
    assert original.applied_transforms == []
    assert len(changed.applied_transforms) == 2
    assert changed.image is changed["image"]
    assert changed["case"] == "c"
    never = [spatial.flip(probability=0.0), spatial.affine(probability=0.0), intensity.noise(probability=0.0)]
    same = tio.Compose(fused(never), copy=False)(original)
    assert all(same[name].data.data_ptr() == original[name].data.data_ptr() for name in before)


@pytest.mark.parametrize("names", [["image"], ["label"]])
def test_torchios_include_is_followed(names: list[str]) -> None:
    moves = spatial.flip(probability=1.0, axes=(0,))
    assert isinstance(moves, RandomMove)
    changed = RandomMove(moves.moves, include=names)(subject())
    for name in ("image", "label"):
        expected = subject()[name].data.flip(1) if name in names else subject()[name].data
        assert torch.equal(changed[name].data, expected)


def test_results_are_free_of_gradients() -> None:
    with seeded("gradients"):
        changed = tio.Compose(fused([spatial.affine(probability=1.0), intensity.gamma(probability=1.0)]))(subject())
    assert not changed["image"].data.requires_grad
    assert changed["label"].data.dtype == torch.uint8
