"""Products along the axes are what convolutions, splines and polynomials are elsewhere."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from torchio_seg.transforms.separable import along_axes, hats, smoothing, spline_coefficients, splines


def test_each_axis_has_its_matrix() -> None:
    volume = torch.randn(2, 4, 5, 6)
    matrices = [torch.randn(3, 4), torch.randn(7, 5), torch.randn(2, 6)]
    expected = torch.einsum("cijk,ai,bj,dk->cabd", volume, *matrices)
    assert torch.allclose(along_axes(volume, matrices), expected, atol=1e-5)
    assert torch.equal(along_axes(volume, [None, None, None]), volume)
    alone = torch.einsum("cijk,bj->cibk", volume, matrices[1])
    assert torch.allclose(along_axes(volume, [None, matrices[1], None]), alone, atol=1e-5)


@pytest.mark.parametrize("weights", [hats, splines])
def test_straight_lines_stay_straight(weights: object) -> None:
    places = torch.linspace(0, 4, 41, dtype=torch.float64)
    first, number = (0, 5) if weights is hats else (-1, 7)
    matrix = weights(places, number)  # type: ignore[operator]
    assert torch.allclose(matrix @ (torch.arange(number) + first).double(), places)
    assert torch.allclose(matrix.sum(dim=1), torch.ones(41).double())
    assert (matrix >= 0).all()


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_spline_coefficients_are_scipys(length: int) -> None:
    values = torch.randn(length, dtype=torch.float64)
    expected = ndimage.spline_filter1d(values.numpy(), order=3, mode="mirror")
    assert torch.allclose(spline_coefficients(length) @ values, torch.from_numpy(expected))


def test_smoothing_keeps_what_is_constant() -> None:
    assert torch.allclose(smoothing(7, 2.0).sum(dim=1), torch.ones(7).double())
    assert torch.equal(smoothing(5, 0.01), torch.eye(5).double())
