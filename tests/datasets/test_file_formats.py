"""Data sets of NRRD and MetaImage files, in every layout that takes NIfTI."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.datasets import datalist, folders, nnunet, table
from torchio_seg.errors import DataError
from torchio_seg.facts import read_facts
from torchio_seg.records import Dataset
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.volumes.nifti import create

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
IMAGE = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
LABEL = (IMAGE > 1).astype(np.uint8)
CASES = ("p1", "p2")


def files(root: Path, ending: str, image: str, label: str) -> None:
    for case in CASES:
        for name, voxels in ((image, IMAGE), (label, LABEL)):
            path = root / f"{name.format(case)}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            create(path, voxels, AFFINE)


def in_folders(root: Path, ending: str) -> Dataset:
    files(root, ending, "images/{}", "labels/{}_seg")
    return folders.build(root)


def in_a_table(root: Path, ending: str) -> Dataset:
    files(root, ending, "{}_ct", "{}_label")
    rows = [f"{case},{case}_ct{ending},{case}_label{ending}" for case in CASES]
    (root / "cases.csv").write_text("\n".join(["id,CT,label", *rows]))
    return table.build(root)


def in_a_list(root: Path, ending: str) -> Dataset:
    files(root, ending, "imagesTr/{}", "labelsTr/{}")
    entries = [{"image": f"imagesTr/{case}{ending}", "label": f"labelsTr/{case}{ending}"} for case in CASES]
    content = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}, "training": entries}
    (root / "dataset_0.json").write_text(json.dumps(content))
    return datalist.build(root)


def in_nnunets_layout(root: Path, ending: str) -> Dataset:
    home = root / "Dataset001_Liver"
    files(home, ending, "imagesTr/{}_0000", "labelsTr/{}")
    content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 2}
    (home / "dataset.json").write_text(json.dumps({**content, "file_ending": ending}))
    return nnunet.build(home)


LAYOUTS = (in_folders, in_a_table, in_a_list, in_nnunets_layout)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("build", LAYOUTS)
def test_cases_are_found_and_read_as_from_nifti(tmp_path: Path, build, ending: str) -> None:
    dataset = build(tmp_path, ending)
    assert [case.id for case in dataset.cases] == list(CASES)
    for case in dataset.cases:
        image, label = read_channels(case.images, 1), read_case_label(case, (0, 1))
        assert np.array_equal(image.array[0], IMAGE)
        assert np.array_equal(label.array[0], LABEL)
        assert np.array_equal(image.affine, AFFINE)
    [facts] = read_facts([dataset.cases[0].images[0]], "image").values()
    assert (facts.problem, facts.shape, facts.num_channels) == (None, (4, 5, 6), 1)


@pytest.mark.parametrize("build", [in_a_table, in_a_list, in_nnunets_layout])
def test_a_header_of_voxels_elsewhere_is_no_case(tmp_path: Path, build) -> None:
    """What is remembered of a file goes by that file alone, and such a header stays the same when its voxels change."""
    build(tmp_path, ".mha")
    for path in sorted(tmp_path.rglob("*.mha")):
        path.rename(path.with_suffix(".mhd"))
    for listing in (*tmp_path.rglob("*.csv"), *tmp_path.rglob("*.json")):
        listing.write_text(listing.read_text().replace(".mha", ".mhd"))
    root = tmp_path / "Dataset001_Liver" if build is in_nnunets_layout else tmp_path
    with pytest.raises(DataError, match=r"\.nii\.gz, \.nii, \.nrrd (and|or) \.mha"):
        {in_a_table: table, in_a_list: datalist, in_nnunets_layout: nnunet}[build].build(root)


def test_such_headers_are_named_where_an_arrangement_is_looked_for(tmp_path: Path) -> None:
    for path in ("images/p1.mhd", "labels/p1.nhdr"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(DataError, match=r"2 headers of voxels in other files, such as p1\.(mhd|nhdr); write each"):
        folders.build(tmp_path)
