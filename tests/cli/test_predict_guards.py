"""What `torchio-seg predict` says and refuses of scans that are unlike those that the model was trained on."""

from __future__ import annotations

import json
import re
import shutil
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_runs import Call

from torchio_seg import checkpoint
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.trained_on import training_cases


def without_seen(work: Path) -> Path:
    """The run's model as it was before cards told of the training cases."""
    folder = work / "old"
    shutil.copytree((work / "runs" / "latest").resolve() / "checkpoints" / "last", folder)
    card = json.loads((folder / "model.json").read_text())
    del card["seen"]
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def changed(work: Path, *, intensity: float = 1.0, spacing: float = 1.0) -> Path:
    """A scan, given as a list of files, with other intensities or another voxel size in its header."""
    image = nib.load(work / "in" / "phantom_000.nii.gz")
    array = np.moveaxis(np.asarray(image.dataobj, np.float32) * intensity, -1, 0)
    path = work / f"changed_{intensity:g}_{spacing:g}.nii.gz"
    create(path, array, image.affine @ np.diag([spacing, spacing, spacing, 1]))
    return path


def test_the_card_tells_what_the_training_cases_were_like(work: Path) -> None:
    run = (work / "runs" / "latest").resolve()
    seen = checkpoint.read_card(run / "checkpoints" / "best").seen
    assert seen is not None
    training = json.loads((run / "run.json").read_text())["split"]["training"]
    images = [nib.load(run.parents[2] / "data/phantom/imagesTr" / f"{case}.nii.gz") for case in training]
    assert seen.num_cases == len(training)
    edges = np.array([np.linalg.norm(image.affine[:3, :3], axis=0) for image in images])
    assert np.allclose(sorted(seen.spacing_mm[0]), sorted(edges.min(axis=0)))
    assert np.allclose(sorted(seen.spacing_mm[1]), sorted(edges.max(axis=0)))
    assert seen.shape == ((32.0, 32.0, 32.0), (32.0, 32.0, 32.0))
    for number, channel in enumerate(seen.channels):
        voxels = [np.asarray(image.dataobj)[..., number] for image in images]
        medians = [np.median(values[values != 0]) for values in voxels]
        assert channel.median == pytest.approx((min(medians), max(medians)))
        tops = [np.percentile(values[values != 0], 99) for values in voxels]
        assert channel.percentile_99 == pytest.approx((min(tops), max(tops)))


def test_scans_of_the_training_cases_kind_are_predicted_without_a_word(work: Path, call: Call) -> None:
    assert "those of training" not in call("predict", "in", "-o", "out").err


def test_a_voxel_size_far_from_training_is_said_with_both_numbers(work: Path, call: Call) -> None:
    seen = checkpoint.read_card((work / "runs/latest/checkpoints/best").resolve()).seen
    assert seen is not None
    path = changed(work, spacing=5)
    result = call("predict", path, "--json", "-")
    assert result.code == 0, result.err
    [warning] = json.loads(result.out)["cases"][0]["warnings"]
    assert warning in result.err
    edges = [f"{edge:.3g}" for edge in np.linalg.norm(nib.load(path).affine[:3, :3], axis=0)]
    [given] = re.findall(r"voxels are (\S+) x (\S+) x (\S+) mm", warning)
    assert sorted(given) == sorted(edges)  # in the patient's order, not the file's
    for known in seen.spacing_mm:
        assert " x ".join(f"{edge:.3g}" for edge in known) in warning


def test_intensities_far_from_training_are_said_channel_by_channel(work: Path, call: Call) -> None:
    path = changed(work, intensity=1000)
    result = call("predict", path, "--json", "-")
    assert result.code == 0, result.err
    warnings = json.loads(result.out)["cases"][0]["warnings"]
    assert len(warnings) == 4
    channel = np.asarray(nib.load(path).dataobj)[..., 0]
    assert f"FLAIR has intensities of {np.percentile(channel[channel != 0], 1):.4g} (1 %)" in warnings[0]
    assert "those of training" in warnings[0]


def test_a_volume_that_trained_the_model_is_said_to_have_on_screen_and_to_machines(work: Path, call: Call) -> None:
    run = (work / "runs" / "latest").resolve()
    split = json.loads((run / "run.json").read_text())["split"]
    trained, other = split["training"][0], split["test"][0]
    own = [run.parents[2] / "data/phantom/imagesTr" / f"{case}.nii.gz" for case in (trained, other)]
    copied = Path(shutil.copy(own[0], work / "in" / f"{trained}.nii.gz"))
    for number, (volume, says) in enumerate([(own[0], "so that a Dice"), (copied, "if it is that case, a Dice")]):
        result = call("predict", volume, "-o", f"out{number}", "--json", "-")
        assert result.code == 0, result.err
        [warning] = json.loads(result.out)["cases"][0]["warnings"]
        assert f"case {trained}" in warning
        assert says in warning
        assert result.err.count("trained this model") == 1
    assert "trained this model" not in call("predict", own[1], "-o", "out").err


def test_a_prediction_that_is_stopped_in_start_up_says_what_is_kept(
    work: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(MetaPathFinder):
        """Whoever presses Ctrl-C while torch is imported."""

        def find_spec(self, fullname: str, *_: object) -> None:
            if fullname == "torchio_seg.workflows.predict_tracked":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "torchio_seg.workflows.predict_tracked", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Hasty(), *sys.meta_path])
    result = call("predict", "in", "-o", "out")
    assert result.code == 130
    assert "none is written in part" in result.err
    assert "the same command begins with those that are left" in result.err
    assert not Path("out").exists()


def test_a_model_that_has_left_its_run_knows_no_training_cases(work: Path) -> None:
    run = (work / "runs" / "latest").resolve()
    known = training_cases(run / "checkpoints" / "best")
    assert sorted(known) == sorted(json.loads((run / "run.json").read_text())["split"]["training"])
    assert training_cases(without_seen(work)) == frozenset()


def test_the_cases_of_every_fold_trained_an_ensemble(tmp_path: Path) -> None:
    for fold, cases in enumerate((["a", "b"], ["b", "c"])):
        (tmp_path / f"fold_{fold}").mkdir()
        split = {"training": cases, "validation": [], "test": ["t"], "origin": "given"}
        (tmp_path / f"fold_{fold}" / "run.json").write_text(json.dumps({"split": split}))
    assert training_cases(tmp_path / "ensemble") == {"a", "b", "c"}


def test_a_header_in_another_unit_is_refused(work: Path, call: Call) -> None:
    result = call("predict", changed(work, spacing=0.001))
    assert result.code == 1
    assert "metres" in result.err
    assert not list(work.glob("*_seg.nii.gz"))


def test_a_card_without_facts_guards_less(work: Path, call: Call) -> None:
    result = call("predict", changed(work, spacing=5), "--model", without_seen(work))
    assert result.code == 0, result.err
    assert "those of training" not in result.err


def test_a_file_that_is_named_as_another_channel_is_said(work: Path, call: Call) -> None:
    image = nib.load(work / "in" / "phantom_000.nii.gz")
    words = []
    given = {"FLAIR": "flair", "T1w": "t2", "T1gd": "t1ce", "T2w": "t1"}
    for number, (channel, name) in enumerate(given.items()):
        create(work / f"p_{name}.nii.gz", np.asarray(image.dataobj)[..., number], image.affine)
        words.append(f"{channel}=p_{name}.nii.gz")
    result = call("predict", *words)
    assert result.code == 0, result.err
    assert "p_t2.nii.gz is given as T1w, its name says T2w" in result.err
    assert "p_t1.nii.gz is given as T2w, its name says T1w" in result.err
    assert "p_flair.nii.gz is given" not in result.err


def test_voxels_that_are_read_as_0_are_said_to_machines_too(work: Path, call: Call) -> None:
    image = nib.load(work / "in" / "phantom_000.nii.gz")
    array = np.asarray(image.dataobj, np.float32)
    array[3, 4, 5, 0] = np.nan
    nib.save(nib.Nifti1Image(array, image.affine), work / "nan.nii.gz")
    result = call("predict", "nan.nii.gz", "--nonfinite", "zero", "--json", "-")
    assert result.code == 0, result.err
    [warning] = json.loads(result.out)["cases"][0]["warnings"]
    assert warning == "nan.nii.gz: 1 voxel that is NaN or infinite and read as 0"


@pytest.mark.skipif(sys.platform != "linux", reason="/sys keeps files of anyone out, root's too")
def test_a_folder_that_cannot_be_written_to_is_refused_as_other_outputs_are(work: Path, call: Call) -> None:
    result = call("predict", "in", "-o", "/sys/kernel")
    assert result.code == 2
    assert re.search(
        "the folder /sys/kernel cannot be written to: .*name another with -o", " ".join(result.err.split())
    )
    assert call("predict", "in", "-o", "out").code == 0
    assert not [file for file in (work / "out").iterdir() if file.name.startswith(".")]
