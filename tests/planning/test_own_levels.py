"""Levels that somebody has chosen for a plan."""

from __future__ import annotations

import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.planning.own_levels import given_levels, require_levels


def test_levels_are_given_to_networks_that_have_such_options() -> None:
    changes = {"network.channels": [8, 16], "network.strides": None, "training.epochs": 2}
    assert given_levels("dynunet", changes) == {"channels": [8, 16]}
    assert given_levels("unet", changes) == {}


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
