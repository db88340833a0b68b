"""`torchio-seg check` as people and programs meet it: what is printed where, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_data import changed, content, image, label, make

Check = Callable[..., tuple[int, str, str]]
BAD = {"b": content(image(1) * 0 + 7)}
EMPTY = {"c": content(label(0))}


def test_a_sound_data_set_is_one_line_and_exit_0(tmp_path: Path, check: Check) -> None:
    root = make(tmp_path / "data")
    code, out, _ = check("--dataset", "decathlon", "--root", root)
    assert code == 0
    assert out.strip().startswith("4 cases, 8 files read in 0.")
    assert out.strip().endswith(" s: 0 errors, 0 warnings")


def test_the_second_time_nothing_is_read_unless_to_verify(tmp_path: Path, check: Check) -> None:
    root = make(tmp_path / "data")
    words = ("--dataset", "decathlon", "--root", root)
    check(*words)
    assert "8 files known from before in" in check(*words)[1]
    assert "8 files read in" in check(*words, "--verify")[1]
    (root / "imagesTr" / "a.nii.gz").write_bytes(b"")
    assert "8 files (1 read, 7 known from before) in" in check(*words)[1]


def test_warnings_alone_end_with_0_errors_with_1(tmp_path: Path, check: Check) -> None:
    assert check("--dataset", "decathlon", "--root", make(tmp_path / "warned", labels=EMPTY))[0] == 0
    code, out, _ = check("--dataset", "decathlon", "--root", make(tmp_path / "wrong", images=BAD, labels=EMPTY))
    assert code == 1
    assert out.splitlines()[:-1] == [
        "1 error",
        "  b  imagesTr/b.nii.gz",
        "    channel MRI is constant, every voxel is 7; export it again or drop the case",
        "1 warning",
        "  c  labelsTr/c.nii.gz",
        "    nothing is marked, every voxel is background; fine for a healthy case;",
        "    otherwise the label map is not finished",
    ]
    assert out.splitlines()[-1].endswith("1 error, 1 warning")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dataset", "nothing"), "no shipped experiment or layout 'nothing'"),
        (("--dataset", "decathlon", "--set", "split.method=coin"), "split.method"),
        (("--dataset", "decathlon", "--unknown"), "No such option"),
    ],
)
def test_wrong_words_end_with_2_and_print_no_result(check: Check, words: tuple[str, ...], message: str) -> None:
    code, out, err = check(*words)
    assert (code, out) == (2, "")
    assert message in err


def test_data_that_is_not_there_ends_with_2(tmp_path: Path, check: Check) -> None:
    code, _, err = check("--dataset", "decathlon", "--root", tmp_path / "nowhere")
    assert code == 2
    assert "there is no data at" in err


def refuse(constant: str) -> None:
    raise ValueError(constant)


def test_json_is_one_strict_document_and_nothing_else(tmp_path: Path, check: Check) -> None:
    root = make(tmp_path / "data", images=BAD, labels=EMPTY)
    code, out, _ = check("--dataset", "decathlon", "--root", root, "--json")
    document = json.loads(out, parse_constant=refuse)
    assert code == 1
    counts = {key: document[key] for key in ("errors", "warnings", "cases", "files", "read", "known")}
    assert counts == {"errors": 1, "warnings": 1, "cases": 4, "files": 8, "read": 8, "known": 0}
    assert (document["root"], document["dataset"], document["notes"]) == (str(root), "decathlon", [])
    assert 0 < document["seconds"] < 60
    assert document["findings"][0] == {
        "severity": "error",
        "check": "constant-channel",
        "reason": "channel MRI is constant, every voxel is 7",
        "cure": "export it again or drop the case",
        "case": "b",
        "file": str(root / "imagesTr" / "b.nii.gz"),
    }


def test_of_many_alike_the_first_twenty_are_shown_and_all_are_in_json(tmp_path: Path, check: Check) -> None:
    names = tuple(f"case{number:02d}" for number in range(50))
    root = make(tmp_path / "data", names=names, labels=dict.fromkeys(names[:45], content(label(0))))
    _, out, _ = check("--dataset", "decathlon", "--root", root)
    assert out.count("nothing is marked") == 20
    assert "  ... and 25 more empty-label, 45 in all; --json lists them" in out
    assert out.startswith("45 warnings\n")
    document = json.loads(check("--dataset", "decathlon", "--root", root, "--json")[1])
    assert len(document["findings"]) == document["warnings"] == 45


def test_a_split_that_cannot_be_is_a_finding_among_others(tmp_path: Path, check: Check) -> None:
    root = make(tmp_path / "data", names=("b",), images=BAD)
    code, out, _ = check("--dataset", "decathlon", "--root", root)
    assert code == 1
    assert "1 cases cannot be split with validation 1 and test 0" in " ".join(out.split())
    assert "channel MRI is constant" in out


def test_checking_never_imports_torch(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    code = (
        "import sys; from torchio_seg.cli import app\n"
        f"app(['check', '--dataset', 'decathlon', '--root', {str(root)!r}], standalone_mode=False)\n"
        "sys.exit(sorted({'torch', 'torchio', 'monai', 'SimpleITK'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fix_writes_a_copy_that_can_be_used_at_once(tmp_path: Path, check: Check) -> None:
    holes = changed(image(1).astype(np.float32), (slice(2), 0, 0), np.nan)
    root = make(tmp_path / "data", images={"b": content(holes)})
    words = ("--dataset", "decathlon", "--root")
    code, out, _ = check(*words, root, "--fix", tmp_path / "mended")
    assert code == 0
    assert f"mended copy in {tmp_path / 'mended'}: 1 change\n" in out
    assert "  imagesTr/b.nii.gz\n    NaN and infinite voxels replaced by 0 (2 voxels)\n" in out
    assert check(*words, tmp_path / "mended")[0] == 0
    assert check(*words, root)[0] == 1


def test_fix_with_json_tells_changes_and_what_is_left(tmp_path: Path, check: Check) -> None:
    holes = changed(image(0).astype(np.float32), (0, 0, 0), np.inf)
    root = make(tmp_path / "data", images={"a": content(holes)} | BAD)
    target = tmp_path / "mended"
    code, out, _ = check("--dataset", "decathlon", "--root", root, "--fix", target, "--json")
    document = json.loads(out)
    assert (code, document["errors"]) == (1, 2)
    assert document["fixed"]["root"] == str(target)
    change = {"file": "imagesTr/a.nii.gz", "what": "NaN and infinite voxels replaced by 0", "voxels": 1}
    assert document["fixed"]["changes"] == [change]
    assert [finding["file"] for finding in document["fixed"]["left"]] == [str(target / "imagesTr" / "b.nii.gz")]


def test_fix_with_nothing_to_mend_writes_nothing(tmp_path: Path, check: Check) -> None:
    root = make(tmp_path / "data", images=BAD)
    code, out, _ = check("--dataset", "decathlon", "--root", root, "--fix", tmp_path / "mended")
    assert code == 1
    assert "nothing that can be mended without guessing, so no copy was written" in out
    assert not (tmp_path / "mended").exists()
