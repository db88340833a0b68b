from pathlib import Path

import numpy as np
import pytest

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.channels import name_channels
from torchio_seg.volumes.nifti import create


def image(folder: Path, name: str, *, channels: int = 1) -> Path:
    shape = (channels, 2, 2, 2) if channels > 1 else (2, 2, 2)
    create(folder / name, np.zeros(shape, np.int16), np.eye(4))
    return folder / name


def test_names_given_are_held_against_the_files(tmp_path: Path) -> None:
    apart = (image(tmp_path, "a0.nii"), image(tmp_path, "a1.nii"))
    together = (image(tmp_path, "b.nii", channels=2),)
    assert name_channels([apart, together], ("T1", "T2"), default="image") == ("T1", "T2")
    with pytest.raises(
        DataError, match=r"none of 2 cases has 1 channels, as channels names \(CT\): a0.nii, a1.nii: 2, b.nii: 2"
    ):
        name_channels([apart, together], ("CT",), default="image")


def test_names_are_made_where_none_are_given(tmp_path: Path) -> None:
    one, two = (image(tmp_path, "a.nii"),), (image(tmp_path, "b.nii", channels=2),)
    assert name_channels([one], (), default="image") == ("image",)
    assert name_channels([two], (), default="image") == ("image_0", "image_1")


def test_cases_that_differ_from_most_or_cannot_be_read_are_left_to_the_check(tmp_path: Path) -> None:
    odd = (image(tmp_path, "odd.nii"),)
    two = [(image(tmp_path, f"{name}.nii", channels=2),) for name in "ab"]
    bad = (tmp_path / "bad.nii",)
    bad[0].write_bytes(b"")
    assert name_channels([bad, odd, *two], (), default="image") == ("image_0", "image_1")
    assert name_channels([bad, odd, *two], ("CT",), default="image") == ("CT",)
    with pytest.raises(DataError, match=r"bad\.nii: the file is empty"):
        name_channels([bad], (), default="image")


@pytest.mark.parametrize("given", [("T1", "T1"), ("T1", " ")])
def test_names_must_differ_and_say_something(given: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="give each a name of its own"):
        name_channels([], given, default="image")
