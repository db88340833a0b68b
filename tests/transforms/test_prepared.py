"""A volume that is read a slab at a time is what it is as a whole, whatever is done to it before the network."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from torchio_seg.predictor.held import Held
from torchio_seg.predictor.patch_grid import PatchGrid
from torchio_seg.transforms.measuring import measure_parts
from torchio_seg.transforms.normalization import LANDMARK_PERCENTILES, measure
from torchio_seg.transforms.prepared import Planes, Rolling
from torchio_seg.transforms.preprocessing import find_grids, on_model_grid
from torchio_seg.transforms.recipe import Recipe, Statistics

GRIDS = [
    {"spacing": None, "resize": None},
    {"spacing": (1.3, 0.7, 1.9), "resize": None},
    {"spacing": (0.6, 2.2, 0.8), "resize": None},
    {"spacing": None, "resize": (13, 30, 9)},
    {"spacing": None, "resize": None, "crop_or_pad": (11, 30, 8)},
    {"spacing": (1.3, 0.7, 1.9), "resize": None, "crop_or_pad": (29, 6, 40)},
    {"spacing": (2.3, 1.0, 3.1), "resize": None, "antialias": True},
    {"spacing": (1.3, 2.6, 0.7), "resize": None, "crop_or_pad": (9, 8, 40), "antialias": True},
]
STATISTICS = (Statistics(-1.0, 1.5, 0.1, 0.8), Statistics(-0.5, 2.0, 0.3, 0.9))
LANDMARKS = (tuple(float(n) for n in range(0, 110, 10)),) * 2
NORMALIZATIONS = {
    "none": {},
    "window": {"window": (-1.0, 1.0)},
    "percentile": {"statistics": STATISTICS},
    "minmax": {},
    "zscore": {},
    "zscore_all": {},
    "histogram": {"landmarks": LANDMARKS},
}
EXACT = {"none", "window", "percentile", "minmax"}
"""For others a mean of the whole volume is put together from parts."""
PATCH = (8, 8, 8)


@dataclass(frozen=True)
class OnlySlabs:
    """A source that is never asked for more than some voxels at a time."""

    array: np.ndarray
    most: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self, axis: int, first: int, end: int) -> np.ndarray:
        slab = np.moveaxis(np.moveaxis(self.array, 1 + axis, 0)[first:end], 0, 1 + axis)
        assert 0 < slab.size <= self.most
        return slab.copy()


def oblique(number: int) -> np.ndarray:
    """One of 48 orders and directions of axes, turned by 20 degrees."""
    signs = np.array(list(itertools.product((1, -1), repeat=3))[number % 8])
    order = list(itertools.permutations(range(3)))[number % 6]
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[:, list(order)] * signs
    return affine


def volume(rng: np.random.Generator) -> np.ndarray:
    """Two channels, of integers or real numbers, with many zeros."""
    array = rng.normal(size=(2, *rng.integers(4, 24, 3))) * (rng.random() * 50)
    array[rng.random(array.shape) < 0.3] = 0
    return array.astype(rng.choice([np.int16, np.float32]))


@pytest.fixture
def little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchio_seg.transforms.prepared.CHUNK_BYTES", 12_000)


@pytest.mark.usefixtures("little_at_a_time")
@pytest.mark.parametrize("grids", GRIDS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_patches_of_a_stream_are_those_of_the_whole(normalization: str, grids: dict) -> None:
    recipe = Recipe(normalization=normalization, **grids, **NORMALIZATIONS[normalization])  # type: ignore[arg-type]
    first = 4 * GRIDS.index(grids)
    for number in range(first, first + (2 if normalization == "histogram" else 4)):
        array, affine = volume(np.random.default_rng(number)), oblique(number)
        found = find_grids(array.shape[1:], affine, recipe)
        i, j, k = (max(sizes) for sizes in zip(found.model_shape, PATCH, strict=True))
        for axis in range(3):
            planes = Planes(OnlySlabs(array, array.size), found, recipe, (i, j, k), axis)
            whole, rolling = Held.of(on_model_grid(array, found), recipe, PATCH), Rolling(planes)
            assert tuple(rolling.shape) == (2, i, j, k)
            starts = sorted(range((i, j, k)[axis] - 7), key=lambda start: (start // 5, start))[::3]
            for start in starts:
                inside = [slice(None), slice(0, 8), slice(j - 8, j), slice(0, 8)]
                inside[1 + axis] = slice(start, start + 8)
                patch, expected = rolling[tuple(inside)], whole[tuple(inside)]
                if normalization in EXACT:
                    assert torch.equal(patch, expected)
                else:
                    torch.testing.assert_close(patch, expected, rtol=3e-7, atol=3e-7)


def test_no_more_than_a_chunk_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchio_seg.transforms.prepared.CHUNK_BYTES", 4 * 16 * 16 * 4)
    array = np.random.default_rng(0).normal(size=(1, 16, 200, 16)).astype(np.float32)
    recipe = Recipe((1.0, 2.5, 1.0), None, "zscore")
    grids = find_grids(array.shape[1:], np.eye(4), recipe)
    rolling = Rolling(Planes(OnlySlabs(array, 16 * 16 * 16), grids, recipe, grids.model_shape, axis=1))
    whole = Held.of(on_model_grid(array, grids), recipe, PATCH)
    places = [(slice(None), slice(0, 8), slice(start, start + 8), slice(8, 16)) for start in range(0, 72, 6)]
    patches = [rolling[place] for place in places]
    for place, patch in zip(places, patches, strict=True):
        torch.testing.assert_close(patch, whole[place])
    again = (slice(None), slice(0, 8), slice(3, 11), slice(0, 8))
    torch.testing.assert_close(rolling[again], whole[again])


def test_each_plane_is_read_once_for_all_bars_of_a_slab_that_lies_over_another() -> None:
    grid = PatchGrid((33, 60, 60), (16, 16, 16), (4, 4, 4), axis=0)
    assert grid.has_bars
    assert grid.slab_spans[-1] == (12, 33), "the last two are one"
    array, read = np.random.default_rng(0).normal(size=(1, *grid.shape)).astype(np.float32), []

    class Counted(OnlySlabs):
        def read(self, axis: int, first: int, end: int) -> np.ndarray:
            read.extend(range(first, end))
            return super().read(axis, first, end)

    recipe = Recipe(None, None, "none")
    planes = Planes(Counted(array, array.size), find_grids(grid.shape, np.eye(4), recipe), recipe, grid.shape, 0)
    rolling = Rolling(planes, grid.slab_spans)
    for place in grid.places:
        assert np.array_equal(rolling[grid.inside(place)], array[grid.inside(place)])
    assert read == list(range(33))


def test_measures_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(5)
    for number in range(25):
        shape = (2, *rng.integers(1, 20, 3))
        values = (rng.normal(size=shape) * 1e3, rng.integers(-3, 4, shape), np.zeros(shape))[number % 3]
        whole = torch.from_numpy(values.astype(np.float32))
        parts = whole.split(3, dim=2)
        for joined, known in zip(measure_parts(partial(iter, parts), histogram=True), measure(whole), strict=True):
            assert (joined.lowest, joined.highest) == (known.lowest, known.highest)
            assert len(joined.percentiles) == len(LANDMARK_PERCENTILES)
            assert joined.percentiles == known.percentiles
            pairs = [(joined.all, known.all), (joined.nonzero, known.nonzero)]
            for mine, theirs in (*pairs, *zip(joined.between, known.between, strict=True)):
                assert mine.number == theirs.number
                assert mine.mean == pytest.approx(theirs.mean, rel=1e-12, abs=1e-12)
                assert mine.spread == pytest.approx(theirs.spread, rel=1e-9, abs=1e-9)
