from pathlib import Path

import pytest

from torchio_seg.errors import DataError
from torchio_seg.listings.arrangement import Arrangement, recognise
from torchio_seg.listings.pairing import ENDINGS


def lay_out(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def told(arrangement: Arrangement) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Case and part of all images, and of all label maps."""
    return tuple([(scan.case, scan.part) for scan in role] for role in (arrangement.images, arrangement.labels))


def test_the_innermost_telling_folder_decides(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "masks/train/Img/a.nii", "images/train/Mask/a_seg.nii", "extra/b.nii")
    found = recognise(root, ENDINGS)
    assert told(found) == ([("a", "training")], [("a", "training")])
    assert found.images[0].path.parent.name == "Img"
    assert found.note.endswith("1 scans elsewhere are not used: extra/b.nii")


def test_label_maps_beside_images_are_told_by_their_ending(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "val/a.nii", "val/a_seg.nii", "train/b_img.nii", "train/b-mask.nii")
    assert told(recognise(root, ENDINGS)) == ([("b", "training"), ("a", "validation")],) * 2


def test_a_folder_for_each_case_names_it(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "p1/ct.nii", "p1/label.nii", "p2/ct.nii")
    assert told(recognise(root, ENDINGS)) == ([("p1", ""), ("p2", "")], [("p1", "")])


@pytest.mark.parametrize(
    "names",
    [
        ("a.nii", "b.nii"),
        ("p1/ct.nii", "p1/pet.nii", "p1/seg.nii"),
        ("p1/ct.nii", "p1/ct_seg.nii", "p1/pet_seg.nii"),
        ("a_seg.nii",),
        ("images/a.nii",),
        ("x/a.nii", "y/a.nii", "a_seg.nii"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_not_recognised(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="no arrangement of images and label maps") as caught:
        recognise(lay_out(tmp_path, *names), ENDINGS)
    assert names[0] in str(caught.value)
    assert "layouts that are recognised" in str(caught.value)


def test_folders_that_are_links_are_shown_as_such(tmp_path: Path) -> None:
    lay_out(tmp_path, "far/images/a.nii", "far/labels/a.nii")
    root = tmp_path / "near"
    root.mkdir()
    for name in ("images", "labels"):
        (root / name).symlink_to(tmp_path / "far" / name)
    with pytest.raises(DataError, match=r"there is: images \(a link, not entered\), labels \(a link, not entered\)"):
        recognise(root, ENDINGS)
