"""Overlap as a share of the patch or in voxels, and what is neither."""

from __future__ import annotations

import pytest

from torchio_seg.config.resolve import load, parse_set, shipped
from torchio_seg.errors import ConfigError
from torchio_seg.export.monai_bundle import _overlap
from torchio_seg.network_sizes import Sizes
from torchio_seg.workflows.assembly import make_window

PATCH = (16, 16, 32)


def window(overlap: str) -> tuple[int, int, int]:
    experiment = load(shipped()["phantom"], parse_set([f"prediction.overlap={overlap}"]))
    return make_window(experiment, PATCH, Sizes()).overlap_voxels


@pytest.mark.parametrize(
    ("given", "voxels"),
    [
        ("0.5", (8, 8, 16)),
        ("0", (0, 0, 0)),
        ("8vox", (8, 8, 8)),
        ("4,8,16vox", (4, 8, 16)),
        ("0vox", (0, 0, 0)),
    ],
)
def test_an_overlap_is_a_share_or_voxels(given: str, voxels: tuple[int, int, int]) -> None:
    assert window(given) == voxels


@pytest.mark.parametrize("given", ["1.0", "-0.1", "32", "7vox", "8 voxels", "8,8vox", "vox", "true"])
def test_what_is_neither_is_refused_with_both_ways_to_say_it(given: str) -> None:
    with pytest.raises(ConfigError, match=r"overlap: .*share of the patch.*32vox"):
        window(given)


def test_neighbours_that_would_not_move_apart_are_refused_with_the_most_that_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"overlap is 16vox, the patch 16 x 16 x 32 .* at most 14,14,30vox"):
        window("16vox")
    assert window("14vox") == (14, 14, 14)


def test_monais_inferer_gets_shares() -> None:
    assert _overlap("4,8,16vox", PATCH) == [0.25, 0.5, 0.5]
    assert _overlap(0.25, PATCH) == 0.25
