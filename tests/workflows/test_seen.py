"""How far a volume may lie from the training cases before that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.checkpoint import ChannelSeen, Seen
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.reading import Volume
from torchio_seg.workflows.seen import Lengths, differences

CT = ChannelSeen((-1000.0, -980.0), (-50.0, 60.0), (300.0, 1000.0))
SEEN = Seen(
    num_cases=4,
    spacing_mm=((0.7, 0.7, 2.5), (0.9, 0.9, 5.0)),
    shape=((256.0, 256.0, 40.0), (512.0, 512.0, 100.0)),
    extent_mm=((60.0, 60.0, 60.0), (100.0, 100.0, 120.0)),
    channels=(CT,),
)
CLIPPED = Recipe(None, None, "percentile")
RELATIVE = Recipe(None, None, "zscore")


def body(*, low: float = -990.0, middle: float = 0.0, high: float = 500.0) -> np.ndarray:
    """Intensities with about these percentiles."""
    return np.interp(np.linspace(0, 100, 100 * 100 * 25), [0, 2, 50, 98, 100], [low, low, middle, high, high])


def volume(values: np.ndarray | None = None, spacing: tuple[float, float, float] = (0.8, 0.8, 3.0)) -> Volume:
    array = (body() if values is None else values).reshape(1, 100, 100, 25).astype(np.float32)
    return Volume(Path("scan.nii.gz"), array, np.diag([*spacing, 1.0]), None)


def said(scan: Volume, recipe: Recipe = CLIPPED) -> list[str]:
    return list(differences(scan, SEEN, recipe, ["CT"]))


def test_a_scan_like_those_of_training_is_not_remarked_on() -> None:
    assert said(volume()) == []
    assert said(volume(), RELATIVE) == []


@pytest.mark.parametrize(("spacing", "is_said"), [((1.7, 0.8, 3.0), False), ((1.9, 0.8, 3.0), True)])
def test_voxels_twice_as_long_as_any_of_training_are_far(spacing: tuple[float, float, float], is_said: bool) -> None:
    found = [sentence for sentence in said(volume(spacing=spacing)) if sentence.startswith("voxels")]
    assert found == ["voxels are 1.9 x 0.8 x 3 mm, those of training 0.7 x 0.7 x 2.5 to 0.9 x 0.9 x 5 mm"] * is_said


def test_axes_are_compared_as_they_lie_in_the_patient() -> None:
    turned = np.moveaxis(volume().array, 3, 1)
    affine = np.array([[0.0, 0.8, 0, 0], [0, 0, -0.8, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    scan = Volume(Path("scan.nii.gz"), turned, affine, None)
    assert Lengths.of(scan).shape == (100, 100, 25)
    assert said(scan) == []


def test_a_volume_that_shows_much_more_than_those_of_training_is_said() -> None:
    wide = replace(SEEN, extent_mm=((30.0, 30.0, 30.0), (35.0, 50.0, 35.0)))
    [sentence] = differences(volume(), wide, CLIPPED, ["CT"])
    assert sentence == "the volume reaches over 80 x 80 x 75 mm, those of training 30 x 30 x 30 to 35 x 50 x 35 mm"


@pytest.mark.parametrize("values", [body() + 1024, body() * 1000, body(low=0.0, middle=0.4, high=1.0)])
def test_hounsfield_units_that_are_none_are_said(values: np.ndarray) -> None:
    [sentence] = said(volume(values))
    assert sentence.startswith("CT has intensities of ")
    assert "-1000 to -980, -50 to 60, 300 to 1000" in sentence


@pytest.mark.parametrize(("factor", "is_said"), [(0.2, False), (5.0, False), (1000.0, True), (0.001, True)])
def test_where_normalisation_takes_the_scale_away_only_another_order_of_it_is_said(
    factor: float, is_said: bool
) -> None:
    assert bool(said(volume(body() * factor), RELATIVE)) == is_said
