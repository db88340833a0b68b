"""The scorecard of bad inputs, numbers 1 to 41: each is found, named, explained, and given a cure, or is harmless."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_data import AFFINE, SHAPE, changed, content, experiment_of, image, label, make, pixdim, plain, write

from torchio_seg.check.finding import Finding, Report
from torchio_seg.errors import DataError
from torchio_seg.facts import read_facts
from torchio_seg.subjects import read_case_label
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.nifti import create, read, read_label
from torchio_seg.workflows.check import check_experiment, require_sound

REAL = image(1).astype(np.float32)
WHOLE = gzip.compress(bytes(content(image(1))), mtime=0)
RGB = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
SHEARED = AFFINE @ np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
SHEARED_IMAGE = content(
    image(1), affine=SHEARED, qform_code=0, pixdim=pixdim(1, *np.linalg.norm(SHEARED[:3, :3], axis=0))
)
SHEARED_LABEL = content(
    label(), affine=SHEARED, qform_code=0, pixdim=pixdim(1, *np.linalg.norm(SHEARED[:3, :3], axis=0))
)


def moved(millimetres: float, affine: np.ndarray = AFFINE) -> np.ndarray:
    return affine + np.array([[0, 0, 0, millimetres], [0] * 4, [0] * 4, [0] * 4])


def report_on(root: Path, **changes: object) -> Report:
    return check_experiment(experiment_of(root, **changes)).report


@dataclass
class Bad:
    """One wrong file of case b, and what must be said of it."""

    words: str
    cure: str
    image: bytes | None = None
    """Plain content, compressed on the way to the disk."""
    label: bytes | None = None
    whole: bytes | None = None
    """The image file, byte by byte."""
    severity: str = "error"


def bomb(size: int) -> bytes:
    """A gzip file of an honest header and so many zeros."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = content(np.zeros((2, 2, 2), np.uint8), dim=[3, 1024, 1024, size >> 20, 1, 1, 1, 1])[:352]
    return b"".join([squeeze.compress(head), *(squeeze.compress(bytes(1 << 20)) for _ in range(4)), squeeze.flush()])


BAD = {
    "1 truncated gzip": Bad("truncated", "copy or download it again", whole=WHOLE[: len(WHOLE) * 99 // 100]),
    "3 zero bytes": Bad(r"the file is empty \(0 bytes\)", "copy or download it again", whole=b""),
    "4 wrong checksum": Bad("damaged", "again", whole=WHOLE[:-8] + bytes([WHOLE[-8] ^ 1]) + WHOLE[-7:]),
    "6 LFS pointer": Bad("git-lfs pointer", "git lfs pull", whole=b"version https://git-lfs.github.com/spec/v1\n"),
    "6 HTML": Bad("web page", "download it again", whole=b"<!DOCTYPE html><html>Sign in</html>"),
    "7 plain named gz": Bad("not gzip although", "rename it to .nii", whole=bytes(content(image(1)))),
    "8 dims beyond data": Bad("truncated: 1360 of 1504", "again", content(image(1), dim=[3, 9, 8, 8, 1, 1, 1, 1])),
    "9 dims below data": Bad("more than the 1216 bytes", "Export", content(image(1), dim=[3, 9, 8, 6, 1, 1, 1, 1])),
    "10 offset 1e9": Bad("begin at byte 1e", "export it again", content(image(1), vox_offset=1e9)),
    "10 offset -100": Bad("begin at byte -100", "export it again", content(image(1), vox_offset=-100)),
    "10 offset 0": Bad("begin at byte 0", "between 352", content(image(1), vox_offset=0)),
    "12 honest bomb": Bad("need 16.00 GiB, the budget is 8.00 GiB", "crop the scan", whole=bomb(16 << 30) * 4000),
    "13 trailing bomb": Bad("more than the 1360 bytes", "again", whole=WHOLE + gzip.compress(bytes(1 << 20))),
    "14 NaN": Bad("1 of 504 voxels is NaN", "nonfinite=zero", content(changed(REAL, (1, 2, 3), np.nan))),
    "14 NaN label": Bad(
        "1 of 504 voxels is NaN", "Write 0 there", label=content(changed(label() * 1.0, (0, 0, 0), np.nan))
    ),
    "15 Inf": Bad("2 of 504 voxels are NaN, inf", "nonfinite=zero", content(changed(REAL, (slice(2), 0, 0), np.inf))),
    "17 constant": Bad("channel MRI is constant, every voxel is 7", "export it again", content(image(1) * 0 + 7)),
    "17 only NaN": Bad("504 of 504 voxels", "nonfinite=zero", content(REAL * np.nan)),
    "18 2-D": Bad(r"2-D with sizes \[9, 8\]", "Stack slices", content(image(1)[:, :, 0])),
    "18 5-D": Bad("5-D with sizes", "split or squeeze", content(np.zeros((4, 4, 4, 2, 3), np.int16))),
    "18 RGB": Bad("RGB voxels", "convert to one real value", content(RGB)),
    "18 complex": Bad("complex voxels", "convert to one real value", content(REAL.astype(np.complex64))),
    "19 two channels": Bad("2 channels in 1 files, 1 are expected: MRI", "one file", content(np.stack([REAL] * 2, -1))),
    "21 no orientation": Bad("both 0", "convert it again", content(image(1), qform_code=0, sform_code=0)),
    "22 qform against sform": Bad("up to 10 mm apart", "find out which is right", content(image(1), qoffset_x=6)),
    "23 singular affine": Bad("singular", "export it again", content(image(1), srow_x=0, srow_y=0, srow_z=0)),
    "23 NaN affine": Bad("not finite", "export it again", content(image(1), srow_x=np.nan)),
    "25 negative pixdim": Bad("must be positive", "export", content(image(1), pixdim=pixdim(1, -0.9, 1.1, 2))),
    "26 shape": Bad("9 x 8 x 6 voxels, not 9 x 8 x 7", "resample it", label=content(label()[:, :, :6])),
    "28 label 1 mm off": Bad("up to 1 mm apart", "resample it", label=content(label(), affine=moved(1))),
    "30 disjoint": Bad("do not overlap, they are 100 mm", "drawn on this", label=content(label(), affine=moved(108.1))),
    "32 label 0.5": Bad(
        r"1 of 504 voxels are no whole numbers, such as \[0.5\]",
        "nearest neighbour",
        label=content(changed(label().astype(np.float32), (0, 0, 0), 0.5)),
    ),
    "33 undeclared": Bad(r"7 in 27 voxels, but the labels are \[0, 1\]", "declare", label=content(label(7))),
    "34 negative": Bad(
        "-1 in 1 voxels",
        "labels count from 0",
        label=content(changed(label().astype(np.int16), (0, 0, 0), -1)),
    ),
    "35 background": Bad("nothing is marked", "healthy case", label=content(label(0)), severity="warning"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_one_bad_file_is_named_explained_and_given_a_cure(tmp_path: Path, bad: Bad) -> None:
    images = {} if bad.image is None else {"b": bad.image}
    root = make(tmp_path / "data", images=images, labels={} if bad.label is None else {"b": bad.label})
    if bad.whole is not None:
        (root / "imagesTr" / "b.nii.gz").write_bytes(bad.whole)
    report = report_on(root)
    finding = next(found for found in report.findings if re.search(bad.words, found.reason))
    folder = "labelsTr" if bad.label is not None else "imagesTr"
    assert (finding.severity, finding.case, finding.file) == (bad.severity, "b", root / folder / "b.nii.gz")
    assert re.search(bad.cure, finding.cure)
    assert {found.case for found in report.findings} == {"b"}
    if bad.severity == "warning":
        assert report.errors == []
        require_sound(report, experiment_of(root))
    else:
        with pytest.raises(DataError, match=f"(?s)cannot be trained on, .*{bad.words}.*{bad.cure}"):
            require_sound(report, experiment_of(root))


def only(report: Report) -> Finding:
    (finding,) = report.findings
    return finding


def rename(root: Path, before: str, after: str) -> None:
    """Give a file another name, in the description too."""
    (root / before).rename(root / after)
    description = root / "dataset.json"
    description.write_text(description.read_text().replace(before, after))


def test_2_truncated_plain_file(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    file = root / "imagesTr" / "b.nii.gz"
    file.write_bytes(plain(file)[:-10])
    rename(root, "imagesTr/b.nii.gz", "imagesTr/b.nii")
    finding = only(report_on(root))
    assert finding.reason == "the file is truncated: 1350 bytes, the header describes 1360"
    assert finding.cure == "copy or download it again"


def test_5_fifty_flipped_bits_are_found_or_harmless(tmp_path: Path) -> None:
    names = tuple(f"case{number:02d}" for number in range(50))
    root = make(tmp_path / "data", names=names)
    generator = np.random.default_rng(0)
    before = {}
    for name in names:
        file = root / "imagesTr" / f"{name}.nii.gz"
        before[name] = read(file).array
        whole = bytearray(file.read_bytes())
        position = int(generator.integers(len(whole) * 8))
        whole[position // 8] ^= 1 << (position % 8)
        file.write_bytes(whole)
    found = {finding.case for finding in report_on(root).errors}
    assert len(found) > 40
    for name in set(names) - found:
        assert np.array_equal(read(root / "imagesTr" / f"{name}.nii.gz").array, before[name])


def test_7_gzip_named_nii(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    rename(root, "imagesTr/b.nii.gz", "imagesTr/b.nii")
    assert only(report_on(root)).cure == "rename it to .nii.gz"


MEASURED = f"""
import json, resource, sys, time
sys.path.append({str(Path(__file__).parent)!r})
from small_data import experiment_of
from torchio_seg.workflows.check import check_experiment
peaks, started = [], 0
for root in sys.argv[1:]:
    started = time.process_time()
    findings = check_experiment(experiment_of(root)).report.findings
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps([peaks[1] - peaks[0], time.process_time() - started, findings[0].reason]))
"""
"""In a fresh process, whose highest use of memory so far is that of a sound data set as small."""


def test_11_a_header_of_30000_cubed_is_answered_at_once_in_little_memory(tmp_path: Path) -> None:
    huge = content(image(1), kind=nib.Nifti2Image, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    root = make(tmp_path / "data", images={"b": huge})
    sound = make(tmp_path / "sound")
    done = subprocess.run([sys.executable, "-c", MEASURED, sound, root], capture_output=True, text=True, check=True)
    mebibytes, seconds, reason = json.loads(done.stdout)
    assert "more than a gzip file of" in reason
    assert seconds < 1
    assert mebibytes < 20


def test_16_nonfinite_voxels_are_counted_where_the_settings_make_them_0(tmp_path: Path) -> None:
    root = make(tmp_path / "data", images={"b": content(changed(REAL, (slice(3), 2, 3), np.nan))})
    report = report_on(root, preprocessing__nonfinite="zero")
    assert report.errors == []
    assert only(report).reason == "3 of 504 voxels are NaN, infinite or beyond float32"
    assert "read as 0" in only(report).cure


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u8", "i8", "f8", "u4"])
def test_20_unusual_but_honest_files_are_fine(
    tmp_path: Path, dtype: str, kind: type[nib.Nifti1Image], order: str
) -> None:
    voxels = np.abs(image(1)).astype(dtype)
    unusual = kind(voxels, AFFINE, kind.header_class(endianness=order), dtype=dtype)
    unusual.set_sform(AFFINE, 1)
    root = make(tmp_path / "data", images={"b": unusual.to_bytes()})
    assert report_on(root).findings == ()
    assert np.array_equal(read(root / "imagesTr" / "b.nii.gz").array[0], voxels)


def test_24_shear_is_an_error_only_where_the_experiment_resamples(tmp_path: Path) -> None:
    root = make(tmp_path / "data", images={"b": SHEARED_IMAGE}, labels={"b": SHEARED_LABEL})
    assert report_on(root).findings == ()
    for changes in ({"preprocessing__spacing": "median"}, {"preprocessing__resize": [8, 8, 8]}):
        finding = only(report_on(root, **changes))
        assert (finding.severity, finding.case) == ("error", "b")
        assert "not perpendicular" in finding.reason
        assert "preprocessing.spacing=native" in finding.cure


def test_27_a_label_off_by_rounding_is_fine_and_takes_the_affine_of_its_image(tmp_path: Path) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(), affine=moved(1e-4))})
    checked = check_experiment(experiment_of(root))
    assert checked.report.findings == ()
    (case,) = (case for case in checked.dataset.cases if case.id == "b")
    assert np.array_equal(read_case_label(case, (0, 1)).affine, read(case.images[0]).affine)


def test_29_a_label_stored_along_other_axes_is_fine_and_is_turned(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    turn = Orientation((2, 0, 1), (True, False, True))
    file = root / "labelsTr" / "b.nii.gz"
    image_affine = read(root / "imagesTr" / "b.nii.gz").affine
    create(file, turn.apply(label()[None]), turn.apply_affine(image_affine, SHAPE), overwrite=True)
    checked = check_experiment(experiment_of(root))
    assert checked.report.findings == ()
    (case,) = (case for case in checked.dataset.cases if case.id == "b")
    assert np.array_equal(read_case_label(case, (0, 1)).array[0], label())


def test_31_a_label_stored_with_a_scale_factor_is_fine_and_is_rounded(tmp_path: Path) -> None:
    scaled = nib.Nifti1Image(label(7).astype(np.float32) + changed(label() * 0.0, (0, 0, 0), 2), AFFINE)
    scaled.set_data_dtype(np.uint8)
    root = make(
        tmp_path / "data",
        labels={"b": scaled.to_bytes()},
        description={"labels": {"0": "background", "1": "one", "2": "two", "7": "seven"}},
    )
    stored = np.asarray(nib.load(root / "labelsTr" / "b.nii.gz").dataobj)
    assert not np.array_equal(stored, np.rint(stored))
    finding = only(report_on(root))
    assert (finding.severity, finding.check, finding.case) == ("warning", "rounded-labels", "b")
    num_rounded = np.count_nonzero(stored.astype(np.float32) != np.rint(stored))
    assert finding.reason.startswith(f"{num_rounded} of {stored.size} voxels")
    assert set(np.unique(read_label(root / "labelsTr" / "b.nii.gz", (0, 1, 2, 7)).array)) == {0, 2, 7}


def test_a_case_whose_header_counts_in_another_unit_is_pointed_out(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    place = root / "imagesTr" / "c.nii.gz", root / "labelsTr" / "c.nii.gz"
    for path, array in zip(place, (image(2), label()), strict=True):
        create(path, array, AFFINE @ np.diag([1000.0, 1000, 1000, 1]), overwrite=True)
    finding = only(report_on(root))
    assert (finding.severity, finding.check, finding.case) == ("warning", "odd-voxel-size", "c")
    assert "in most images their size is about" in finding.reason


def test_36_a_declared_class_that_no_case_holds(tmp_path: Path) -> None:
    names = {"labels": {"0": "background", "1": "lesion", "2": "cyst"}}
    report = report_on(make(tmp_path / "data", description=names))
    assert only(report) == Finding(
        "error",
        "absent-class",
        "cyst (2) is declared, but stands in none of the 4 label maps",
        "correct the label maps, or take it out of the declared labels",
    )


OWN_LAYOUT = """
from pathlib import Path
from torchio_seg.records import Case, Dataset, Labels

def build(root: Path, pairs: tuple[tuple[str, str, str], ...] = ()) -> Dataset:
    cases = tuple(Case(name, (root / image,), root / label) for name, image, label in pairs)
    return Dataset("own", ("MRI",), Labels.of_classes({0: "background", 1: "lesion"}), cases)
"""


@pytest.fixture
def own_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Check a data set of somebody's own layout, which lists what a shipped one would refuse."""
    (tmp_path / "lenient_layout.py").write_text(OWN_LAYOUT)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(root: Path, *pairs: tuple[str, str, str]) -> Report:
        return report_on(root, dataset__name="lenient_layout.build", dataset__pairs=[list(pair) for pair in pairs])

    return run


def pair(name: str, files: str | None = None) -> tuple[str, str, str]:
    return name, f"imagesTr/{files or name}.nii.gz", f"labelsTr/{files or name}.nii.gz"


def test_37_an_id_that_stands_twice(tmp_path: Path, own_layout: Callable[..., Report]) -> None:
    root = make(tmp_path / "data")
    finding = only(own_layout(root, pair("a"), pair("same", "b"), pair("same", "c")))
    assert (finding.severity, finding.check, finding.case) == ("error", "repeated-id", "same")
    assert "b.nii.gz" in finding.reason
    assert "c.nii.gz" in finding.reason


def test_37_the_layout_itself_refuses_and_check_says_so(tmp_path: Path, check: Callable[..., tuple]) -> None:
    root = make(tmp_path / "data")
    description = json.loads((root / "dataset.json").read_text())
    description["training"].append(description["training"][0])
    (root / "dataset.json").write_text(json.dumps(description))
    code, out, err = check("--dataset", "decathlon", "--root", root)
    assert (code, out) == (1, "")
    assert "'training' lists a more than once" in err
    code, out, _ = check("--dataset", "decathlon", "--root", root, "--json")
    document = json.loads(out)
    assert (code, document["errors"], document["findings"][0]["check"]) == (1, 1, "layout")
    assert "lists a more than once" in document["findings"][0]["reason"]


def test_38_the_same_voxels_in_training_and_validation(tmp_path: Path) -> None:
    twin = content(image(0).astype(np.float32))
    report = report_on(make(tmp_path / "data", images={"b": twin, "c": twin, "d": twin}))
    assert [(finding.check, finding.case) for finding in report.findings] == [("leaked-image", case) for case in "bcd"]
    leak = report.errors[0]
    assert "holds the same voxels as" in leak.reason
    assert re.search("is for (training|validation), this one for (training|validation)", leak.reason)
    assert leak.cure.endswith("keep one of the two cases")


def test_38_the_same_voxels_twice_in_training_are_a_warning(tmp_path: Path) -> None:
    twin = content(image(0).astype(np.float32))
    report = report_on(make(tmp_path / "data", images={"b": twin}), split__fold="all")
    finding = only(report)
    assert (finding.severity, finding.case) == ("warning", "b")
    assert "holds the same voxels as" in finding.reason


def test_38_images_that_differ_in_one_voxel_are_two_images(tmp_path: Path) -> None:
    """Even where the sample that is compared first misses it."""
    size = (128, 128, 129)
    voxels = np.random.default_rng(0).integers(0, 200, size).astype(np.uint8)
    other = changed(voxels, (1, 0, 0), int(voxels[1, 0, 0]) ^ 1)
    mask = content(changed(np.zeros(size, np.uint8), (0, 0, 0), 1))
    root = make(
        tmp_path / "data",
        images={"a": content(voxels), "b": content(other), "c": content(voxels)},
        labels=dict.fromkeys("abc", mask),
    )
    report = report_on(root, split__fold="all")
    assert [finding.case for finding in report.findings] == ["c"]


def test_38_one_file_as_two_cases(tmp_path: Path, own_layout: Callable[..., Report]) -> None:
    root = make(tmp_path / "data")
    (root / "imagesTr" / "link.nii.gz").symlink_to("a.nii.gz")
    report = own_layout(root, pair("a"), pair("b"), ("c", "imagesTr/link.nii.gz", "labelsTr/a.nii.gz"))
    assert [(each.check, each.case) for each in report.findings] == [("leaked-image", "c"), ("shared-label", "c")]
    assert any(re.search("is the same file as .*a.nii.gz of case a", finding.reason) for finding in report.findings)
    assert any(finding.reason == "is the label map of case a too" for finding in report.warnings)


def test_39_image_file_named_as_label(tmp_path: Path, own_layout: Callable[..., Report]) -> None:
    root = make(tmp_path / "data", images={"b": content(label())})
    (root / "labelsTr" / "link.nii.gz").symlink_to("../imagesTr/b.nii.gz")
    for name in ("imagesTr/b.nii.gz", "labelsTr/link.nii.gz"):
        finding = only(own_layout(root, pair("a"), ("b", "imagesTr/b.nii.gz", name), pair("c")))
        assert (finding.severity, finding.case, finding.file) == ("error", "b", root / name)
        assert finding.reason == "one file is named as image and as label map"


def test_39_a_copy_of_the_label_map_as_image(tmp_path: Path) -> None:
    finding = only(report_on(make(tmp_path / "data", images={"b": content(label().astype(np.int16))})))
    assert (finding.severity, finding.case) == ("error", "b")
    assert finding.reason.startswith("holds the same voxels as the label map ")


def test_39_an_image_that_differs_from_its_label_map_in_one_voxel_is_no_copy(tmp_path: Path) -> None:
    """Even where the sample that is compared first misses it."""
    mask = changed(np.zeros((128, 128, 129), np.uint8), (0, 0, 0), 1)
    almost = changed(mask, (1, 0, 0), 1)
    root = make(tmp_path / "data", names=("a", "b"), images={"a": content(almost)}, labels={"a": content(mask)})
    files = [root / folder / "a.nii.gz" for folder in ("imagesTr", "labelsTr")]
    assert len({facts.digest for facts in read_facts(files, "image").values()}) == 1
    assert report_on(root).findings == ()


def test_40_names_that_would_be_one_output(tmp_path: Path, own_layout: Callable[..., Report]) -> None:
    root = make(tmp_path / "data")
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    report = own_layout(root, pair("Case", "a"), pair("case", "b"), pair(composed, "c"), pair(decomposed, "d"))
    assert [finding.check for finding in report.findings] == ["colliding-name"] * 2
    assert [finding.severity for finding in report.findings] == ["error"] * 2
    assert "differs from case Case only in capitals or accents" in report.findings[0].reason


def test_41_names_with_blanks_and_of_other_alphabets_are_fine(tmp_path: Path, check: Callable[..., tuple]) -> None:
    root = make(tmp_path / "mes données", names=("im ñ 日本.2024", "b c", "d"))
    assert report_on(root).findings == ()
    (root / "imagesTr" / "im ñ 日本.2024.nii.gz").write_bytes(b"")
    code, out, _ = check("--dataset", "decathlon", "--root", root)
    assert code == 1
    assert "  im ñ 日本.2024  imagesTr/im ñ 日本.2024.nii.gz\n" in out


def test_every_number_of_the_scorecard_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    numbers = set(re.findall(r"def test_(\d+)_", source)) | {name.split()[0] for name in BAD}
    assert {int(number) for number in numbers} == set(range(1, 42))


def test_channels_of_a_case_must_lie_on_one_grid(tmp_path: Path) -> None:
    """Written by a layout with a file for each channel."""
    from torchio_seg.check.gathering import gather
    from torchio_seg.check.grids import channels_on_one_grid
    from torchio_seg.check.known import Known
    from torchio_seg.config.sections import Preprocessing
    from torchio_seg.records import Case, Dataset, Labels, Split

    first = write(tmp_path, content(image(1)), "first.nii.gz")
    second = write(tmp_path, content(image(2), affine=moved(1)), "second.nii.gz")
    dataset = Dataset("own", ("T1", "T2"), Labels.of_classes({0: "", 1: ""}), (Case("a", (first, second)),))
    known = Known(dataset, Split(("a",), ()), Preprocessing(), gather(dataset.cases))
    (finding,) = channels_on_one_grid(known)
    assert (finding.case, finding.file) == ("a", second)
    assert finding.reason.endswith("first.nii.gz: voxels lie up to 1 mm apart")
