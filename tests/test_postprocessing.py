"""Pieces and holes on arrays small enough to see, for classes that exclude each other and for regions that nest."""

from __future__ import annotations

import numpy as np
import pytest

from torchio_seg.metrics import region_masks
from torchio_seg.postprocessing import VOLUMES_MM3, Step, all_steps, apply, possible_changes
from torchio_seg.records import Labels

CLASSES = Labels.of_classes({0: "background", 1: "liver", 2: "tumour"})
NESTED = Labels.of_regions(
    {0: "background", 1: "oedema", 2: "necrosis", 4: "enhancing"},
    {"whole": (1, 2, 4), "core": (2, 4), "enhancing": (4,)},
)


def plane(*rows: str) -> np.ndarray:
    """A volume one voxel thick, a digit a voxel."""
    return np.array([[[int(digit)] for digit in row] for row in rows], np.uint8)


def run(label_map: np.ndarray, labels: Labels, *steps: Step, voxel_mm3: float = 1.0) -> np.ndarray:
    return apply(label_map, steps, labels, voxel_mm3)


def test_only_the_largest_piece_of_a_class_is_kept_and_the_other_class_is_left_alone() -> None:
    label_map = plane("1110201", "1110001", "0000220")
    found = run(label_map, CLASSES, Step("liver", "keep_largest"))
    assert np.array_equal(found, plane("1110200", "1110000", "0000220"))
    found = run(label_map, CLASSES, Step("tumour", "keep_largest"))
    assert np.array_equal(found, plane("1110001", "1110001", "0000220"))


def test_pieces_that_touch_at_a_corner_are_one_and_of_equal_ones_none_goes() -> None:
    corner = plane("1100", "0010", "0000", "1000")
    assert np.array_equal(run(corner, CLASSES, Step("liver", "keep_largest")), plane("1100", "0010", "0000", "0000"))
    equal = plane("1001", "1001")
    assert np.array_equal(run(equal, CLASSES, Step("liver", "keep_largest")), equal)


@pytest.mark.parametrize(("voxel_mm3", "expected"), [(1.0, "0000"), (4.9, "0000"), (5.0, "1100"), (10.0, "1101")])
def test_pieces_are_dropped_by_their_volume_in_millimetres(voxel_mm3: float, expected: str) -> None:
    found = run(plane("1101"), CLASSES, Step("liver", "drop_small", 10.0), voxel_mm3=voxel_mm3)
    assert np.array_equal(found, plane(expected))


def test_a_piece_dropped_from_the_core_stays_in_the_whole_and_one_dropped_from_the_whole_is_gone() -> None:
    label_map = plane("1122", "1122", "0000", "0400")
    core = run(label_map, NESTED, Step("core", "keep_largest"))
    assert np.array_equal(core, plane("1122", "1122", "0000", "0100"))
    whole = run(label_map, NESTED, Step("whole", "keep_largest"))
    assert np.array_equal(whole, plane("1122", "1122", "0000", "0000"))
    enhancing = run(label_map, NESTED, Step("enhancing", "drop_small", 3.0))
    assert np.array_equal(enhancing, plane("1122", "1122", "0000", "0200"))


def test_regions_stay_nested_whatever_is_done() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        label_map = rng.choice(np.array([0, 0, 1, 2, 4], np.uint8), (8, 8, 8))
        for step in all_steps(NESTED):
            whole, core, enhancing = region_masks(run(label_map, NESTED, step, voxel_mm3=5.0), NESTED)
            assert not (enhancing & ~core).any()
            assert not (core & ~whole).any()


def shell(value: int, inside: int = 0) -> np.ndarray:
    """A hollow cube of 5 voxels around one voxel, in the middle of a volume."""
    label_map = np.zeros((7, 7, 7), np.uint8)
    label_map[1:6, 1:6, 1:6] = value
    label_map[3, 3, 3] = inside
    return label_map


def test_a_closed_hole_is_filled_and_one_with_a_way_out_is_not() -> None:
    found = run(shell(1), CLASSES, Step("liver", "fill_holes"))
    assert np.array_equal(found, shell(1, inside=1))
    open_ = shell(1)
    open_[3, 3, :3] = 0
    assert np.array_equal(run(open_, CLASSES, Step("liver", "fill_holes")), open_)
    at_border = shell(1)[:4]
    assert np.array_equal(run(at_border, CLASSES, Step("liver", "fill_holes")), at_border)


def test_what_is_of_another_class_is_no_hole() -> None:
    label_map = shell(1, inside=2)
    assert np.array_equal(run(label_map, CLASSES, Step("liver", "fill_holes")), label_map)


def test_a_hole_of_the_core_that_is_whole_tumour_is_filled_for_no_region_loses_it() -> None:
    assert np.array_equal(run(shell(2, inside=1), NESTED, Step("core", "fill_holes")), shell(2, inside=2))
    assert np.array_equal(run(shell(2, inside=0), NESTED, Step("whole", "fill_holes")), shell(2, inside=1))
    assert np.array_equal(run(shell(4, inside=2), NESTED, Step("enhancing", "fill_holes")), shell(4, inside=4))
    inner = shell(1, inside=4)
    assert np.array_equal(run(inner, NESTED, Step("whole", "fill_holes")), inner)


def test_regions_that_overlap_in_part_keep_what_the_other_one_holds() -> None:
    names = {0: "background", 1: "a", 2: "b", 3: "both"}
    labels = Labels.of_regions(names, {"left": (1, 3), "right": (2, 3), "shared": (3,)})
    found = run(plane("1110030"), labels, Step("left", "keep_largest"))
    assert np.array_equal(found, plane("1110020"))


@pytest.mark.parametrize("labels", [CLASSES, NESTED], ids=["classes", "nested"])
def test_an_empty_map_stays_as_it_is_and_what_is_tried_is_what_is_applied(labels: Labels) -> None:
    empty = np.zeros((4, 5, 6), np.uint8)
    for step in all_steps(labels):
        assert np.array_equal(run(empty, labels, step), empty)
    rng = np.random.default_rng(1)
    values = np.array([0, 0, 0, *(region.value for region in labels.regions)], np.uint8)
    label_map = np.asfortranarray(rng.choice(values, (9, 7, 8)))
    changes = dict(possible_changes(label_map, labels, 4.0))
    assert list(changes) == all_steps(labels)
    for step, change in changes.items():
        assert np.array_equal(change.on(label_map), run(label_map, labels, step, voxel_mm3=4.0))


def test_steps_follow_each_other_and_the_input_is_not_changed() -> None:
    label_map = plane("1110011", "1010011", "1110000")
    kept = label_map.copy()
    steps = [Step("liver", "drop_small", 5.0), Step("liver", "keep_largest")]
    assert np.array_equal(apply(label_map, steps, CLASSES, 1.0), plane("1110000", "1010000", "1110000"))
    assert np.array_equal(label_map, kept)


def test_steps_say_what_they_do() -> None:
    assert str(Step("core", "drop_small", VOLUMES_MM3[1])) == "core: pieces below 30 mm3 are dropped"
    assert str(Step("core", "keep_largest")) == "core: only the largest piece is kept"
    assert str(Step("core", "fill_holes")) == "core: holes are filled"
