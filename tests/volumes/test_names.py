"""What files of volumes are called."""

from __future__ import annotations

from pathlib import Path

from torchio_seg.volumes.names import WHOLE, listed, same_format, stem, suffix


def test_only_the_suffix_of_a_volume_is_no_part_of_the_stem() -> None:
    names = {"a.1.nrrd": "a.1", "B.MHA": "B", "c.seg.nrrd": "c.seg", "d.raw": "d.raw", "e.nhdr": "e", "f.mhd": "f"}
    assert {name: stem(Path(f"folder.mha/{name}")) for name in names} == names


def test_outputs_are_single_files_in_the_format_of_their_input() -> None:
    formats = {"a.nii": ".nii.gz", "a.NRRD": ".nrrd", "a.nhdr": ".nrrd", "a.mhd": ".mha", "dicom": ".nii.gz"}
    assert {name: same_format(Path(name)) for name in formats} == formats
    assert set(formats.values()) <= set(WHOLE)


def test_suffixes_are_looked_for_among_those_that_are_allowed() -> None:
    assert (suffix(Path("a.mhd")), suffix(Path("a.mhd"), WHOLE)) == (".mhd", None)
    assert listed(WHOLE, last="or") == ".nii.gz, .nii, .nrrd or .mha"
