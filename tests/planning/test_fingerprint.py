"""What a data set is in numbers, beside the same by hand."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from torchio_seg.config.resolve import resolve
from torchio_seg.phantoms.cohort import choose
from torchio_seg.phantoms.layouts.catalogue import write_layout
from torchio_seg.planning.fingerprint import CaseGrid, count_classes
from torchio_seg.progress import Silent
from torchio_seg.records import Labels
from torchio_seg.workflows.plan_data import list_cases, see

LAYOUTS = {"decathlon": ("decathlon", "brain"), "nnunet": ("nnunet", "abdomen"), "folders": ("folders", "thorax")}


def experiment_of(layout: str, root: Path, **preprocessing: object) -> object:
    settings = {"name": "x", "dataset": {"name": layout, "root": str(root)}, "split": {"fold": "all"}}
    return resolve({**settings, "preprocessing": preprocessing or {"spacing": "native"}}, {}, "test")


@pytest.fixture(scope="module", params=sorted(LAYOUTS))
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, object]:
    layout, kind = LAYOUTS[request.param]
    root = tmp_path_factory.mktemp(layout) / "data"
    channels = 2 if kind == "brain" else 1
    write_layout(root, layout, choose(kind, cases=4, shape=(24, 24, 16), channels=channels, seed=3))
    experiment = experiment_of(layout, root)
    listed = list_cases(experiment, Silent())
    return listed, see(experiment, listed, Silent())


def labels_of(listed: object) -> list[np.ndarray]:
    return [np.asarray(nib.load(case.label).dataobj).astype(int) for case in listed.training]


def test_classes_are_counted_as_by_hand(seen: tuple) -> None:
    listed, found = seen
    maps = labels_of(listed)
    for each in found.fingerprint.classes:
        counts = [int((label == each.value).sum()) for label in maps]
        assert each.voxels == sum(counts)
        assert each.num_cases == sum(count > 0 for count in counts)
        assert each.share == pytest.approx(sum(counts) / sum(label.size for label in maps))


def test_intensities_reach_from_the_lowest_to_the_highest_voxel(seen: tuple) -> None:
    listed, found = seen
    for number, intensity in enumerate(found.fingerprint.looks.intensities):
        volumes = []
        for case in listed.training:
            files = [np.asarray(nib.load(path).dataobj) for path in case.images]
            volume = files[0] if len(files) == 1 else np.stack(files, axis=-1)
            volumes.append(volume if volume.ndim == 3 else volume[..., number])
        assert intensity.lowest == pytest.approx(min(float(volume.min()) for volume in volumes))
        assert intensity.highest == pytest.approx(max(float(volume.max()) for volume in volumes))
        inside = np.concatenate([volume[label > 0] for volume, label in zip(volumes, labels_of(listed), strict=True)])
        assert intensity.foreground_mean == pytest.approx(float(inside.mean()), rel=1e-4)
        assert intensity.foreground_percentiles[1] == pytest.approx(float(np.median(inside)), rel=1e-3, abs=1.0)


def test_what_is_labelled_reaches_as_far_as_by_hand(seen: tuple) -> None:
    listed, found = seen
    reaches = []
    for case, label, grid in zip(listed.training, labels_of(listed), listed.grids, strict=True):
        places = np.argwhere(label > 0)
        if len(places):
            stored = (np.ptp(places, axis=0) + 1).astype(float)
            turned = np.abs(nib.load(case.label).affine[:3, :3]).argmax(axis=1)
            reaches.append(stored[turned] * grid.spacing)
    np.testing.assert_allclose(found.fingerprint.looks.foreground_mm, np.median(reaches, axis=0), rtol=1e-5)


def test_it_is_kept_as_strict_json(seen: tuple) -> None:
    _, found = seen
    content = found.fingerprint.to_json()
    again = json.loads(json.dumps(content, allow_nan=False))
    assert again["num_cases"] == len(again["grids"]) == 4
    assert len(again["median_spacing_mm"]) == 3


def test_axes_are_turned_before_they_are_compared(tmp_path: Path) -> None:
    """Stored as superior, left, anterior; 2 mm from head to foot is the third edge of the plan."""
    affine = np.array([[0, -1.0, 0, 0], [0, 0, 1.5, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    for part, values in (("images", np.arange(24 * 20 * 16)), ("labels", np.arange(24 * 20 * 16) > 4000)):
        (tmp_path / part).mkdir()
        for number in range(2):
            array = np.roll(values, number).reshape(24, 20, 16).astype(np.int16)
            nib.save(nib.Nifti1Image(array, affine), tmp_path / part / f"case{number}.nii.gz")
    [grid, _] = list_cases(experiment_of("folders", tmp_path), Silent()).grids
    assert (grid.shape, grid.spacing) == ((20, 16, 24), (1.0, 1.5, 2.0))


def test_a_class_that_some_cases_lack_is_measured_where_it_is() -> None:
    labels = Labels.of_classes({0: "background", 1: "organ", 2: "lesion"})
    grids = [CaseGrid("a", (4, 4, 4), (1.0, 1.0, 2.0)), CaseGrid("b", (4, 4, 4), (1.0, 1.0, 1.0))]
    organ, lesion = count_classes(labels, [{0: 40, 1: 20, 2: 4}, {0: 54, 1: 10}], grids)
    assert (organ.num_cases, organ.voxels, organ.median_mm3) == (2, 30, 25.0)
    assert (lesion.num_cases, lesion.median_mm3) == (1, 8.0)
