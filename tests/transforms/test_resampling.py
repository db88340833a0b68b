"""One resampling moves images and labels alike, as other software does it, from no more than the map's box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchio as tio
from scipy import ndimage
from torch.nn import functional

from torchio_seg.subjects import make_subject
from torchio_seg.transforms.maps import Box, Grid, Map
from torchio_seg.transforms.moves import (
    Affine,
    Elastic,
    Flip,
    Move,
    QuarterTurn,
    affine_matrix,
    draw,
    from_millimetres,
)
from torchio_seg.transforms.resampling import Interpolation, cut, move

SIZE = (24, 20, 16)
SPACING = (1.0, 1.5, 2.0)
GRID = Grid(SIZE, SPACING)
CUBIC = Interpolation("cubic", "nearest")
AFFINE = Affine(1.0, (20.0, 20.0, 20.0), 0.2, isotropic=False, shear=0.1, translation_mm=2.0)
CHAIN = [Flip(0.5, (0, 1, 2)), AFFINE, Elastic(1.0, 6, 0.3)]


def smooth(*shape: int, seed: int = 0, std: float = 2.0) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).numpy()
    return torch.from_numpy(ndimage.gaussian_filter(values, [0] * (len(shape) - 3) + [std] * 3) * 10)


def labelled(*shape: int, seed: int = 0) -> torch.Tensor:
    return (smooth(*shape, seed=seed) > 0).to(torch.uint8) + (smooth(*shape, seed=seed + 1) > 0.3).to(torch.uint8)


def drawn(moves: list[Move], seed: int = 0, grid: Grid = GRID) -> Map:
    return draw(moves, torch.Generator().manual_seed(seed), grid)


@pytest.mark.parametrize(("interpolation", "order", "tolerance"), [(Interpolation(), 1, 1e-4), (CUBIC, 3, 2e-3)])
def test_an_affine_map_gives_what_scipy_gives(interpolation: Interpolation, order: int, tolerance: float) -> None:
    image = smooth(1, 1, 48, 48, 48, std=1.0)
    where = drawn([AFFINE])
    start = (-12, -14, -16)
    moved, label = move(image, (image > 0).byte(), [where], start=start, interpolation=interpolation)
    centre = (np.array(SIZE) - 1) / 2
    matrix = where.matrix.numpy()
    offset = centre + where.shift.numpy() - matrix @ centre - start
    options = {"offset": offset, "output_shape": SIZE, "mode": "mirror"}
    expected = ndimage.affine_transform(image[0, 0].numpy(), matrix, order=order, **options)
    assert np.abs(moved[0, 0].numpy() - expected).max() < tolerance * expected.std()
    nearest = ndimage.affine_transform((image[0, 0] > 0).byte().numpy(), matrix, order=0, **options)
    assert (label[0, 0].numpy() != nearest).mean() < 1e-3


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.3, 2.1)])
def test_an_affine_map_gives_what_torchio_gives(spacing: tuple[float, float, float]) -> None:
    shape, degrees, scales, shift = (40, 36, 32), (8.0, -11.0, 14.0), (1.1, 0.9, 1.2), torch.tensor([2.0, -1.5, 1.0])
    subject = make_subject(smooth(1, *shape), labelled(1, *shape), np.diag([*spacing, 1.0]), "c")
    forward = affine_matrix(degrees, scales, (0, 0, 0))
    where = from_millimetres(torch.linalg.inv(forward), -shift.double(), Grid(shape, spacing))
    before_scaling = tuple((shift / torch.tensor(scales)).tolist())  # where TorchIO shifts
    expected = tio.Affine(scales, degrees, before_scaling)(subject)
    image, label = move(subject["image"].data[None], subject["label"].data[None], [where])
    inside = (slice(None), *[slice(9, -9)] * 3)
    difference = (image[0] - expected["image"].data)[inside].abs()
    assert difference.max() < 1e-3 * expected["image"].data.std()
    assert (label[0] != expected["label"].data)[inside].float().mean() < 1e-3


@pytest.mark.parametrize(
    "interpolation", [Interpolation(), Interpolation("linear", "linear"), Interpolation("cubic", "linear"), CUBIC]
)
@pytest.mark.parametrize("seed", range(3))
def test_every_label_goes_where_its_part_of_the_image_goes(interpolation: Interpolation, seed: int) -> None:
    label = labelled(1, 1, 40, 40, 40, seed=seed).int() * 150
    where = drawn(CHAIN, seed, Grid((30, 30, 30), SPACING))
    image, moved = move(label.float(), label, [where], start=(-5, -5, -5), interpolation=interpolation)
    values = moved.float()
    inside = -functional.max_pool3d(-values, 3, 1, 1) == functional.max_pool3d(values, 3, 1, 1)
    assert inside.sum() > 1000
    assert values[inside].unique().tolist() == [0, 150, 300]
    assert ((image - values)[inside].abs() < 80).float().mean() > 0.999
    if interpolation.images == "linear":  # a cubic spline overshoots beside edges
        assert ((image - values)[inside].abs() < 1).float().mean() > 0.7
    assert moved.dtype == torch.int32


def test_linear_labels_are_the_ones_with_most_of_the_voxel() -> None:
    label = labelled(1, 1, 30, 30, 30)
    where = drawn([AFFINE])
    _, voted = move(label.float(), label, [where], interpolation=Interpolation("linear", "linear"))
    shares = [move((label == value).float(), label, [where], fill=[float(value == 0)])[0] for value in range(3)]
    assert torch.equal(voted, torch.cat(shares, dim=1).argmax(dim=1, keepdim=True).byte())


def test_flips_and_quarter_turns_move_voxels_and_interpolate_none() -> None:
    image, label = torch.randn(1, 2, 12, 12, 12), torch.randint(0, 9, (1, 1, 12, 12, 12), dtype=torch.uint8)
    grid = Grid((12, 12, 12), (1.0, 1.0, 1.0))
    identity = Map.identity(grid.size)
    for axes in [(0,), (1,), (2,), (0, 2), (0, 1, 2)]:
        moved = move(image, label, [identity.then(drawn([Flip(1.0, axes)], grid=grid))], interpolation=CUBIC)
        for before, after in zip((image, label), moved, strict=True):
            assert np.array_equal(after[0].numpy(), np.flip(before[0].numpy(), [axis + 1 for axis in axes]))
    seen = set()
    for seed in range(60):
        after, moved_label = move(image, label, [drawn([QuarterTurn(1.0, (0, 1, 2))], seed, grid)])
        for plane in [(1, 2), (1, 3), (2, 3)]:
            for turns in (1, 2, 3):
                if np.array_equal(after[0].numpy(), np.rot90(image[0].numpy(), turns, plane)):
                    assert np.array_equal(moved_label[0].numpy(), np.rot90(label[0].numpy(), turns, plane))
                    seen.add((plane, turns))
    assert len(seen) == 9


@pytest.mark.parametrize(("interpolation", "tolerance"), [(Interpolation("linear", "linear"), 1e-4), (CUBIC, 2e-3)])
@pytest.mark.parametrize("seed", range(4))
def test_the_box_gives_what_the_whole_volume_gives(interpolation: Interpolation, tolerance: float, seed: int) -> None:
    image, label = torch.randn(2, 70, 70, 70), labelled(1, 70, 70, 70)
    where = drawn(CHAIN, seed)
    first = (22, 25, 27)
    box = interpolation.source_box(where)
    inside = [slice(o + s, o + s + n) for o, s, n in zip(first, box.start, box.size, strict=True)]
    assert all(part.start >= 0 and part.stop <= 70 for part in inside)
    whole = tuple(-o for o in first)
    expected = move(image[None], label[None], [where], start=whole, interpolation=interpolation)
    pieces = [volume[(None, slice(None), *inside)].contiguous() for volume in (image, label)]
    found = move(*pieces, [where], start=box.start, interpolation=interpolation)
    assert torch.allclose(found[0], expected[0], atol=tolerance)
    assert (found[1] != expected[1]).float().mean() < 1e-3


def test_outside_there_are_the_fill_of_each_channel_and_no_label() -> None:
    image, label = torch.rand(1, 2, *SIZE) + 1, torch.ones(1, 1, *SIZE, dtype=torch.int16)
    where = Map(SIZE, torch.eye(3).double(), torch.tensor([10.0, 0, 0]).double())
    moved, moved_label = move(image, label, [where], fill=[-3.0, 7.0])
    assert torch.allclose(moved[:, :, :14], image[:, :, 10:], atol=5e-4)
    assert torch.allclose(moved[0, :, 14:], torch.tensor([-3.0, 7.0]).view(2, 1, 1, 1))
    assert moved_label[0, 0, :, 0, 0].tolist() == [1] * 14 + [0] * 10
    darkest, _ = move(image, label, [where])
    assert torch.allclose(darkest[0, :, 20, 0, 0], image.amin(dim=(2, 3, 4))[0])
    assert cut(image[0], Box((90, 0, 0), (2, 2, 2)), [5.0, 6.0])[:, 0, 0, 0].tolist() == [5, 6]


def test_a_batch_is_its_samples() -> None:
    images, labels = torch.randn(3, 2, 30, 30, 30), labelled(3, 1, 30, 30, 30)
    maps = [drawn([Flip(1.0, (0,))]), drawn(CHAIN, 1), drawn([AFFINE], 2)]
    together = move(images, labels, maps, start=(-3, -5, -7))
    for number, where in enumerate(maps):
        alone = move(images[number, None], labels[number, None], [where], start=(-3, -5, -7))
        assert all(torch.equal(both[number], one[0]) for both, one in zip(together, alone, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("label_type", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_types_stay_as_they_are(dtype: torch.dtype, label_type: torch.dtype) -> None:
    images, labels = torch.randn(1, 1, *SIZE).to(dtype), torch.randint(0, 3, (1, 1, *SIZE)).to(label_type)
    for moves in ([Flip(1.0, (0,))], CHAIN):
        moved, moved_labels = move(images, labels, [drawn(moves)], interpolation=Interpolation("linear", "linear"))
        assert (moved.dtype, moved_labels.dtype) == (dtype, label_type)


def test_turns_about_different_axes_follow_each_other() -> None:
    image = torch.randn(1, 1, 6, 6, 6)
    grid = Grid((6, 6, 6), (1.0, 1.0, 1.0))
    for seed in range(20):
        first, second = drawn([QuarterTurn(1.0, (0,))], seed, grid), drawn([QuarterTurn(1.0, (2,))], seed + 50, grid)
        together, _ = move(image, image, [first.then(second)])
        once, _ = move(image, image, [first])
        assert torch.equal(together, move(once, once, [second])[0])


def test_of_equal_labels_the_lowest_wins() -> None:
    label = torch.tensor([3, 0, 7, 3], dtype=torch.int16).view(1, 1, 4, 1, 1)
    halfway = Map((3, 1, 1), torch.eye(3).double(), torch.tensor([0.5, 0, 0]).double())
    _, voted = move(label.float(), label, [halfway], interpolation=Interpolation("linear", "linear"))
    assert voted.flatten().tolist() == [0, 0, 3]


@pytest.mark.parametrize("shape", [(116, 116, 116), (60, 50, 40), (70, 3, 4)])
@pytest.mark.parametrize("degrees", [0.0, 8.0, 45.0, 90.0])
def test_every_voxel_comes_from_its_place_to_a_thousandth_of_a_voxel(
    shape: tuple[int, int, int], degrees: float
) -> None:
    """An image whose voxels hold their own coordinates shows where each was taken from."""
    places = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij"))
    forward = affine_matrix([degrees, -degrees, degrees / 2], [1.1, 0.9, 1.0], [0.1, 0.0, 0.0])
    where = from_millimetres(
        torch.linalg.inv(forward), torch.zeros(3, dtype=torch.float64), Grid(shape, (1.0, 1.0, 1.0))
    )
    patch, _ = move(places[None], torch.zeros(1, 1, *shape, dtype=torch.uint8), [where], fill=[0.0, 0.0, 0.0])
    exact = where.positions((0, 0, 0), torch.device("cpu"))
    last = torch.tensor(shape).view(3, 1, 1, 1) - 1
    inside = ((exact >= 0.01) & (exact <= last - 0.01)).all(dim=0)  # beyond begins the fill
    assert inside.any()
    assert (patch[0] - exact)[:, inside].abs().max() < 1e-3
