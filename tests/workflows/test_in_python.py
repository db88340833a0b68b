"""A model in a Python program gives what the command writes, in the kind of image that it was given."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import torchio as tio
from small_models import AFFINE, CHANNELS, save_model, scan

from torchio_seg import TorchioSegError, checkpoint, load_model
from torchio_seg.cli import main
from torchio_seg.cli.predict import predict as command
from torchio_seg.config.sections import Prediction
from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.predictor.mirroring import Mirrored
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.skipping import without_skipping
from torchio_seg.volumes.nifti import create, read
from torchio_seg.workflows.budgets import Budgets
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.parameters import with_parameters

DICOM_AFFINE = np.array([[-1.0, 0, 0, 30], [0, -1.25, 0, 20], [0, 0, 1.5, -10], [0, 0, 0, 1]])
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in runs/latest, a scan of both channels, one of each, and what the command makes of the first."""
    place = tmp_path_factory.mktemp("python")
    save_model(place / "runs" / "latest")
    create(place / "scan.nii.gz", scan(), AFFINE)
    for channel, voxels in zip(CHANNELS, scan(), strict=True):
        create(place / f"{channel}.nii.gz", voxels, AFFINE)
    words = ["predict", place / "scan.nii.gz", "--model", place / "runs" / "latest", "-o", place, "--probabilities"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["torchio-seg", *map(str, words)])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load_model(folder / "runs" / "latest")


@pytest.fixture(scope="module")
def written(folder: Path) -> nib.Nifti1Image:
    image = nib.load(folder / "scan_seg.nii.gz")
    assert set(np.unique(np.asanyarray(image.dataobj))) == {0, 1, 2}  # or all below would compare nothing
    return image


GIVEN: dict[str, Callable[[Path], Any]] = {
    "a path": lambda folder: folder / "scan.nii.gz",
    "a path as text": lambda folder: str(folder / "scan.nii.gz"),
    "a path a channel": lambda folder: [folder / f"{channel}.nii.gz" for channel in CHANNELS],
    "paths by channel": lambda folder: {channel: folder / f"{channel}.nii.gz" for channel in reversed(CHANNELS)},
    "a nibabel image": lambda folder: nib.load(folder / "scan.nii.gz"),
    "a nibabel image a channel": lambda folder: [nib.load(folder / f"{channel}.nii.gz") for channel in CHANNELS],
}


@pytest.mark.parametrize("kind", GIVEN)
def test_paths_and_nibabel_images_give_the_file_that_the_command_writes(
    kind: str, folder: Path, model: LoadedModel, written: nib.Nifti1Image
) -> None:
    labels, probabilities = model.predict(GIVEN[kind](folder), probabilities=True)
    assert isinstance(labels, nib.Nifti1Image)
    assert labels.get_data_dtype() == written.get_data_dtype()
    assert np.array_equal(np.asanyarray(labels.dataobj), np.asanyarray(written.dataobj))
    assert np.array_equal(labels.affine, written.affine)
    for key in ("qform_code", "sform_code", "pixdim", "xyzt_units", "srow_x", "quatern_b"):
        assert np.array_equal(labels.header[key], written.header[key]), key
    stored = nib.load(folder / "scan_probabilities.nii.gz")
    assert np.array_equal(np.asanyarray(probabilities.dataobj), np.asanyarray(stored.dataobj))


@pytest.mark.parametrize("split", [False, True], ids=["one of two channels", "one a channel"])
def test_torchio_images_give_a_label_map_in_their_space(split: bool, model: LoadedModel, written: Any) -> None:
    tensors = [torch.from_numpy(scan())] if not split else [torch.from_numpy(each)[None] for each in scan()]
    images = [tio.ScalarImage(tensor=tensor, affine=AFFINE) for tensor in tensors]
    labels, probabilities = model.predict(images if split else images[0], probabilities=True)
    assert type(labels) is tio.LabelMap
    assert type(probabilities) is tio.ScalarImage
    assert np.array_equal(labels.affine, AFFINE)
    assert np.array_equal(labels.data[0].numpy(), np.asanyarray(written.dataobj))
    assert probabilities.data.shape == (3, *labels.spatial_shape)
    assert np.array_equal(probabilities.data.argmax(dim=0).numpy(), labels.data[0].numpy())


@pytest.mark.parametrize("split", [False, True], ids=["one of two channels", "one a channel"])
def test_arrays_give_arrays(split: bool, model: LoadedModel, written: Any) -> None:
    array = scan()
    kept = array.copy()
    labels = model.predict(list(array) if split else array, affine=AFFINE)
    assert isinstance(labels, np.ndarray)
    assert np.array_equal(labels, np.asanyarray(written.dataobj))
    assert np.array_equal(array, kept)


def test_results_can_be_saved_and_read_strictly(tmp_path: Path, folder: Path, model: LoadedModel) -> None:
    path = tmp_path / "labels.nii.gz"
    model.predict(folder / "scan.nii.gz").to_filename(path)
    assert np.array_equal(read(path).array, read(folder / "scan_seg.nii.gz").array)


def test_settings_of_prediction_are_heeded_and_checked(folder: Path, model: LoadedModel) -> None:
    place = folder / "runs" / "latest"
    other = load_model(str(place), device="cpu", patch_size=(16, 16, 20), overlap=0, blending="crop", batch_size=2)
    assert isinstance(other.predictor, Predictor)
    window = other.predictor.window
    assert (window.patch_size, window.overlap, window.blending, window.batch_size) == ((16, 16, 20), 0, "crop", 2)
    for size in (16, "16", "16,16,16"):
        assert load_model(place, patch_size=size).members[0].window.patch_size == (16, 16, 16)
    with pytest.raises(TorchioSegError, match="patch_size 16mm: give one number of voxels or three"):
        load_model(place, patch_size="16mm")
    with pytest.raises(TorchioSegError, match=r"prediction\.overlap"):
        load_model(place, overlap=1.5)


NOISE = scan()
SPOILT = NOISE.copy()
SPOILT[0, 1, 2, 3] = np.nan
FLAT = NOISE.copy()
FLAT[1] = 7
ELSEWHERE = nib.Nifti1Image(NOISE[0], AFFINE @ np.diag([1, 1, 1.5, 1]))
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no affine": (NOISE, {}, "the image is an array.*affine="),
    "an affine too many": (ELSEWHERE, {"affine": AFFINE}, "affine= belongs to an array"),
    "no space": (NOISE, {"affine": np.zeros((4, 4))}, "no place"),
    "a channel short": (NOISE[0], {"affine": AFFINE}, "1 channels, 2 are expected"),
    "two grids": ([nib.Nifti1Image(NOISE[0], AFFINE), ELSEWHERE], {}, "image 2 is not on the grid of image 1"),
    "a NaN": (SPOILT, {"affine": AFFINE}, "1 of 15840 voxels is NaN.*nonfinite"),
    "nothing to see": (FLAT, {"affine": AFFINE}, "channel T1w is 7 everywhere"),
    "complex": (NOISE.astype(np.complex64), {"affine": AFFINE}, "complex64 voxels"),
    "another kind": (7, {"affine": AFFINE}, "the image is int; give a path"),
    "a tensor": (torch.zeros(2, 8, 8, 8), {"affine": AFFINE}, r"is a torch tensor; give image\.numpy.* affine="),
    "masked": (np.ma.masked_less(NOISE, 90), {"affine": AFFINE}, r"masked array.*image\.filled"),
    "a subject": (
        tio.Subject(ct=tio.ScalarImage(tensor=NOISE, affine=AFFINE)),
        {},
        r"Subject with images of ct; .* FLAIR, T1w: .*predict\(\{'FLAIR': subject\[\.\.\.\], 'T1w'",
    ),
    "an unknown channel": ({"FLAIR": NOISE, "T2w": NOISE}, {}, "FLAIR, T2w; the model's channels are FLAIR, T1w"),
    "no image": ([], {}, "empty list"),
    "no file": ("nowhere.nii.gz", {}, "nowhere.nii.gz: does not exist"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_predicted_is_told(case: str, model: LoadedModel) -> None:
    image, options, message = WRONG[case]
    with pytest.raises(TorchioSegError, match=re.compile(message, re.DOTALL)):
        model.predict(image, **options)


def test_voxels_that_are_not_finite_are_0_where_that_is_asked_for(folder: Path) -> None:
    lenient = load_model(folder / "runs" / "latest", nonfinite="zero")
    zeroed = SPOILT.copy()
    zeroed[0, 1, 2, 3] = 0
    assert np.array_equal(lenient.predict(SPOILT, affine=AFFINE), lenient.predict(zeroed, affine=AFFINE))


def test_the_example_of_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/python.md", "exec"), names)  # noqa: S102 - the documentation's own
    expected = read(folder / "scan_seg.nii.gz").array[0]
    assert np.array_equal(read(folder / "labels.nii.gz").array[0], expected)
    assert np.array_equal(names["labels"], expected)


def test_mirroring_and_largest_pieces_are_those_of_the_command(folder: Path, tmp_path: Path) -> None:
    place = folder / "runs" / "latest"
    words = [folder / "scan.nii.gz", "--model", place, "-o", tmp_path / "out.nii.gz", "--tta", "--overlap", "4vox"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["torchio-seg", "predict", *map(str, words), "--keep-largest", "oedema"])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
    model = load_model(place, tta=True, overlap="4vox", keep_largest="oedema")
    labels = model.predict(scan(), affine=AFFINE)
    assert np.array_equal(labels, read(tmp_path / "out.nii.gz").array[0])
    plain = load_model(place, tta=True, overlap="4vox").predict(scan(), affine=AFFINE)
    assert 0 < (labels == 1).sum() < (plain == 1).sum()
    with pytest.raises(TorchioSegError, match="no such region"):
        load_model(place, keep_largest=["kidney"])


@pytest.mark.parametrize("kind", ["entropy", "disagreement"])
def test_uncertainty_is_that_of_the_command_and_comes_last(kind: str, folder: Path, tmp_path: Path) -> None:
    place, mirrored = folder / "runs" / "latest", kind == "disagreement"
    words = ["predict", folder / "scan.nii.gz", "--model", place, "-o", tmp_path, "--uncertainty", kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["torchio-seg", *map(str, words), "--overlap", "0", *["--tta"] * mirrored])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
    written = read(tmp_path / f"scan_{kind}.nii.gz").array[0]
    model = load_model(place, tta=mirrored, overlap=0)
    image = tio.ScalarImage(tensor=torch.from_numpy(scan()), affine=AFFINE)
    labels, probabilities, found = model.predict(image, uncertainty=kind, probabilities=True)
    assert [type(each) for each in (labels, probabilities, found)] == [tio.LabelMap, tio.ScalarImage, tio.ScalarImage]
    assert probabilities.data.shape[0] == 3
    assert np.array_equal(found.data[0].numpy(), written)


def test_uncertainty_alone_comes_beside_the_labels(model: LoadedModel, written: Any) -> None:
    labels, found = model.predict(scan(), affine=AFFINE, uncertainty="entropy")
    assert np.array_equal(labels, np.asanyarray(written.dataobj))
    assert (found.shape, found.dtype) == (labels.shape, np.float32)
    assert 0 < found.max() <= 1


@pytest.mark.parametrize("kind", ["entropy", "disagreement"])
def test_a_network_is_measured_once_for_each_kind_of_uncertainty(kind: str, folder: Path) -> None:
    model = load_model(folder / "runs" / "latest", tta=True, skip_empty=True, overlap=0)
    network = without_skipping(model.members[0].network)
    assert isinstance(network, Mirrored)
    numbers: list[int] = []

    def count(_: torch.nn.Module, images: tuple[torch.Tensor]) -> None:
        numbers.append(len(images[0]))

    network.network.register_forward_pre_hook(count)
    volume, asked, found = scan(shape=(16, 16, 16)), [], []
    for _ in range(3):
        found.append(model.predict(volume, affine=AFFINE, uncertainty=kind)[1])
        asked.append(sum(numbers))
        numbers.clear()
    assert asked[0] > asked[1] == asked[2] > 0
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("kind", "words"), [("variance", "entropy"), ("disagreement", r"uncertainty=\"disagreement\" .* add tta=True")]
)
def test_uncertainty_that_there_is_not_is_told(kind: str, words: str, model: LoadedModel) -> None:
    with pytest.raises(TorchioSegError, match=words):
        model.predict(scan(), affine=AFFINE, uncertainty=kind)


def test_a_budget_is_kept_and_what_does_not_fit_is_refused_with_its_number(folder: Path, model: LoadedModel) -> None:
    place = folder / "runs" / "latest"
    assert load_model(place, ram_budget=8 * 2**30, vram_budget=10**9).budgets == Budgets(8 * 2**30, 10**9)
    ample = load_model(place, ram_budget=64 * 2**30).predict(scan(), affine=AFFINE)
    assert np.array_equal(ample, model.predict(scan(), affine=AFFINE))
    assert load_model(place, ram_budget="8GiB", vram_budget="500MB").budgets == Budgets(8 * 2**30, 5 * 10**8)
    message = r"20 x 18 x 22 voxels takes .* of memory .*, and 10 MB may be used; .*give ram_budget=\"[\d.]+[MG]B\""
    with pytest.raises(TorchioSegError, match=message):
        load_model(place, ram_budget=10**7).predict(scan(), affine=AFFINE)
    for wrong in (0, -4):
        with pytest.raises(TorchioSegError, match=f"vram_budget={wrong}: give a number of bytes above 0"):
            load_model(place, vram_budget=wrong)
    with pytest.raises(TorchioSegError, match="ram_budget 4: give an amount of memory above 0 with its unit"):
        load_model(place, ram_budget="4")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (
            "raise --vram-budget, choose a smaller --patch-size, or",
            "raise vram_budget, choose a smaller patch_size, or",
        ),
        ("use --batch-size 1 or --device cpu, or", 'use batch_size=1 or device="cpu", or'),
        ("leave --tta out; add --trust.", "leave tta=True out; add trust=True."),
        ("scan--2.nii.gz: predict: --nonfinite zero)", 'scan--2.nii.gz: predict: nonfinite="zero")'),
    ],
)
def test_messages_name_parameters_where_they_are_of_flags(said: str, heard: str) -> None:
    assert with_parameters(said) == heard


def test_a_series_is_chosen_as_by_the_command(tmp_path: Path, model: LoadedModel) -> None:
    place = save_model(tmp_path / "model", channels=("CT",))
    voxels = {number: np.rint(scan(number)[0]).astype(np.int16) for number in (3, 4)}
    for number, description in ((3, "THORAX"), (4, "Liver venous")):
        write_series(
            tmp_path / "study" / f"s{number}", voxels[number], DICOM_AFFINE, Origin("P1", "CT", number, description)
        )
    ct = load_model(place)
    expected = ct.predict(voxels[4], affine=DICOM_AFFINE)
    assert not np.array_equal(expected, ct.predict(voxels[3], affine=DICOM_AFFINE))
    for series in ("4", "2", "*venous"):  # its number, its row, a pattern
        found = ct.predict(tmp_path / "study", series=series)
        assert np.array_equal(np.asanyarray(found.dataobj), expected), series
    with pytest.raises(TorchioSegError, match="2 series are volumes"):
        ct.predict(tmp_path / "study")
    with pytest.raises(TorchioSegError, match="series='4' belongs to DICOM"):
        ct.predict(voxels[4], affine=DICOM_AFFINE, series="4")


def test_every_setting_of_prediction_is_an_argument_here_and_an_option_of_the_command() -> None:
    for taken in (load_model, command):
        assert set(Prediction.model_fields) <= set(inspect.signature(taken).parameters)


def test_a_scan_unlike_the_trainings_is_remarked_on_and_nonsense_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = save_model(tmp_path / "model")
    channel = checkpoint.ChannelSeen((40.0, 60.0), (90.0, 110.0), (140.0, 160.0))
    edges = ((1.0, 1.0, 1.0), (1.5, 1.5, 1.5))
    seen = checkpoint.Seen(3, edges, ((20.0,) * 3, (30.0,) * 3), ((20.0,) * 3, (45.0,) * 3), (channel, channel))
    card = replace(checkpoint.read_card(place), seen=seen)
    (place / "model.json").write_text(checkpoint.card_text(card))
    model = load_model(place)
    listening = logging.getLogger("torchio_seg")
    listening.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, "torchio_seg"):
            model.predict(scan(), affine=AFFINE)
            assert caplog.messages == []
            model.predict(scan() * 90, affine=AFFINE)
            assert any("FLAIR has intensities of" in message and "90 to 110" in message for message in caplog.messages)
            caplog.clear()
            model.predict(scan(), affine=AFFINE @ np.diag([4, 1, 1, 1]))
            assert any("voxels are" in message and "those of training" in message for message in caplog.messages)
    finally:
        listening.removeHandler(caplog.handler)
    with pytest.raises(TorchioSegError, match=r"the image: its header says that voxels are .*metres"):
        model.predict(scan(), affine=AFFINE @ np.diag([1000, 1000, 1000, 1]))


def test_a_file_that_is_named_as_another_channel_is_remarked_on(
    tmp_path: Path, model: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / "patient_t1.nii.gz", tmp_path / "patient_flair.nii.gz"]
    for file, voxels in zip(files, scan(), strict=True):
        create(file, voxels, AFFINE)
    listening = logging.getLogger("torchio_seg")
    listening.addHandler(caplog.handler)
    try:
        model.predict(files)
    finally:
        listening.removeHandler(caplog.handler)
    assert any("patient_t1.nii.gz is given as FLAIR" in message for message in caplog.messages)
