"""Which axes a model may be mirrored along, by the augmentation that it was trained with."""

from __future__ import annotations

import pytest

from torchio_seg.workflows.models import mirrored_axes

FLIP = {"name": "flip", "axes": [0, 2]}


@pytest.mark.parametrize(
    ("steps", "axes"),
    [
        ([], ()),
        ([{"name": "affine"}], ()),
        ([FLIP], (0, 2)),
        ([{"name": "flip"}], (0, 1, 2)),
        ([FLIP, {"name": "flip", "axes": [1]}], (0, 1, 2)),
        ([{"name": "flip", "probability": 0.0}], ()),
        ([{"name": "one_of", "steps": [{"name": "affine"}, {"name": "flip", "axes": [1]}]}], (1,)),
        ([{"name": "one_of", "steps": [FLIP], "probability": 0.0}], ()),
        ([{"name": "rotate90"}], ()),
        ([{"name": "torchio.RandomFlip", "axes": [0, 2]}], (0, 2)),
        ([{"name": "torchio.RandomFlip", "axes": 1}], (1,)),
        ([{"name": "torchio.RandomFlip", "axes": 1, "p": 0.0}], ()),
    ],
)
def test_axes_are_those_that_training_flipped(steps: list[dict[str, object]], axes: tuple[int, ...]) -> None:
    assert mirrored_axes(steps) == axes
