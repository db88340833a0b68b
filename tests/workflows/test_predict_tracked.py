"""Predictions in a tracker's table: slices as they lie in the files, of which no more than a slab is in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import AFFINE, save_model

from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.progress import Silent
from torchio_seg.records import Case
from torchio_seg.reports.slices import as_seen, to_grey
from torchio_seg.tracking.interface import Picture
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.nifti import create, write_like
from torchio_seg.workflows.dicom_inputs import open_image
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict_tracked import track_predictions
from torchio_seg.workflows.predictions import Effort, Predictions, Written
from torchio_seg.workflows.preview_steps import GREY_PERCENTILES

KEEPING = """
from torchio_seg.tracking.interface import Nothing, Shown
ROWS = []

class Keeping(Nothing):
    shown = Shown(0, 2)
    def table(self, key, columns):
        return self
    def add(self, *cells):
        ROWS.append(cells)
    def finish(self, failed=False):
        pass

def build(run):
    ROWS.clear()
    return Keeping()
"""
NOTHING = Effort(0, 0, 0, 0)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows that the tracker of this name was given."""
    (tmp_path / "keeping_rows.py").write_text(KEEPING)
    monkeypatch.syspath_prepend(tmp_path)
    import keeping_rows

    return keeping_rows.ROWS  # type: ignore[no-any-return]


def model(folder: Path, channels: tuple[str, ...]) -> LoadedModel:
    loaded = load_model(save_model(folder / "model", channels=channels))
    tracker = loaded.experiment.tracker.model_validate({"name": "keeping_rows.build"})
    return replace(loaded, experiment=loaded.experiment.model_copy(update={"tracker": tracker}))


def written(
    folder: Path, images: list[np.ndarray], label_map: np.ndarray, name: str = "a", affine: np.ndarray = AFFINE
) -> Written:
    files = [folder / f"{name}_{number}.nii" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        create(file, image, affine)
    create(folder / f"{name}_seg.nii.gz", label_map, affine)
    return Written(Case(name, tuple(files)), (folder / f"{name}_seg.nii.gz",), {}, 1.0, NOTHING)


@pytest.mark.parametrize("affine", [AFFINE, np.diag([1.0, -1.0, -1.5, 1.0])])
def test_slices_are_those_of_the_image_turned_upright(affine: np.ndarray, tmp_path: Path, kept: list[Any]) -> None:
    shape = (20, 18, 22)
    images = [np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32) for seed in range(2)]
    label_map = np.zeros(shape, np.uint8)
    label_map[3:9, 5:7, 2:12], label_map[4:6, 13, 3:6] = 1, 2
    outcome = written(tmp_path, images, label_map, affine=affine)
    track_predictions(model(tmp_path, ("x", "y")), Predictions((outcome,), 0.0), tmp_path, progress=Silent())
    turn = Orientation.to_ras(affine)
    image, found = turn.apply(np.stack(images)), turn.apply(label_map[None])[0]
    assert len({row[1] for row in kept}) == 2
    for case, index, *pictures, first, second in kept:
        assert (case, first, second) == ("a", int((label_map == 1).sum()), int((label_map == 2).sum()))
        for channel, picture in zip(image, pictures, strict=True):
            assert isinstance(picture, Picture)
            window = tuple(np.percentile(channel, GREY_PERCENTILES))
            grey = np.rint(255 * to_grey(channel[:, :, index], window))
            assert np.abs(as_seen(grey) - picture.pixels).max() <= 1
            assert np.array_equal(picture.overlays[0].mask, as_seen(found[:, :, index] == 1))
    assert any(np.any(row[2].overlays[1].mask) for row in kept), "the small region too"


def test_no_more_of_an_image_is_in_memory_than_a_slab(tmp_path: Path, kept: list[Any]) -> None:
    shape = (128, 128, 128)
    images = [np.ones(shape, np.float32)] * 4
    label_map = np.zeros(shape, np.uint8)
    label_map[20:90, 30:100, 40:70] = 1
    outcome = written(tmp_path, images, label_map)
    loaded = model(tmp_path, tuple("wxyz"))
    tracemalloc.start()
    try:
        track_predictions(loaded, Predictions((outcome,), 0.0), tmp_path, progress=Silent())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(kept) == 2
    assert peak < sum(image.nbytes for image in images)


@pytest.mark.parametrize("channels", [("x",), ("x", "y")])
def test_a_series_of_dicom_is_drawn_where_its_label_map_is_a_volume(
    channels: tuple[str, ...], tmp_path: Path, kept: list[Any]
) -> None:
    image = np.random.default_rng(0).integers(1, 900, (20, 18, 22)).astype(np.int16)
    origins = [Origin("P1", modality="MR", number=number) for number in range(1, len(channels) + 1)]
    folders = tuple(tmp_path / channel for channel in channels)
    for folder, origin in zip(folders, origins, strict=True):
        write_series(folder, image, AFFINE, origin)
    with open_image(folders[0], wanted=None, nonfinite="refuse", num_images=1) as scan:
        label_map = (scan.source.read(2, 0, scan.shape[2])[0] > 400).astype(np.uint8)
        write_like(tmp_path / "seg.nii.gz", label_map, scan)
    files = (tmp_path / "seg.nii.gz",)
    outcome = Written(Case("a", folders), files, {}, 1.0, NOTHING, series=origins[0].series_uid)
    track_predictions(model(tmp_path, channels), Predictions((outcome,), 0.0), tmp_path, progress=Silent())
    assert len(kept) == 2
    for row in kept:
        mask = row[2].overlays[0].mask
        assert row[2].pixels[mask].min() >= row[2].pixels[~mask].max(), "what is bright is what was found"


def test_a_case_that_cannot_be_read_is_told_of_and_the_others_are_drawn(
    tmp_path: Path, kept: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    shape = (20, 18, 22)
    images, label_map = [np.ones(shape, np.float32)] * 2, np.ones(shape, np.uint8)
    gone, elsewhere, there = (written(tmp_path, images, label_map, name) for name in "abc")
    gone.case.images[1].unlink()
    create(elsewhere.files[0], label_map, np.eye(4), overwrite=True)
    outcomes = Predictions((gone, elsewhere, there), 0.0)
    track_predictions(model(tmp_path, ("x", "y")), outcomes, tmp_path, progress=Silent())
    assert {row[0] for row in kept} == {"c"}
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.split(":")[0] for line in said] == ["a is not drawn", "b is not drawn"]
