from __future__ import annotations

import numpy as np
import pytest
import torch
import torchio as tio

from torchio_seg.errors import TorchioSegError
from torchio_seg.predictor.aggregator import Aggregator
from torchio_seg.predictor.blending import window


def patches_of(shape: tuple[int, ...], overlap: int, seed: int = 0) -> tuple[tio.GridSampler, list[dict]]:
    generator = torch.Generator().manual_seed(seed)
    image = tio.ScalarImage(tensor=torch.rand(2, *shape, generator=generator))
    sampler = tio.GridSampler(tio.Subject(image=image), 6, overlap)
    return sampler, list(tio.SubjectsLoader(sampler, batch_size=2))


@pytest.mark.parametrize("blending", ["crop", "average", "hann"])
@pytest.mark.parametrize("shape", [(9, 13, 6), (7, 8, 17)])
def test_the_same_as_torchios_aggregator_for_patches_that_disagree(blending: str, shape: tuple[int, ...]) -> None:
    sampler, batches = patches_of(shape, overlap=2)
    theirs = tio.GridAggregator(sampler, overlap_mode=blending)
    ours = Aggregator(shape, (6, 6, 6), (2, 2, 2), blending)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    for batch in batches:
        disagreeing = torch.rand(batch["image"][tio.DATA].shape, generator=generator)
        theirs.add_batch(disagreeing, batch[tio.LOCATION])
        ours.add_batch(disagreeing, batch[tio.LOCATION])
    torch.testing.assert_close(ours.get_output_tensor(), theirs.get_output_tensor(), rtol=0, atol=1e-6)


def test_a_patch_that_never_came_is_an_error_and_not_background() -> None:
    _, batches = patches_of((9, 13, 6), overlap=2)
    for blending in ("crop", "average", "hann", "gaussian"):
        aggregator = Aggregator((9, 13, 6), (6, 6, 6), (2, 2, 2), blending)  # type: ignore[arg-type]
        for batch in batches[:-1]:
            aggregator.add_batch(batch["image"][tio.DATA], batch[tio.LOCATION])
        with pytest.raises(TorchioSegError, match="covered by no patch"):
            aggregator.get_output_tensor()


def test_half_precision_patches_are_summed_in_single_precision() -> None:
    sampler, batches = patches_of((8, 8, 20), overlap=4)
    aggregator = Aggregator((8, 8, 20), (6, 6, 6), (4, 4, 4), "average")
    for batch in batches:
        aggregator.add_batch(torch.full_like(batch["image"][tio.DATA], 40_000.0).half(), batch[tio.LOCATION])
    assert torch.equal(aggregator.get_output_tensor(), torch.full((2, 8, 8, 20), 40_000.0))
    assert len(sampler) > 10


@pytest.mark.parametrize("blending", ["average", "hann", "gaussian"])
def test_windows_are_positive_symmetric_and_highest_in_the_middle(blending: str) -> None:
    weights = window((8, 5, 6), blending).numpy()  # type: ignore[arg-type]
    assert weights.shape == (8, 5, 6)
    assert weights.min() > 0
    for axis in range(3):
        assert np.allclose(weights, np.flip(weights, axis))
    assert weights.max() == pytest.approx(weights[4, 2, 3])
