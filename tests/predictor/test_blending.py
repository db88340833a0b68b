"""How patches are weighed where they overlap, held against TorchIO's aggregator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchio as tio
from full_aggregation import aggregate

from torchio_seg.predictor.blending import window
from torchio_seg.predictor.patch_grid import PatchGrid, collect
from torchio_seg.predictor.streaming import Frontier

SHAPES = [(9, 13, 6), (7, 8, 17)]


def disagreeing(grid: PatchGrid) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(2, *grid.patch_size, generator=generator) for _ in grid.places]


def streamed(grid: PatchGrid, blending: str, patches: list[torch.Tensor]) -> torch.Tensor:
    frontier = Frontier(grid, blending)  # type: ignore[arg-type]
    strips = []
    for patch, place in zip(patches, grid.places, strict=True):
        strips += frontier.finished_before(place)
        frontier.put(patch, place)
    return collect(iter([*strips, *frontier.finished()]), grid.shape, grid.axis)


@pytest.mark.parametrize("blending", ["crop", "average", "hann"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_as_torchios_aggregator_for_patches_that_disagree(blending: str, shape: tuple[int, int, int]) -> None:
    subject = tio.Subject(image=tio.ScalarImage(tensor=torch.zeros(2, *shape)))
    theirs = tio.GridAggregator(tio.GridSampler(subject, 6, 2), overlap_mode=blending)
    grid = PatchGrid.holding_least(shape, (6, 6, 6), (2, 2, 2))
    patches = disagreeing(grid)
    for place, patch in sorted(zip(grid.places, patches, strict=True), key=lambda pair: pair[0]):
        theirs.add_batch(patch[None], torch.tensor([[*place, *(start + 6 for start in place)]]))
    expected = theirs.get_output_tensor()
    torch.testing.assert_close(streamed(grid, blending, patches), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(aggregate(grid, blending, patches), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blending", ["average", "hann", "gaussian"])
def test_windows_are_positive_symmetric_and_highest_in_the_middle(blending: str) -> None:
    weights = window((8, 5, 6), blending).numpy()  # type: ignore[arg-type]
    assert weights.shape == (8, 5, 6)
    assert weights.min() > 0
    for axis in range(3):
        assert np.allclose(weights, np.flip(weights, axis))
    assert weights.max() == pytest.approx(weights[4, 2, 3])
