"""What is changed at random in training patches."""

from __future__ import annotations

import pytest

from torchio_seg.config.resolve import resolve
from torchio_seg.planning.families import choose_changes, tell_sides

CUBES = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("classes", "sided"),
    [
        (["background", "left kidney", "right kidney", "liver"], ["left kidney", "right kidney"]),
        (["Lung_L", "Lung_R", "Heart"], ["Lung_L", "Lung_R"]),
        (["hippocampus_lh"], ["hippocampus_lh"]),
        (["Anterior", "Posterior"], []),
        (["l", "label 1", "bright spot", "cleft"], []),
    ],
)
def test_classes_that_are_one_side_of_the_body_are_told_by_their_names(classes: list[str], sided: list[str]) -> None:
    assert tell_sides(classes) == sided


def test_sides_are_not_mirrored_and_that_is_said() -> None:
    changes = choose_changes(CUBES, ["left kidney", "right kidney"])
    [flip] = [step for step in changes.spatial if step["name"] == "flip"]
    assert flip["axes"] == [1, 2]
    assert "left kidney and right kidney" in changes.reasons[0]
    [usual] = [step for step in choose_changes(CUBES, ["tumour"]).spatial if step["name"] == "flip"]
    assert usual["axes"] == [0, 1, 2]


def test_long_voxels_are_turned_in_their_plane_only() -> None:
    [affine] = [step for step in choose_changes((0.6, 0.6, 3.6), ["gland"]).spatial if step["name"] == "affine"]
    assert [bool(angle) for angle in affine["degrees"]] == [False, False, True]
    [cubic] = [step for step in choose_changes(CUBES, ["gland"]).spatial if step["name"] == "affine"]
    assert all(cubic["degrees"])


def test_every_step_is_one_that_there_is() -> None:
    changes = choose_changes(CUBES, ["tumour"])
    sections = {"spatial": list(changes.spatial), "intensity": list(changes.intensity)}
    resolve({"name": "x", "dataset": {"name": "folders"}, "augmentation": sections}, {}, "test")


def test_a_short_training_mirrors_nothing_and_says_so() -> None:
    changes = choose_changes(CUBES, ["tumour"], few_steps=True)
    assert "flip" not in [step["name"] for step in changes.spatial]
    assert any("no mirroring" in reason for reason in changes.reasons)
