"""What is said and refused of a volume before a model is used on it: which input gives which sentence, with numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import AFFINE, save_model, scan

from torchio_seg.checkpoint import ChannelSeen, Seen
from torchio_seg.errors import DataError
from torchio_seg.records import Case
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.reading import Volume
from torchio_seg.workflows.guards import inspect
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.opening import load_model

CHANNEL = ChannelSeen((40.0, 60.0), (90.0, 110.0), (140.0, 160.0))
SEEN = Seen(
    num_cases=3,
    spacing_mm=((1.0, 1.0, 1.0), (1.5, 1.5, 1.5)),
    shape=((20.0, 20.0, 18.0), (24.0, 24.0, 24.0)),
    extent_mm=((20.0, 20.0, 20.0), (36.0, 36.0, 36.0)),
    channels=(CHANNEL, CHANNEL),
)
FILE = Path("patient.nii.gz")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """For two channels, FLAIR and T1w, trained on cases as SEEN describes them."""
    loaded = load_model(save_model(tmp_path_factory.mktemp("guards") / "model"))
    return replace(loaded, card=replace(loaded.card, seen=SEEN))


def volume(array: np.ndarray | None = None, affine: np.ndarray = AFFINE, num_zeroed: int = 0) -> Volume:
    return Volume(FILE, scan() if array is None else array, affine, None, num_zeroed)


def said(model: LoadedModel, found: Volume, *, images: tuple[str, ...] = (FILE.name,), implicit: bool = False) -> Any:
    return inspect(model, found, Case("patient", tuple(map(Path, images))), implicit=implicit)


def stretched(*times: float) -> np.ndarray:
    """The affine of a header with voxels so many times as long along I J K."""
    return AFFINE @ np.diag([*times, 1.0])


def test_a_volume_like_those_of_training_is_used_without_a_word(model: LoadedModel) -> None:
    assert said(model, volume(), implicit=True) == []


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_however_a_volume_is_stored_it_is_measured_along_the_patients_axes(
    model: LoadedModel, axes: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    upright = np.diag([5.0, 1.25, 1.5, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = (upright[:3, :3] * flips)[:, axes]
    array = scan().transpose(0, *(1 + axis for axis in axes))
    assert Orientation.to_ras(affine).apply(array).shape == scan().shape
    assert said(model, volume(array, affine)) == [
        "patient.nii.gz: voxels are 5 x 1.25 x 1.5 mm, those of training 1 x 1 x 1 to 1.5 x 1.5 x 1.5 mm"
    ]


@pytest.mark.parametrize(
    ("times", "what"), [(2.9, ""), (3.1, "voxels"), (49 * 1.5, "voxels"), (0.55, ""), (0.4, "voxels")]
)
def test_voxels_are_said_from_twice_and_refused_from_fifty_times_those_of_training(
    model: LoadedModel, times: float, what: str
) -> None:
    sentences = said(model, volume(affine=stretched(times, 1, 1)))
    assert [sentence.split()[1] for sentence in sentences if "voxels are" in sentence] == [what] * bool(what)


@pytest.mark.parametrize("times", [0.001, 1000.0, 51 * 1.5])
def test_a_voxel_size_in_another_unit_is_refused_with_both_numbers(model: LoadedModel, times: float) -> None:
    told = f"{times:.3g} x 1.25 x 1.5 mm"
    with pytest.raises(DataError) as refused:
        said(model, volume(affine=stretched(times, 1, 1)))
    assert told in str(refused.value)
    assert "trained on 1 to 1.5 mm" in str(refused.value)
    assert "correct it first" in str(refused.value)


def test_a_channel_that_is_scaled_otherwise_is_said_alone_by_its_name(model: LoadedModel) -> None:
    array = scan()
    array[1] *= 1000
    low, middle, high = np.percentile(array[1], (1, 50, 99))
    [sentence] = said(model, volume(array))
    assert sentence == (
        f"patient.nii.gz: T1w has intensities of {low:.4g} (1 %), {middle:.4g} (median) and {high:.4g} (99 %) where it "
        "is not 0, those of training 40 to 60, 90 to 110, 140 to 160"
    )


def test_a_channel_that_shows_nothing_is_refused_by_its_name_and_value(model: LoadedModel) -> None:
    array = scan()
    array[1] = -3.5
    with pytest.raises(DataError, match=r"patient\.nii\.gz: channel T1w is -3\.5 everywhere"):
        said(model, volume(array))


def test_a_model_that_nobody_named_must_be_for_the_kind_of_scan(model: LoadedModel) -> None:
    ct = volume(scan() - 1100 - scan().min())
    with pytest.raises(
        DataError, match=r"looks like CT \(there is air: lowest value -1100\).* trained on FLAIR, T1w.*--model"
    ):
        said(model, ct, implicit=True)
    of_ct = replace(model, card=replace(model.card, is_ct=True, seen=None))
    lowest = f"{scan().min():g}"
    with pytest.raises(DataError, match=rf"does not look like CT \(nothing is as dark as air: lowest value {lowest}\)"):
        said(of_ct, volume(), implicit=True)
    assert said(of_ct, ct, implicit=True) == said(of_ct, volume(), implicit=False) == []


def test_a_header_by_which_the_volume_is_enormous_is_doubted_with_its_size(model: LoadedModel) -> None:
    unseen = replace(model, card=replace(model.card, seen=None))
    [sentence] = said(unseen, volume(affine=np.diag([60.0, 60.0, 60.0, 1.0])))
    shape = (20 * 60, 18 * 60, round(22 * 60 / 1.5))  # the model's voxels are 1 x 1 x 1.5 mm
    size = f"{2 * 4 * np.prod(shape) / 2**30:.0f} GiB"
    grid = f"{' x '.join(map(str, shape))} on the model's grid, {size} in float32"
    assert sentence == (
        f"patient.nii.gz: with voxels of 60 x 60 x 60 mm it has {grid}; if it is not that large, its header is wrong"
    )


@pytest.mark.parametrize(
    ("images", "sentences"),
    [
        (("p_flair.nii.gz", "p_t1.nii.gz"), []),
        (("p-t2f.nii.gz", "p-t1n.nii.gz"), []),
        (
            ("p_t1.nii.gz", "p_FLAIR.nii.gz"),
            ["p_t1.nii.gz is given as FLAIR, its name says T1w", "p_FLAIR.nii.gz is given as T1w, its name says FLAIR"],
        ),
        (("p_flair.nii.gz", "p-seg.nii.gz"), ["p-seg.nii.gz is given as T1w, its name says label"]),
        (("p_flair.nii.gz", "start1.nii.gz"), []),
        (("p_t2.nii.gz",), []),
    ],
)
def test_a_file_whose_name_says_another_channel_is_said(
    model: LoadedModel, images: tuple[str, ...], sentences: list[str]
) -> None:
    assert said(model, volume(), images=images) == [f"patient.nii.gz: {sentence}" for sentence in sentences]


def test_names_mean_nothing_for_channels_of_another_kind_but_a_label_map_is_one(model: LoadedModel) -> None:
    pet = replace(model, card=replace(model.card, channels=("PET", "CT")))
    assert said(pet, volume(), images=("p_t1.nii.gz", "p_t2.nii.gz")) == []
    assert said(pet, volume(), images=("p_seg.nii.gz", "p_t2.nii.gz")) == [
        "patient.nii.gz: p_seg.nii.gz is given as PET, its name says label"
    ]


@pytest.mark.parametrize(("count", "what"), [(1, "1 voxel that is"), (7, "7 voxels that are")])
def test_voxels_that_were_not_read_as_they_are_are_counted(model: LoadedModel, count: int, what: str) -> None:
    assert said(model, volume(num_zeroed=count)) == [f"patient.nii.gz: {what} NaN or infinite and read as 0"]


def test_every_oddity_is_said_and_in_the_same_order(model: LoadedModel) -> None:
    sentences = said(
        model, volume(scan() * 1000, stretched(4, 1, 1), num_zeroed=2), images=("a_t1.nii.gz", "a_t2.nii.gz")
    )
    starts = ["2 voxels", "a_t1.nii.gz", "a_t2.nii.gz", "voxels are 4", "FLAIR has", "T1w has"]
    for sentence, start in zip(sentences, starts, strict=True):
        assert sentence.startswith(f"patient.nii.gz: {start}")
