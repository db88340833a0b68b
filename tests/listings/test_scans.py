from pathlib import Path

import pytest

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.scans import matching, scans_below


def lay_out(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root: Path, pattern: str, channels: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
    return {path.relative_to(root).as_posix(): fields for path, fields in matching(root, pattern, "images", channels)}


def test_scans_are_the_nifti_files_that_are_not_hidden(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "b.nii", "a/c.NII.GZ", "a/x.png", "a/._c.nii.gz", ".git/d.nii")
    assert [path.relative_to(root).as_posix() for path in scans_below(root)] == ["b.nii", "a/c.NII.GZ"]


def test_a_star_stays_in_its_folder_and_two_do_not(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "ct/a.nii", "ct/deep/b.nii", "ct/deep/er/c.nii")
    assert list(found(root, "ct/*")) == ["ct/a.nii"]
    assert list(found(root, "ct/**/*.nii")) == ["ct/a.nii", "ct/deep/b.nii", "ct/deep/er/c.nii"]
    assert list(found(root, "ct/deep")) == ["ct/deep/b.nii"]
    assert list(found(root, "ct/?.nii")) == ["ct/a.nii"]


def test_signs_of_regular_expressions_mean_themselves(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "a+b (1).nii", "aab (1).nii", "a+b (1)xnii.nii")
    assert list(found(root, "a+b (1).nii")) == ["a+b (1).nii"]


def test_an_id_stands_for_the_same_everywhere(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "p1/p1_ct.nii", "p1/p2_ct.nii")
    assert found(root, "{id}/{id}_ct.nii") == {"p1/p1_ct.nii": {"id": "p1"}}


def test_channels_are_those_named_and_no_others(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "p_1_T1.nii", "p_1_T1_gd.nii", "p_1_T2.nii")
    assert found(root, "{id}_{channel}.nii", ("T1", "T1_gd")) == {
        "p_1_T1.nii": {"id": "p_1", "channel": "T1"},
        "p_1_T1_gd.nii": {"id": "p_1", "channel": "T1_gd"},
    }


def test_a_pattern_without_a_match_shows_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images 'x/\*' matches nothing below .*; there is: no volume"):
        matching(tmp_path, "x/*", "images")


@pytest.mark.parametrize("pattern", ["../a.nii", "/a.nii", "C:/a.nii", "a\\b.nii", "", "{id.nii", "{case}.nii"])
def test_patterns_that_cannot_be_are_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a.nii").touch()
    with pytest.raises(ConfigError, match="images is"):
        matching(tmp_path, pattern, "images")
