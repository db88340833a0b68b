"""What is wrong whatever the data and the model are is said before anything heavy is imported, in the flag's name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import Call

from torchio_seg.cli import shared
from torchio_seg.cli.places import place

SCAN = ("predict", "scan.nii.gz")
REFUSED = (
    (("predict", "gone.nii.gz"), "no file or folder gone.nii.gz"),
    (("predict", "FLAIR=gone.nii.gz"), "no file for channel FLAIR: gone.nii.gz does not exist"),
    (("predict", "slice.dcm"), "slice.dcm is a single file of DICOM: name the folder"),
    (("predict", "notes.txt"), "notes.txt: only .nii.gz, .nii"),
    ((*SCAN, "--model", "nowhere"), "no model at nowhere"),
    ((*SCAN, "--uncertainty", "entropie"), "--uncertainty: got 'entropie', did you mean 'entropy'? (allowed: entropy,"),
    ((*SCAN, "--uncertainty", "disagreement"), "add --tta"),
    ((*SCAN, "--overlap", "7vox"), "--overlap: got '7vox'; give a share of the patch"),
    ((*SCAN, "--blending", "smooth"), "--blending: got 'smooth' (allowed: crop, average, hann, gaussian)"),
    ((*SCAN, "--precision", "fp8"), "--precision: got 'fp8' (allowed: fp32, bf16, fp16)"),
    (
        (*SCAN, "--device", "gpu"),
        "--device: got 'gpu'; there is no such device (allowed: auto, cpu, cuda, cuda:N, mps)",
    ),
    (("train", "--dataset", "phantom", "--set", "device=gpu"), "device: got 'gpu'; there is no such device (allowed:"),
    ((*SCAN, "--wandb", "on"), "--wandb: got 'on' (allowed: auto, online, offline, disabled)"),
    ((*SCAN, "--to", "dicom"), "--to: got 'dicom', did you mean 'dicom-seg'? (allowed: nifti, dicom-seg, rtstruct)"),
    ((*SCAN, "-o", "out.nii.gz/"), "-o out.nii.gz/ ends in a slash"),
    ((*SCAN, "--json", "summary.txt"), "--json summary.txt: name a file that ends in .json"),
    ((*SCAN, "--config", "a.yaml"), "a model of ours needs neither"),
    (("predict", "scan.nii.gz", "--runs", "none"), "train one (torchio-seg train --dataset phantom)"),
    (("evaluate", "--runs", "none"), "train one (torchio-seg train --dataset phantom)"),
    (("evaluate", "nowhere"), "no model at nowhere"),
    (
        ("evaluate", "--split", "tset"),
        "--split: got 'tset', did you mean 'test'? (allowed: training, validation, test)",
    ),
    (("evaluate", "--metrics", "hd59"), "did you mean 'hd95'?"),
    (("train", "--dataset", "phantm"), "no shipped experiment or layout 'phantm', did you mean 'phantom'?"),
    (("train", "--dataset", "phantom", "--set", "network.foo=1"), "network.foo: unknown key (allowed: channels,"),
    (("train", "--dataset", "phantom", "--max-time", "soon"), "--max-time: got 'soon'; give a time as 90s, 30m"),
    (("train", "--dataset", "phantom", "--fold", "one"), "--fold: got 'one'"),
    (("train", "--dataset", "lctsc", "--patch-size", "32"), "error: --patch-size: lctsc trains on whole"),
    (
        ("train", "--dataset", "lctsc", "--set", "sampling.patch_size=[32,32,32]"),
        "error: --set sampling.patch_size: lctsc trains on whole volumes",
    ),
    (("crossval", "--dataset", "phantm"), "did you mean 'phantom'?"),
    (("plan", "--dataset", "foldrs"), "did you mean 'folders'?"),
    (("plan", "--dataset", "folders", "--epochs", "2", "--max-time", "1h"), "give one of them"),
    (("preview", "--dataset", "phantom", "-o", "sheet.png/"), "-o sheet.png/ ends in a slash"),
    (("export", "nowhere", "--to", "onnx", "-o", "m.onnx"), "no model at nowhere"),
    (
        ("export", "runs", "--to", "onxx", "-o", "m.onnx"),
        "--to: got 'onxx', did you mean 'onnx'?",
    ),
)
CALL_EACH = """
import json, sys
from torchio_seg.cli import main
from torchio_seg.cli.screen import Screen
for words in json.loads(sys.argv[1]):
    sys.argv = ["torchio-seg", *words]
    try:
        main()
    except SystemExit as end:
        print(json.dumps([end.code, [m for m in ("torch", "torchio", "monai") if m in sys.modules]]))
    print("<end>", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, list[str], str]]:
    """The exit code, the heavy modules that are imported, and what was said, for all in one process."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("scan.nii.gz", "slice.dcm", "notes.txt"):
        (folder / name).write_bytes(b"")
    (folder / "runs" / "phantom" / "first" / "checkpoints").mkdir(parents=True)
    command = [sys.executable, "-c", CALL_EACH, json.dumps([words for words, _ in REFUSED])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "runs", "scan.nii.gz", "slice.dcm"]
    return [(code, heavy, said) for (code, heavy), said in zip(ends, done.stderr.split("<end>"), strict=False)]


@pytest.mark.parametrize(("number", "words", "said"), [(n, " ".join(w), said) for n, (w, said) in enumerate(REFUSED)])
def test_a_wrong_word_is_refused_at_once_and_by_its_name(
    answers: list[tuple[int, list[str], str]], number: int, words: str, said: str
) -> None:
    code, heavy, told = answers[number]
    assert said in " ".join(told.split()), words
    assert told.count("error:") == 1
    assert code == 2
    assert heavy == []


def test_of_several_processes_only_the_first_says_what_is_wrong(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shared, "PATIENCE_S", 0)
    for rank, said in (("0", "no file or folder gone.nii.gz"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        result = call("predict", "gone.nii.gz", "--model", ".")
        assert result.code != 0
        assert result.err.removeprefix("error: ").strip() == said


def test_a_folder_may_have_dots_and_a_slash(tmp_path: Path) -> None:
    assert place("results.v1.2/") == Path("results.v1.2")
    assert place("masks/") == place("masks") == Path("masks")
    (tmp_path / "odd.nii").mkdir()
    assert place(f"{tmp_path / 'odd.nii'}/") == tmp_path / "odd.nii"
