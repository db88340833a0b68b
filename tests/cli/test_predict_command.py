"""`torchio-seg predict` over folders: what is skipped, what fails, what is said for machines."""

from __future__ import annotations

import itertools
import json
import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import Call

from torchio_seg import checkpoint
from torchio_seg.cli.screen import Screen
from torchio_seg.errors import UsageError
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.progress import Silent
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.inputs import find_cases
from torchio_seg.workflows.models import LoadedModel, keep_largest
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Output
from torchio_seg.workflows.predict_files import without_outputs

REGIONS = ("whole_tumor", "tumor_core", "enhancing_tumor")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ── folders ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_there_is_skipped_and_said_unless_all_is_to_be_done_again(work: Path, call: Call) -> None:
    assert call("predict", "in/phantom_001.nii.gz", "-o", "out").code == 0
    marked = work / "out" / "phantom_001_seg.nii.gz"
    marked.write_bytes(b"as it was")
    result = call("predict", "in", "-o", "out")
    assert result.code == 0, result.err
    assert "1 of 3 were there already" in result.out
    assert result.err.count("takes up to") == 1  # for both volumes that were predicted
    assert "--overwrite" in result.out
    assert marked.read_bytes() == b"as it was"
    assert names(work / "out") == [f"phantom_00{n}_seg.nii.gz" for n in range(3)]
    again = call("predict", "in", "-o", "out", "--overwrite")
    assert "already" not in again.out
    assert marked.read_bytes() != b"as it was"


def test_half_of_a_cases_files_are_neither_skipped_nor_replaced(work: Path, call: Call) -> None:
    assert call("predict", "in", "-o", "out").code == 0
    before = {name: (work / "out" / name).read_bytes() for name in names(work / "out")}
    refused = call("predict", "in", "-o", "out", "--probabilities")
    assert refused.code == 2
    for word in ("phantom_000_seg.nii.gz exists", "phantom_000_probabilities.nii.gz does not", "--overwrite"):
        assert word in refused.err
    assert {name: (work / "out" / name).read_bytes() for name in names(work / "out")} == before


def test_a_case_with_half_of_its_files_fails_alone_and_says_what_to_remove(work: Path, call: Call) -> None:
    for number in (1, 2):
        assert call("predict", f"in/phantom_00{number}.nii.gz", "-o", "out", "--probabilities").code == 0
    (work / "out" / "phantom_001_probabilities.nii.gz").unlink()
    kept = work / "out" / "phantom_001_seg.nii.gz"
    before = kept.read_bytes()
    result = call("predict", "in", "-o", "out", "--probabilities", "--json", "told.json")
    assert result.code == 1
    assert result.err.count("remove out/phantom_001_seg.nii.gz to predict") == 1
    assert "1 of 3 could not be predicted" in result.out
    cases = json.loads((work / "told.json").read_text())["cases"]
    assert [case["status"] for case in cases] == ["written", "failed", "skipped"]
    assert kept.read_bytes() == before
    kept.unlink()
    assert call("predict", "in", "-o", "out", "--probabilities").code == 0
    assert len(names(work / "out")) == 6


def test_the_only_case_that_is_left_says_why_it_fails(work: Path, call: Call) -> None:
    assert call("predict", "in/phantom_000.nii.gz", "-o", "out").code == 0
    (work / "in" / "phantom_002.nii.gz").unlink()
    broken = work / "in" / "phantom_001.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-500])
    result = call("predict", "in", "-o", "out")
    assert result.code == 1
    assert "in/phantom_001.nii.gz: truncated" in result.err


def test_predictions_beside_their_scans_are_no_scans(work: Path, call: Call) -> None:
    """With four channels they are known by these already; with one, only by their names."""
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    (work / "flat").mkdir()
    for name in ("a", "a_seg", "a_tumor_core", "a_probabilities", "b_seg"):
        create(work / "flat" / f"{name}.nii.gz", np.zeros((1, 4, 4, 4), np.int16), np.eye(4))
    cases = find_cases(["flat"], ["CT"])
    assert [case.id for case in without_outputs(model, cases, Output(work / "flat"))] == ["a", "b_seg"]
    assert len(without_outputs(model, cases, Output(work / "elsewhere"))) == len(cases)


class _Impatient(Silent):
    """Ctrl-C once a volume is written, which happens while the network works on the next."""

    def advance(self, parts: int = 1, **_: float) -> None:
        if parts and list(Path("out").glob("*_seg.nii.gz")):
            raise KeyboardInterrupt


def test_what_is_stopped_leaves_whole_files_and_goes_on(work: Path) -> None:
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    with pytest.raises(KeyboardInterrupt):
        predict(model, ["in"], Output(Path("out")), progress=_Impatient())
    there = names(work / "out")
    assert there in ([f"phantom_00{number}_seg.nii.gz" for number in range(count)] for count in (1, 2))
    before = {name: (work / "out" / name).read_bytes() for name in there}
    predictions = predict(model, ["in"], Output(Path("out")))
    assert [f"{each.case.id}_seg.nii.gz" for each in predictions.skipped] == there
    assert len(predictions.written) == 3 - len(there)
    assert {name: (work / "out" / name).read_bytes() for name in there} == before


def test_a_bad_case_in_the_middle_fails_alone_and_under_its_own_name(work: Path) -> None:
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    predict(model, ["in"], Output(Path("whole")))
    broken = work / "in" / "phantom_001.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-500])
    predictions = predict(model, ["in"], Output(Path("out")))
    assert [type(outcome).__name__ for outcome in predictions.outcomes] == ["Written", "Failed", "Written"]
    assert [outcome.case.id for outcome in predictions.outcomes] == [f"phantom_00{number}" for number in range(3)]
    assert "in/phantom_001.nii.gz: truncated" in str(predictions.failed[0].error)
    for name in names(work / "out"):
        assert (work / "out" / name).read_bytes() == (work / "whole" / name).read_bytes()
    assert len(names(work / "out")) == 2


def test_what_is_stopped_leaves_a_summary_of_what_was_done(work: Path, call: Call) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Screen, "advance", _Impatient.advance)
        result = call("predict", "in", "-o", "out", "--json", "out/summary.json")
    assert result.code == 130
    summary = json.loads((work / "out" / "summary.json").read_text())
    assert (summary["stopped"], summary["left"]) == (True, 2)
    assert [(case["id"], case["status"]) for case in summary["cases"]] == [("phantom_000", "written")]
    assert call("predict", "in", "-o", "out", "--json", "out/summary.json").code == 0
    summary = json.loads((work / "out" / "summary.json").read_text())
    assert (summary["stopped"], summary["left"]) == (False, 0)
    assert [case["status"] for case in summary["cases"]] == ["skipped", "written", "written"]


def test_a_case_of_which_one_file_cannot_be_written_has_none(work: Path) -> None:
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    (work / "out").mkdir()

    class Blocking(Silent):
        """Puts a folder in the way of the second file once the network is asked."""

        def start(self, what: str, total: int | None) -> None:
            if what == "patches" and total:
                (work / "out" / "phantom_000_whole_tumor.nii.gz").mkdir(exist_ok=True)

    output = Output(Path("out"), regions=True)
    predictions = predict(model, ["in/phantom_000.nii.gz"], output, progress=Blocking())
    assert "phantom_000_whole_tumor.nii.gz" in str(predictions.failed[0].error)
    assert names(work / "out") == ["phantom_000_whole_tumor.nii.gz"]


def test_a_case_that_cannot_be_replaced_whole_stays_as_it_was(work: Path) -> None:
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    (work / "out").mkdir()
    before = {f"phantom_000_{what}.nii.gz": f"earlier {what}".encode() for what in ("seg", "probabilities")}
    for name, content in before.items():
        (work / "out" / name).write_bytes(content)
    output = Output(Path("out"), overwrite=True, probabilities=True)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limit[1]))  # more than a label map, less than probabilities
    try:
        [failed] = predict(model, ["in/phantom_000.nii.gz"], output).failed
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "phantom_000_probabilities.nii.gz: could not be written" in str(failed.error)
    assert "What was there before is unchanged" in str(failed.error)
    assert {path.name: path.read_bytes() for path in (work / "out").iterdir()} == before
    [written] = predict(model, ["in/phantom_000.nii.gz"], output).written
    assert all(nib.load(file).shape for file in written.files), "replaced once there is room"
    assert names(work / "out") == sorted(before)


def test_memory_that_runs_out_for_one_case_ends_no_other_but_a_defect_does(work: Path) -> None:
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    assert isinstance(model.predictor, Predictor)
    network = model.predictor.network

    def failing(error: RuntimeError) -> LoadedModel:
        """For the first volume, after the patch that is measured beforehand, and the smaller batches that are tried."""
        calls = itertools.count()

        def answer(images: torch.Tensor) -> torch.Tensor:
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            if next(calls) == 1:
                raise error
            return network(images)

        return replace(model, predictor=replace(model.predictor, network=answer))

    predictions = predict(failing(torch.OutOfMemoryError("CUDA out of memory")), ["in"], Output(Path("out")))
    assert "phantom_000.nii.gz: memory ran out on cpu" in str(predictions.failed[0].error)
    assert "--patch-size" in str(predictions.failed[0].error)
    assert [each.case.id for each in predictions.written] == ["phantom_001", "phantom_002"]
    with pytest.raises(RuntimeError, match="a defect"):
        predict(failing(RuntimeError("a defect")), ["in"], Output(Path("other")))


def test_budgets_choose_how_a_volume_is_predicted_and_refuse_what_fits_nothing(work: Path, call: Call) -> None:
    plain = call("predict", "in/phantom_000.nii.gz", "-o", "plain", "--probabilities", "--json", "plain.json")
    size, unit = re.search(r"phantom_000.nii.gz: takes up to ([\d.]+) ([MG])B of", plain.err).groups()
    said = float(size) * {"M": 1e6, "G": 1e9}[unit]
    [case] = json.loads((work / "plain.json").read_text())["cases"]
    assert case["peak_bytes"] <= 1.01 * said, "which is rounded"
    assert "sums in memory" in plain.err
    refused = call("predict", "in", "-o", "out", "--ram-budget", "50MB")
    assert refused.code == 1
    for word in ("phantom_000.nii.gz", "takes", "held", "50 MB may be used", "the program alone takes", "--ram-budget"):
        assert word in refused.err
    assert "--patch-size" not in refused.err  # which could not help
    assert not list((work / "out").glob("*.nii.gz"))
    wrong = call("predict", "in", "-o", "out", "--ram-budget", "much")
    assert wrong.code == 2
    assert "8GiB" in wrong.err


# ── for machines ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_summary_has_every_case_as_it_was_written_skipped_or_failed(work: Path, call: Call) -> None:
    broken = work / "in" / "phantom_001.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-500])
    assert call("predict", "in/phantom_002.nii.gz", "-o", "out").code == 0
    result = call("predict", "in", "-o", "out", "--regions", "--json", "new/summary.json", "--overwrite")
    assert result.code == 1
    summary = json.loads((work / "new" / "summary.json").read_text())
    assert [(case["id"], case["status"]) for case in summary["cases"]] == [
        ("phantom_000", "written"),
        ("phantom_001", "failed"),
        ("phantom_002", "written"),
    ]
    totals = summary["totals"]
    assert [totals[key] for key in ("cases", "written", "skipped", "failed")] == [3, 2, 0, 1]
    assert "phantom_001.nii.gz" in summary["cases"][1]["error"]
    _hold_against_files(summary["cases"][0])
    model, settings = summary["model"], summary["settings"]
    assert (model["dataset"], model["channels"]) == ("phantom_brain", ["FLAIR", "T1w", "T1gd", "T2w"])
    assert model["sha256"] == checkpoint.read_card((work / "runs/latest/checkpoints/best").resolve()).sha256
    assert (settings["overlap"], settings["precision"], settings["mirrored_axes"]) == (0.5, "fp32", [])
    assert (settings["skip_empty"], settings["uncertainty"]) == (False, None)
    assert settings["budgets"] == {"ram": None, "vram": None}
    again = call("predict", "in/phantom_000.nii.gz", "in/phantom_002.nii.gz", "-o", "out", "--json", "again.json")
    assert again.code == 0
    skipped = json.loads((work / "again.json").read_text())
    assert [case["status"] for case in skipped["cases"]] == ["skipped", "skipped"]
    assert skipped["totals"]["skipped"] == 2


def _hold_against_files(case: dict[str, Any]) -> None:
    assert case["inputs"] == ["in/phantom_000.nii.gz"]
    assert case["files"] == ["out/phantom_000_seg.nii.gz", *(f"out/phantom_000_{name}.nii.gz" for name in REGIONS)]
    for name, file in zip(REGIONS, case["files"][1:], strict=True):
        image = nib.load(file)
        voxels = int(np.count_nonzero(np.asarray(image.dataobj)))
        mm3 = voxels * abs(np.linalg.det(image.affine[:3, :3]))
        assert case["regions"][name] == {"voxels": voxels, "mm3": pytest.approx(mm3)}
    assert set(case["seconds"]) == {"read", "network", "write"}
    assert all(0 < seconds < 60 for seconds in case["seconds"].values())
    assert 50e6 < case["peak_bytes"] < 50e9
    assert case["gpu_peak_bytes"] is None
    assert all("trained this model" in warning for warning in case["warnings"])


def test_a_printed_summary_is_all_that_standard_output_has(work: Path, call: Call) -> None:
    result = call("predict", "in/phantom_000.nii.gz", "--json", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["totals"]["written"] == 1
    assert "phantom_000_seg.nii.gz: voxels of whole_tumor" in result.err


def test_a_single_volume_that_fails_has_a_summary_and_an_error(work: Path, call: Call) -> None:
    (work / "in" / "phantom_000.nii.gz").write_bytes(b"nothing")
    result = call("predict", "in/phantom_000.nii.gz", "--json", "-")
    assert result.code == 1
    [case] = json.loads(result.out)["cases"]
    assert (case["status"], case["inputs"]) == ("failed", ["in/phantom_000.nii.gz"])
    assert f"error: {case['error']}" in result.err


def test_a_summary_never_takes_the_place_of_another_kind_of_file(work: Path, call: Call) -> None:
    before = (work / "in" / "phantom_000.nii.gz").read_bytes()
    for place in ("in/phantom_000.nii.gz", "in", "runs/latest/config.yaml"):
        result = call("predict", "in", "-o", "out", "--json", place)
        assert result.code == 2
        assert ".json" in result.err
    assert (work / "in" / "phantom_000.nii.gz").read_bytes() == before
    assert not (work / "out").exists()


# ── mirror images and largest pieces ────────────────────────────────────────────────────────────────────────────


def test_mirror_images_are_those_of_training(work: Path, call: Call) -> None:
    assert call("predict", "in/phantom_000.nii.gz", "-o", "plain", "--probabilities").code == 0
    result = call("predict", "in/phantom_000.nii.gz", "-o", "tta", "--probabilities", "--tta", "--json", "tta.json")
    assert result.code == 0, result.err
    assert "mirrored along left-right and back-front and down-up" in result.out
    assert json.loads((work / "tta.json").read_text())["settings"]["mirrored_axes"] == [0, 1, 2]
    plain, mirrored = (
        np.asarray(nib.load(work / folder / "phantom_000_probabilities.nii.gz").dataobj) for folder in ("plain", "tta")
    )
    assert 0 < np.abs(plain - mirrored).max() <= 1


def test_a_model_trained_without_flips_is_not_mirrored(work: Path, call: Call) -> None:
    folder = work / "straight"
    shutil.copytree((work / "runs" / "latest").resolve() / "checkpoints" / "last", folder)
    card = json.loads((folder / "model.json").read_text())
    card["experiment"]["augmentation"]["spatial"] = []
    (folder / "model.json").write_text(json.dumps(card))
    result = call("predict", "in/phantom_000.nii.gz", "--model", folder, "--tta")
    assert result.code == 2
    assert "trained without flips" in result.err
    assert "leave --tta out" in result.err
    assert call("predict", "in/phantom_000.nii.gz", "--model", folder).code == 0


def change_weights(model: Path) -> None:
    """Into those of another model, with a card that is true of them."""
    weights, card = checkpoint.files_of(model)
    save_file({name: values * 1.01 for name, values in load_file(weights).items()}, weights)
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": checkpoint.sha256_of(weights)}))


def test_several_models_predict_together_and_are_told(work: Path, call: Call) -> None:
    run = (work / "runs" / "latest").resolve()
    for name in ("best", "last"):
        shutil.copytree(run / "checkpoints" / name, work / name)
    change_weights(work / "last")
    result = call("predict", "in/phantom_000.nii.gz", "--model", "best", "--model", "last", "--json", "told.json")
    assert result.code == 0, result.err
    assert "model best, last: " in result.out
    told = json.loads((work / "told.json").read_text())["model"]
    assert (told["folder"], told["others"], told["members"]) == ("best", ["last"], 2)
    missing = call("predict", "in/phantom_000.nii.gz", "--model", "best", "--model", "gone")
    assert missing.code == 2
    assert "no model at gone" in missing.err


def test_only_the_largest_piece_of_a_region_is_kept_where_that_is_asked_for(work: Path, call: Call) -> None:
    from scipy import ndimage

    words = ["in", "-o", "out", "--keep-largest", "whole_tumor", "--keep-largest", "tumor_core", "--json", "one.json"]
    result = call("predict", *words)
    assert result.code == 0, result.err
    assert "post-processing: whole_tumor, tumor_core: only the largest piece is kept" in " ".join(result.out.split())
    assert len(json.loads((work / "one.json").read_text())["settings"]["postprocessing"]) == 2
    for file in (work / "out").iterdir():
        whole = np.asarray(nib.load(file).dataobj) > 0
        sizes = np.bincount(ndimage.label(whole, np.ones((3, 3, 3)))[0][whole])[1:]
        assert len(set(sizes.tolist())) <= 1  # of several that are the largest none is dropped
    model = load_model(Path("runs/latest"), changes={"device": "cpu"})
    assert [step.region for step in keep_largest(model, ["all"]).steps] == list(REGIONS)
    assert keep_largest(model, []) is model
    with pytest.raises(UsageError, match=r"no such region, did you mean 'tumor_core'.*all"):
        keep_largest(model, ["tumour_core"])


def test_empty_patches_are_counted_and_change_nothing(work: Path, call: Call) -> None:
    image = nib.load(work / "in" / "phantom_000.nii.gz")
    scan = np.pad(np.moveaxis(np.asarray(image.dataobj), -1, 0), ((0, 0), (0, 0), (0, 0), (0, 64)))
    create(work / "scan.nii.gz", scan, image.affine)
    for name, words in (("all", ()), ("some", ("--skip-empty", "--tta"))):
        result = call("predict", "scan.nii.gz", "-o", f"{name}.nii.gz", "--json", f"{name}.json", *words)
        assert result.code == 0, result.err
    assert "of 5 patches skipped, there is nothing in them" in result.err
    assert "mirrored along" in result.out
    told = [json.loads((work / f"{name}.json").read_text())["cases"][0]["skipped_patches"] for name in ("all", "some")]
    assert told == [None, 2]
    full = call("predict", "in/phantom_000.nii.gz", "-o", "full.nii.gz", "--skip-empty")
    assert "0 of 1 patches skipped" in full.err
    assert "nothing in" not in full.err
    assert call("predict", "scan.nii.gz", "-o", "mirrored.nii.gz", "--tta").code == 0
    found, expected = (np.asarray(nib.load(work / f"{name}.nii.gz").dataobj) for name in ("some", "mirrored"))
    assert np.array_equal(found, expected)


def test_uncertainty_lies_beside_the_label_map_and_leaves_it_alone(work: Path, call: Call) -> None:
    scan = "in/phantom_000.nii.gz"
    assert call("predict", scan, "-o", "plain", "--tta").code == 0
    for kind in ("entropy", "disagreement"):
        more = ("--skip-empty", "--uncertainty", kind, "--ram-budget", "8GiB", "--json", "told.json")
        result = call("predict", scan, "-o", kind, "--tta", *more)
        assert result.code == 0, result.err
        settings = json.loads((work / "told.json").read_text())["settings"]
        assert (settings["skip_empty"], settings["uncertainty"]) == (True, kind)
        assert settings["budgets"] == {"ram": 8 * 2**30, "vram": None}
        assert names(work / kind) == sorted([f"phantom_000_{kind}.nii.gz", "phantom_000_seg.nii.gz"])
        found = nib.load(work / kind / f"phantom_000_{kind}.nii.gz")
        assert found.get_data_dtype() == np.float32
        assert 0 < np.asarray(found.dataobj).max() <= 1
        labels, plain = (nib.load(work / folder / "phantom_000_seg.nii.gz").dataobj for folder in (kind, "plain"))
        assert np.array_equal(np.asarray(labels), np.asarray(plain))
    refused = call("predict", scan, "-o", "out", "--uncertainty", "disagreement")
    assert refused.code == 2
    assert "--tta" in refused.err
    assert call("predict", scan, "-o", "out", "--uncertainty", "doubt").code == 2
