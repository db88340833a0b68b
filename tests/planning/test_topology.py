"""The levels of a network follow from its patch and its voxels."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import prod

import numpy as np
import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.levels import CUBES, SMALLEST_SIDE, design, plan_levels
from torchio_seg.planning.topology import admissible, require_levels, shorter


def cases() -> list[tuple[tuple[int, int, int], tuple[float, float, float]]]:
    drawn = np.random.default_rng(0).integers((3, 3, 3, 0), (300, 300, 90, 4), (40, 4)).tolist()
    return [((i, j, k), (1.0, 1.0, (1.0, 1.5, 3.0, 6.0)[length])) for i, j, k, length in drawn]


@pytest.mark.parametrize(("size", "spacing"), cases())
def test_an_admissible_patch_covers_the_size_and_is_halved_without_rest(
    size: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    patch = admissible(size, spacing)
    levels = design(patch, spacing, 32)
    assert len(levels.strides) == len(levels.channels) == len(levels.kernel_sizes) >= 2
    for side, wanted, multiple in zip(patch, size, levels.sizes.multiple_of, strict=True):
        assert side >= wanted
        assert side % multiple == 0
        assert multiple == 1 or side // multiple >= SMALLEST_SIDE
    plan_levels(patch, levels.channels, levels.strides, levels.kernel_sizes, name="dynunet")


def test_the_hippocampus_has_the_levels_that_nnunet_plans_for_it() -> None:
    """Median 36 x 50 x 35: patch 40 x 56 x 40 and four levels, as in Isensee et al. 2021, supplement."""
    patch = admissible((36, 50, 35), CUBES)
    levels = design(patch, CUBES, 32)
    assert patch == (40, 56, 40)
    assert levels.channels == (32, 64, 128, 256)
    assert levels.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert set(levels.kernel_sizes) == {(3, 3, 3)}


def test_long_voxels_are_halved_late_and_kernels_do_not_reach_along_them() -> None:
    levels = design((256, 256, 16), (0.6, 0.6, 3.6), 32)
    halved = [level for level, strides in enumerate(levels.strides) if strides[2] == 2]
    assert halved[0] == 3, "2.4 mm in the plane are less than half of 3.6 no more"
    assert levels.kernel_sizes[:2] == ((3, 3, 1), (3, 3, 1))
    assert levels.kernel_sizes[2:] == ((3, 3, 3),) * (len(levels.strides) - 2)


def test_features_double_up_to_a_most() -> None:
    channels = design((256, 256, 256), CUBES, 32).channels
    assert channels[:4] == (32, 64, 128, 256)
    assert set(channels[4:]) == {320}
    assert all(after >= before for before, after in pairwise(channels))


def test_the_side_that_covers_most_of_its_axis_is_shortened_first() -> None:
    assert shorter((64, 64, 64), (200, 100, 150), partial(admissible, spacing=CUBES)) == (64, 56, 64)
    assert shorter((64, 32, 64), (100, 100, 200), partial(admissible, spacing=CUBES)) == (56, 32, 64)


def test_shortening_ends() -> None:
    patch, count = admissible((120, 90, 30), (1.0, 1.0, 3.0)), 0
    while (smaller := shorter(patch, (120, 90, 30), partial(admissible, spacing=(1.0, 1.0, 3.0)))) is not None:
        assert prod(smaller) < prod(patch)
        patch, count = smaller, count + 1
    assert count > 10


@pytest.mark.parametrize(
    ("given", "num_levels", "said"),
    [
        ({"channels": [8, 16], "strides": [1, 2, 2]}, 3, "there are 2 in network.channels, 3 in network.strides"),
        ({"channels": [8, 16]}, None, "give sampling.patch_size too, or network.strides, network.kernel_sizes"),
        ({"channels": [8, 16]}, 3, "2 in network.channels, and the patch asks for 3 levels"),
    ],
)
def test_levels_that_do_not_fit_each_other_or_the_patch_are_refused(
    given: dict[str, list[int]], num_levels: int | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        require_levels(given, num_levels)


def test_levels_that_are_given_whole_need_no_patch_to_be_judged_by() -> None:
    require_levels({}, None)
    require_levels({"channels": [8, 16, 32]}, 3)
    require_levels({"channels": [8, 16], "strides": [1, 2], "kernel_sizes": [3, 3]}, None)
