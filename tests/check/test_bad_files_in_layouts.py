"""Bad files where channels and labels are found in the files: each is reported with its case, none hides another."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_data import SETTINGS, changed, content, image, label, write

from torchio_seg.config.resolve import choose
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError
from torchio_seg.volumes.nifti import read
from torchio_seg.workflows.check import check_experiment, fix, require_sound

LAYOUTS = ("folders", "table", "datalist", "brats")
NAMES = "abcd"
BRATS = ("flair", "t1", "t1ce", "t2")
ENHANCING = 4
"""A value by which the convention of BraTS 2018 to 2021 is told."""


def real(value: int) -> np.ndarray:
    return label(value).astype(np.float32)


def sound(value: int) -> np.ndarray:
    """A label map; in BraTS with all three labels."""
    held = label(value)
    if value == ENHANCING:
        held[7, 7, 5:7] = 1, 2
    return held


@dataclass(frozen=True)
class Data:
    """A data set in one of the layouts, and where its files are."""

    layout: str
    root: Path

    @property
    def value(self) -> int:
        return ENHANCING if self.layout == "brats" else 1

    @property
    def experiment(self) -> Experiment:
        return choose(self.layout, None, {"dataset.root": str(self.root)} | SETTINGS)

    def image(self, name: str, channel: str = "t1") -> Path:
        brats = self.root / name / f"{name}_{channel}.nii.gz"
        return brats if self.layout == "brats" else self.root / "images" / f"{name}.nii.gz"

    def label(self, name: str) -> Path:
        brats = self.root / name / f"{name}_seg.nii.gz"
        return brats if self.layout == "brats" else self.root / "labels" / f"{name}.nii.gz"


def put(path: Path, plain: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path.parent, bytes(plain), path.name)


@pytest.fixture(params=LAYOUTS)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """Four sound cases."""
    made = Data(request.param, tmp_path / "data")
    for number, name in enumerate(NAMES):
        for position, channel in enumerate(BRATS if made.layout == "brats" else BRATS[:1]):
            put(made.image(name, channel), content(image(10 * number + position)))
        put(made.label(name), content(sound(made.value)))
    pairs = [(f"images/{name}.nii.gz", f"labels/{name}.nii.gz") for name in NAMES]
    if made.layout == "table":
        rows = [f"{name},{files[0]},{files[1]}" for name, files in zip(NAMES, pairs, strict=True)]
        (made.root / "cases.csv").write_text("\n".join(["id,MRI,label", *rows]) + "\n")
    if made.layout == "datalist":
        listed = {"training": [{"image": files[0], "label": files[1]} for files in pairs]}
        (made.root / "cases.json").write_text(json.dumps(listed))
    return made


def errors(data: Data) -> Mapping[Path | None, str]:
    """What is said of each file; training refuses just this."""
    report = check_experiment(data.experiment).report
    for finding in report.errors:
        assert finding.file is not None
        assert finding.case is not None
        assert finding.case in finding.file.name
    if report.errors:
        with pytest.raises(DataError, match="cannot be trained on") as caught:
            require_sound(report, data.experiment)
        assert all(str(finding.file) in str(caught.value) for finding in report.errors)
    return {finding.file: finding.reason for finding in report.errors}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


BAD_IMAGES = {
    "bad header": (content(image(99), pixdim=[1, -1, 1, 1, 0, 0, 0, 0]), "must be positive"),
    "no orientation": (content(image(99), qform_code=0, sform_code=0), "both 0"),
    "NaN": (content(changed(image(99).astype(np.float32), (0, 0, 0), np.nan)), "1 of 504 voxels is NaN"),
    "two channels": (content(np.stack([image(98), image(99)], -1)), "channels in"),
    "2-D": (content(image(99)[:, :, 0]), "2-D with sizes"),
}


def test_a_sound_data_set_has_no_findings(data: Data) -> None:
    assert check_experiment(data.experiment).report.findings == ()


@pytest.mark.parametrize(("damaged", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image_is_found_with_its_case(data: Data, damaged: bytes, words: str) -> None:
    channel = "flair" if words == "channels in" else "t1"
    put(data.image("a", channel), damaged)
    found = errors(data)
    assert list(found) == [data.image("a", channel)]
    assert words in found[data.image("a", channel)]


def spoilt(kind: str, value: int) -> np.ndarray:
    return {
        "half a label": changed(real(value), (0, 0, 0), 0.5),
        "0.97 for a label": changed(real(value), (0, 0, 0), value - 0.03),
        "NaN": changed(real(value), (0, 0, 0), np.nan),
        "another shape": sound(value)[:, :, :6],
        "two channels": np.stack([sound(value)] * 2, -1),
        "negative": changed(sound(value).astype(np.int16), (0, 0, 0), -1),
    }[kind]


BAD_LABELS = {
    "half a label": "no whole numbers",
    "0.97 for a label": "no whole numbers",
    "NaN": "voxels is NaN",
    "another shape": "not on the grid of its image",
    "two channels": "2 channels",
}


@pytest.mark.parametrize(("kind", "words"), BAD_LABELS.items(), ids=BAD_LABELS)
def test_a_bad_label_map_is_found_with_its_case(data: Data, kind: str, words: str) -> None:
    put(data.label("a"), content(spoilt(kind, data.value)))
    found = errors(data)
    assert list(found) == [data.label("a")]
    assert words in found[data.label("a")]


@pytest.mark.parametrize("data", ["folders", "table", "datalist"], indirect=True)
def test_a_value_below_zero_is_found_with_its_case(data: Data) -> None:
    put(data.label("a"), content(spoilt("negative", data.value)))
    assert errors(data).keys() == {data.label("a")}


def test_labels_within_rounding_are_fine(data: Data) -> None:
    put(data.label("b"), content(sound(data.value).astype(np.float32) * np.float32(0.999)))
    assert errors(data) == {}


def test_no_bad_file_hides_another(data: Data) -> None:
    put(data.image("a"), BAD_IMAGES["bad header"][0])
    cut(data.image("b"))
    cut(data.label("b"))
    put(data.label("c"), content(spoilt("half a label", data.value)))
    found = errors(data)
    assert found.keys() == {data.image("a"), data.image("b"), data.label("b"), data.label("c")}


def test_a_training_refuses_what_the_layout_passes_over(data: Data) -> None:
    from torchio_seg.workflows.assembly import make_plan

    put(data.label("a"), content(spoilt("half a label", data.value)))
    with pytest.raises(DataError, match=r"(?s)cannot be trained on, 1 error:\n  case a: .*no whole numbers"):
        make_plan(data.experiment)


def test_where_no_label_map_can_be_read_the_layout_refuses(data: Data) -> None:
    for name in NAMES:
        cut(data.label(name))
    with pytest.raises(DataError, match=r"(?s)none of 4 label maps can be used:\n.*truncated"):
        check_experiment(data.experiment)


def test_what_can_be_mended_is(data: Data, tmp_path: Path) -> None:
    put(data.label("a"), content(spoilt("0.97 for a label", data.value)))
    holes = changed(image(99).astype(np.float32), (0, 0, 0), np.inf)
    put(data.image("b"), content(holes))
    fixed = fix(data.experiment, check_experiment(data.experiment), tmp_path / "mended")
    copy = Data(data.layout, tmp_path / "mended")
    changed_files = {str(copy.root / str(change["file"])) for change in fixed.changes}
    assert changed_files == {str(copy.label("a")), str(copy.image("b"))}
    assert errors(copy) == {}
    assert np.array_equal(read(copy.label("a")).array[0], np.rint(spoilt("0.97 for a label", data.value)))


def test_verify_reads_again_what_the_layout_looks_at(data: Data) -> None:
    """Damage that leaves size and time of change as they were."""
    check_experiment(data.experiment)
    path = data.label("a")
    before = path.stat()
    path.write_bytes(gzip.compress(b"")[:10] + bytes(before.st_size - 10))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert errors(data) == {}
    checked = check_experiment(data.experiment, verify=True)
    assert [finding.file for finding in checked.report.errors] == [path]
    assert checked.report.num_read == checked.report.num_files
    assert any("cannot be trusted" in note for note in checked.dataset.notes)


def test_what_the_layout_reads_counts_as_read(data: Data) -> None:
    first, second = (check_experiment(data.experiment).report for _ in range(2))
    assert (first.num_read, second.num_read) == (first.num_files, 0)
