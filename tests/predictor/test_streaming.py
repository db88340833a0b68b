"""Patches in order along an axis: the same volume as from all sums at once, from the planes of one patch."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np
import pytest
import torch
import torchio as tio
from full_aggregation import aggregate

from torchio_seg.errors import TorchioSegError
from torchio_seg.memory import measure
from torchio_seg.predictor.patch_grid import PatchGrid, Strip, collect
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.streaming import Frontier
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

BLENDINGS = ("crop", "average", "hann", "gaussian")
CASES = list(itertools.product(BLENDINGS, range(12)))


def random_grid(seed: int) -> PatchGrid:
    rng = np.random.default_rng(seed)
    patch = rng.integers(2, 8, 3)
    shape = patch + rng.integers(0, 14, 3)
    overlap = 2 * (rng.integers(0, patch) // 2)
    return PatchGrid(*(tuple(sizes.tolist()) for sizes in (shape, patch, overlap)), axis=seed % 3)  # type: ignore[arg-type]


def disagreeing(grid: PatchGrid, seed: int, channels: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(channels, *grid.patch_size, generator=generator) for _ in grid.places]


def strips(grid: PatchGrid, blending: str, patches: list[torch.Tensor], *, in_file: bool = False) -> Iterator[Strip]:
    frontier = Frontier(grid, blending, in_file=in_file)  # type: ignore[arg-type]
    for patch, place in zip(patches, grid.places, strict=True):
        yield from frontier.finished_before(place)
        frontier.put(patch, place)
    yield from frontier.finished()


def streamed(grid: PatchGrid, blending: str, patches: list[torch.Tensor]) -> torch.Tensor:
    return collect(strips(grid, blending, patches), grid.shape, grid.axis)


def whole(grid: PatchGrid) -> PatchGrid:
    """The same patches, of which a slab is one bar."""
    slabs = replace(grid)
    vars(slabs).update(has_bars=False, places=grid.places, slab_starts=grid.slab_starts)
    return slabs


@pytest.mark.parametrize(("blending", "seed"), CASES)
def test_the_same_as_all_sums_at_once_in_double_precision(blending: str, seed: int) -> None:
    grid = random_grid(seed)
    patches = disagreeing(grid, seed)
    found, expected = streamed(grid, blending, patches).numpy(), aggregate(grid, blending, patches)
    if blending == "crop":
        assert np.array_equal(found, expected.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    top = np.sort(expected, axis=0)
    clear = top[-1] - top[-2] > 1e-5
    assert np.array_equal(found.argmax(axis=0)[clear], expected.argmax(axis=0)[clear])
    assert clear.mean() > 0.99


@pytest.mark.parametrize("seed", range(20))
def test_patches_lie_where_torchio_samples_them_and_come_in_order(seed: int) -> None:
    grid = random_grid(seed)
    subject = tio.Subject(image=tio.ScalarImage(tensor=torch.zeros(1, *grid.shape)))
    theirs = tio.GridSampler(subject, grid.patch_size, grid.overlap).locations
    ours = [(*place, *np.add(place, grid.patch_size).tolist()) for place in grid.places]
    assert set(ours) == {tuple(location) for location in theirs.tolist()}
    assert len(ours) == len(theirs)
    bars = [grid.bar_of(place) for place in grid.places]
    assert bars == sorted(bars)


@pytest.mark.parametrize(("blending", "seed"), CASES)
def test_sums_in_a_file_and_of_bars_are_bit_for_bit_those_of_whole_slabs(blending: str, seed: int) -> None:
    grid = random_grid(seed)
    patches = disagreeing(grid, seed)
    expected = streamed(whole(grid), blending, patches)
    assert torch.equal(streamed(grid, blending, patches), expected)
    in_file = strips(grid, blending, patches, in_file=True)
    assert torch.equal(collect(in_file, grid.shape, grid.axis), expected)


def test_random_grids_have_bars_and_joined_slabs_and_have_none() -> None:
    grids = [random_grid(seed) for seed in range(12)]
    assert {grid.has_bars for grid in grids} == {True, False}
    assert {len(grid.slabs) < len(grid.starts[grid.axis]) for grid in grids if grid.has_bars} == {True, False}


def test_a_last_slab_that_is_moved_back_over_the_one_before_takes_little_more_room() -> None:
    """By how much depends on the length alone; no scan needs nearly as much as a whole slab."""
    held = set()
    for more in range(72):
        grid = PatchGrid.holding_least((512, 512, 800 + more), (96, 96, 96), (24, 24, 24))
        held.add(prod(grid.bar_shape) + prod(grid.waiting_shape))
    assert max(held) < 1.7 * min(held)
    assert max(held) < 96 * 512 * 512 * 0.7


@pytest.mark.parametrize(("blending", "seed"), CASES)
def test_every_row_is_handed_on_once_in_order_and_as_soon_as_none_is_to_come_for_it(blending: str, seed: int) -> None:
    grid = random_grid(seed)
    planes, rows, _ = grid.axes
    frontier = Frontier(grid, blending)  # type: ignore[arg-type]
    came = np.zeros((grid.shape[planes], grid.shape[rows]), int)
    order = []
    for patch, place in zip(disagreeing(grid, seed), grid.places, strict=True):
        for values, plane, row in frontier.finished_before(place):
            came[plane, row : row + values.shape[1]] += 1
            order.append((plane, row))
        frontier.put(patch, place)
        first, end = grid.slabs[grid.bar_of(place)[0]]
        assert (came[:first] == 1).all(), "what no later slab touches"
        if grid.has_bars:
            assert (came[first:end, : place[rows]] == 1).all(), "what no later bar touches"
    for values, plane, row in frontier.finished():
        came[plane, row : row + values.shape[1]] += 1
        order.append((plane, row))
    assert (came == 1).all()
    assert order == [(plane, row) for _, plane, row in grid.strips(torch.zeros(1, *grid.shape))]


def test_what_is_held_does_not_grow_with_the_length() -> None:
    held = set()
    for length in (64, 100, 500):
        grid = PatchGrid.holding_least((30, length, 9), (6, 8, 6), (2, 4, 2))
        assert grid.axis == 1
        frontier = Frontier(grid, "hann")
        for place in grid.places:
            list(frontier.finished_before(place))
            frontier.put(torch.ones(1, 6, 8, 6), place)
        held.add(frontier.bytes_held)
    assert held == {4 * (8 * 6 * 9 + 4 * 30 * 9)}, "a bar of patches, and what slabs share"
    assert 4 * (8 * 6 * 9 + 4 * 30 * 9) < 4 * 8 * 30 * 9


@pytest.mark.parametrize("blending", BLENDINGS)
def test_a_patch_that_is_missing_or_comes_twice_or_too_early_is_an_error(blending: str) -> None:
    grid = PatchGrid((9, 7, 12), (4, 4, 4), (2, 2, 2), axis=2)
    patch = torch.ones(2, 4, 4, 4)
    for order in ([0, 2], [0, 0], [1]):
        frontier = Frontier(grid, blending)  # type: ignore[arg-type]
        *first, wrong = order
        for number in first:
            frontier.put(patch, grid.places[number])
        with pytest.raises(TorchioSegError, match="covered by no patch"):
            list(frontier.finished_before(grid.places[wrong]))
    frontier = Frontier(grid, blending)  # type: ignore[arg-type]
    for place in grid.places[:-1]:
        list(frontier.finished_before(place))
        frontier.put(patch, place)
    with pytest.raises(TorchioSegError, match=r"1 of \d+ patches never came"):
        list(frontier.finished())
    list(frontier.finished_before(grid.places[-1]))
    frontier.put(patch, grid.places[-1])
    with pytest.raises(TorchioSegError, match="no more was due"):
        list(frontier.finished_before(grid.places[-1]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("blending", BLENDINGS)
def test_one_voxel_that_is_not_finite_is_an_error_wherever_it_lies(blending: str, value: float) -> None:
    grid = PatchGrid((5, 4, 9), (4, 4, 4), (2, 2, 2), axis=2)
    for number in (0, len(grid.places) // 2, len(grid.places) - 1):
        patches = disagreeing(grid, 0)
        patches[number][1, 1, 1, 1] = value
        with pytest.raises(TorchioSegError, match="not finite") as caught:
            streamed(grid, blending, patches)
        place = grid.places[number]
        named = tuple(map(int, re.search(r"voxel \((\d+), (\d+), (\d+)\)", str(caught.value)).groups()))
        assert "channel 1" in str(caught.value)
        assert named == tuple(start + 1 for start in place), "the place is named"


def test_what_is_not_finite_in_the_filling_alone_names_no_voxel_of_the_volume() -> None:
    image = torch.rand(1, 9, 5, 9).numpy()

    def answer(images: torch.Tensor, first: int) -> torch.Tensor:
        logits = torch.cat([images, -images], dim=1)
        logits[:, 1, :, first:] = float("nan")
        return logits

    told = {5: "in what a volume shorter than a patch is filled with", 4: r"channel 1 at voxel \(0, 4, 0\)"}
    for first, words in told.items():
        made = Predictor(
            partial(answer, first=first),
            Labels.of_classes({0: "background", 1: "one"}),
            Recipe(None, None, "none"),
            Window((8, 8, 8), 0.5, 2, "hann"),
            torch.device("cpu"),
            "fp32",
        )
        with pytest.raises(TorchioSegError, match=words):
            made(image, np.eye(4))


@pytest.mark.parametrize(("shape", "overlap"), [((3, 9, 9), (0, 0, 0)), ((9, 9, 9), (4, 0, 0))])
def test_patches_that_do_not_fit_are_refused(shape: tuple[int, int, int], overlap: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="do not fit a volume"):
        PatchGrid(shape, (4, 4, 4), overlap, axis=0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.5)])
def test_memory_beside_the_volume_does_not_grow_with_its_length(spacing: tuple[float, ...] | None) -> None:
    def beside(length: int, *, probabilities: bool = False) -> int:
        argument = {"shape": (length, 64, 64), "spacing": spacing, "probabilities": probabilities}
        outcome = measure("streaming_tasks:predict", argument)
        assert outcome.answer["share"] == 1
        return outcome.growth - outcome.answer["bytes"]

    short, long, kept = beside(200), beside(800), beside(800, probabilities=True)
    volume = 4 * 8 * 800 * 64 * 64
    assert kept - long > 0.75 * volume, "what is kept is seen"
    assert abs(long - short) < 0.1 * volume
