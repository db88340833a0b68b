import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from series_files import AXIAL, GRIDS, OBLIQUE, SAGITTAL, grid, turned

from torchio_seg.errors import VolumeError
from torchio_seg.phantoms.dicom import Origin, write_rtstruct, write_series
from torchio_seg.volumes.dicom import Grid, arrange, scan
from torchio_seg.volumes.rtstruct import read_structures
from torchio_seg.volumes.rtstruct_masks import rasterise

SHAPE, SPACING = (40, 31, 14), (0.9, 1.3, 2.0)
ANALYTIC_GRIDS = {
    "axial": grid(AXIAL, SPACING),
    "downwards": grid(AXIAL * (1, 1, -1), SPACING),
    "sagittal": grid(SAGITTAL, SPACING),
    "oblique": grid(turned(OBLIQUE) @ AXIAL, SPACING),
    "oblique downwards": grid(turned(OBLIQUE) @ AXIAL * (1, 1, -1), SPACING),
}
ORIGIN = Origin("P1")
MIDDLE = np.multiply(np.subtract(SHAPE, 1), SPACING) / 2

Circles = Callable[[float], list[tuple[float, float, float]]]
"""From a height in millimetres to circles there: centre along I and J, radius."""


def make(folder: Path, affine: np.ndarray) -> tuple[Path, Grid]:
    """An empty series, a structure set for it without contours, and the grid as it is read."""
    write_series(folder / "ct", np.zeros(SHAPE, np.int16), affine, ORIGIN)
    (series,) = scan(folder).series
    write_rtstruct(folder / "rs.dcm", {"Lung": np.zeros(SHAPE, bool)}, affine, ORIGIN)
    return folder / "rs.dcm", arrange(series)


def draw(path: Path, contours: Sequence[np.ndarray], kind: str = "CLOSED_PLANAR") -> None:
    """Give the first ROI these contours, points x 3 in DICOM's millimetres."""
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[0].ContourSequence = []
    for points in contours:
        contour = pydicom.Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
        contour.ContourData = [f"{value:.6f}"[:16] for value in np.ravel(points)]
        dataset.ROIContourSequence[0].ContourSequence.append(contour)
    dataset.save_as(path)


def ring(affine: np.ndarray, index: float, circle: tuple[float, float, float], points: int = 256) -> np.ndarray:
    """A circle on a slice of the grid that was written, in DICOM's millimetres."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    first = (circle[0] + circle[2] * np.cos(angles)) / SPACING[0]
    second = (circle[1] + circle[2] * np.sin(angles)) / SPACING[1]
    voxels = np.column_stack([first, second, np.full(points, index), np.ones(points)])
    return voxels @ affine[:3].T * (-1, -1, 1)


def sphere(height: float) -> list[tuple[float, float, float]]:
    squared = 10.5**2 - (height - MIDDLE[2]) ** 2
    return [(MIDDLE[0] + 0.3, MIDDLE[1] - 0.4, squared**0.5)] if squared > 0.1 else []


def torus(height: float) -> list[tuple[float, float, float]]:
    squared = 4.6**2 - (height - MIDDLE[2]) ** 2
    if squared <= 0.1:
        return []
    return [(MIDDLE[0], MIDDLE[1], 11.1 + squared**0.5), (MIDDLE[0], MIDDLE[1], 11.1 - squared**0.5)]


def two_balls(height: float) -> list[tuple[float, float, float]]:
    squared = 7.7**2 - (height - MIDDLE[2]) ** 2
    return [(MIDDLE[0] + side * 9.1, MIDDLE[1] + side, squared**0.5) for side in (1, -1) if squared > 0.1]


def voxelised(shape: Circles, grid_: Grid, affine: np.ndarray) -> np.ndarray:
    """The shape on the grid that was read, voxel centre by voxel centre, through millimetres."""
    indices = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    millimetres = indices @ grid_.affine[:3, :3].T + grid_.affine[:3, 3]
    back = np.linalg.inv(affine)
    places = (millimetres @ back[:3, :3].T + back[:3, 3]) * SPACING
    mask = np.zeros(SHAPE, bool)
    for k in range(SHAPE[2]):
        for first, second, radius in shape(places[0, 0, k, 2]):
            mask[:, :, k] ^= np.hypot(places[:, :, k, 0] - first, places[:, :, k, 1] - second) < radius
    return mask


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


@pytest.mark.parametrize("shape", [sphere, torus, two_balls])
@pytest.mark.parametrize("affine", ANALYTIC_GRIDS.values(), ids=ANALYTIC_GRIDS)
def test_analytic_shapes_come_out_where_they_are(tmp_path: Path, affine: np.ndarray, shape: Circles) -> None:
    path, grid_ = make(tmp_path, affine)
    draw(path, [ring(affine, k, circle) for k in range(SHAPE[2]) for circle in shape(k * SPACING[2])])
    mask = rasterise(read_structures(path), ["Lung"], grid_)["Lung"]
    expected = voxelised(shape, grid_, affine)
    assert expected.sum() > 500
    assert dice(mask, expected) > 0.995
    offset = np.argwhere(mask).mean(axis=0) - np.argwhere(expected).mean(axis=0)
    assert np.abs(offset).max() < 0.03


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_masks_that_were_traced_come_back_exactly(tmp_path: Path, affine: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    masks = {"noise": rng.random((12, 9, 7)) > 0.5, "full": np.ones((12, 9, 7), bool)}
    write_series(tmp_path / "ct", np.zeros((12, 9, 7), np.int16), affine, ORIGIN)
    write_rtstruct(tmp_path / "rs.dcm", masks, affine, ORIGIN)
    (series,) = scan(tmp_path).series
    grid_ = arrange(series)
    same_way = np.allclose(grid_.affine, affine, atol=1e-6)
    for name, mask in rasterise(read_structures(tmp_path / "rs.dcm"), ["noise", "full"], grid_).items():
        np.testing.assert_array_equal(mask if same_way else mask[:, :, ::-1], masks[name])


# ── what is wrong with contours ─────────────────────────────────────────────────────────────────────────────────


AFFINE = ANALYTIC_GRIDS["axial"]
CIRCLE = (18.0, 20.0, 8.0)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Grid]:
    path, grid_ = make(tmp_path, AFFINE)
    draw(path, [ring(AFFINE, k, CIRCLE) for k in range(3, 8)])
    return path, grid_


def refused(made: tuple[Path, Grid], *words: str, name: str = "Lung") -> None:
    with pytest.raises(VolumeError) as caught:
        rasterise(read_structures(made[0]), [name], made[1])
    for word in words:
        assert word in str(caught.value)


def change(path: Path, **changes: object) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset.StructureSetROISequence[0], keyword, value)
    dataset.save_as(path)


def test_rois_are_listed_with_their_contours(made: tuple[Path, Grid]) -> None:
    (roi,) = read_structures(made[0]).rois
    assert (roi.name, roi.number, dict(roi.kinds), roi.is_closed) == ("Lung", 1, {"CLOSED_PLANAR": 5}, True)


def test_points_are_listed_as_not_closed_and_make_no_mask(made: tuple[Path, Grid]) -> None:
    draw(made[0], [np.array([[1.0, 2.0, 3.0]])], kind="POINT")
    assert not read_structures(made[0]).rois[0].is_closed
    refused(made, "1 POINT", "CLOSED_PLANAR")


def test_points_beside_contours_are_counted(made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture) -> None:
    dataset = pydicom.dcmread(made[0])
    dataset.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    dataset.save_as(made[0])
    rasterise(read_structures(made[0]), ["Lung"], made[1])
    assert "1 of its contours (1 OPEN_PLANAR, 4 CLOSED_PLANAR) enclose nothing" in caplog.text


def test_an_unknown_name_lists_those_that_there_are(made: tuple[Path, Grid]) -> None:
    refused(made, "no ROI 'Lugn'", "did you mean 'Lung'?", "it holds Lung", name="Lugn")


def test_a_name_in_other_letters_is_taken_and_said(made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "torchio_seg")
    assert rasterise(read_structures(made[0]), ["LUNG"], made[1])["LUNG"].any()
    assert "ROI 'Lung' is taken for 'LUNG'" in caplog.text


def test_a_name_that_stands_twice_is_refused(made: tuple[Path, Grid]) -> None:
    dataset = pydicom.dcmread(made[0])
    dataset.StructureSetROISequence.append(dataset.StructureSetROISequence[0])
    dataset.save_as(made[0])
    refused(made, "2 ROIs match 'Lung'")


def test_an_roi_without_contours_is_refused(tmp_path: Path) -> None:
    refused(make(tmp_path, AFFINE), "no contours")


def test_another_frame_of_reference_is_refused(made: tuple[Path, Grid]) -> None:
    change(made[0], ReferencedFrameOfReferenceUID="1.2.3")
    refused(made, "FrameOfReferenceUID", "1.2.3", "registration")


def test_another_series_than_the_one_drawn_on_is_refused(made: tuple[Path, Grid]) -> None:
    other = replace(made[1], series=replace(made[1].series, uid="1.2.3"))
    refused((made[0], other), "was drawn on series", "not on", "1.2.3")


def test_a_file_that_is_no_structure_set_is_refused(made: tuple[Path, Grid]) -> None:
    refused((made[1].slices[0].path, made[1]), "is no RTSTRUCT but CT")


@pytest.mark.parametrize(("index", "words"), [(-0.8, "below the first"), (13.9, "above the last"), (5.5, "half-way")])
def test_contours_beyond_or_between_slices_are_refused(made: tuple[Path, Grid], index: float, words: str) -> None:
    draw(made[0], [ring(AFFINE, index, CIRCLE)])
    refused(made, words, "ROI 'Lung'", "DICOM millimetres")


def test_contours_near_a_slice_are_taken_to_it_and_said(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture
) -> None:
    draw(made[0], [ring(AFFINE, k + 0.3, CIRCLE) for k in range(3, 8)])
    mask = rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"]
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [3, 4, 5, 6, 7]
    assert "0.30 of a slice off" in caplog.text


def test_a_contour_that_leaves_its_plane_is_refused(made: tuple[Path, Grid]) -> None:
    tilted = ring(AFFINE, 5, CIRCLE)
    tilted[:, 2] += np.linspace(0, 1, len(tilted))
    draw(made[0], [tilted])
    refused(made, "leaves its plane")


def test_contours_beside_the_image_are_refused(made: tuple[Path, Grid]) -> None:
    draw(made[0], [ring(AFFINE, 5, (300.0, 20.0, 8.0))])
    refused(made, "beside the image")


def test_contours_on_every_second_slice_leave_gaps_that_are_counted(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture
) -> None:
    draw(made[0], [ring(AFFINE, k, CIRCLE) for k in range(2, 11, 2)])
    mask = rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"]
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [2, 4, 6, 8, 10]
    assert "4 of the 9 slices from its first to its last have no contour" in caplog.text


def test_a_contour_that_stands_twice_is_no_hole(made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture) -> None:
    expected = rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"]
    draw(made[0], [ring(AFFINE, k, CIRCLE) for k in range(3, 8) for _ in range(2)])
    np.testing.assert_array_equal(rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"], expected)
    assert "5 contours stand in it twice" in caplog.text


def test_a_type_that_the_standard_does_not_know_is_refused(made: tuple[Path, Grid]) -> None:
    draw(made[0], [ring(AFFINE, 5, CIRCLE)], kind="CIRCLE")
    refused(made, "is of type CIRCLE", "CLOSED_PLANAR")


def test_a_truncated_file_never_gives_another_mask(made: tuple[Path, Grid]) -> None:
    expected, content = rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"], made[0].read_bytes()
    for kept in range(200, len(content), 997):
        made[0].write_bytes(content[:kept])
        try:
            mask = rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"]
        except VolumeError:
            continue
        np.testing.assert_array_equal(mask, expected)


def test_a_wrong_count_of_points_is_refused(made: tuple[Path, Grid]) -> None:
    dataset = pydicom.dcmread(made[0])
    dataset.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 5
    dataset.save_as(made[0])
    refused(made, "states 5 points and has 256")


# ── several contours on a slice ─────────────────────────────────────────────────────────────────────────────────


def mask_of(made: tuple[Path, Grid], contours: Sequence[np.ndarray], kind: str = "CLOSED_PLANAR") -> np.ndarray:
    draw(made[0], contours, kind)
    return rasterise(read_structures(made[0]), ["Lung"], made[1])["Lung"]


@pytest.mark.parametrize(
    ("step", "count", "taken"),
    [(1 / 3, 13, (0, 3, 6, 9, 12)), (1 / 2, 10, (0, 2, 4, 6, 8)), (2 / 3, 7, (0, 1, 3, 4, 6))],
)
def test_of_contours_closer_than_slices_each_slice_takes_those_nearest_to_it(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture, step: float, count: int, taken: Sequence[int]
) -> None:
    circles = [(18.0, 20.0, 4.0 + number / 2) for number in range(count)]
    mask = mask_of(made, [ring(AFFINE, 3 + step * number, circle) for number, circle in enumerate(circles)])
    assert f"{count - len(taken)} contours lie between slices and were left out" in caplog.text
    expected = mask_of(made, [ring(AFFINE, 3 + k, circles[number]) for k, number in enumerate(taken)])
    np.testing.assert_array_equal(mask, expected)


def test_a_contour_half_way_beside_contours_on_slices_is_left_out(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture
) -> None:
    mask = mask_of(made, [ring(AFFINE, plane, CIRCLE) for plane in (3, 3.5, 4, 4.5)])
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [3, 4]
    assert "2 contours lie between slices" in caplog.text
    assert "of a slice off" not in caplog.text


def test_contours_that_cross_are_taken_together_and_said(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = ring(AFFINE, 5, CIRCLE), ring(AFFINE, 5, (24.0, 20.0, 6.0))
    one, other = mask_of(made, [first]), mask_of(made, [second])
    np.testing.assert_array_equal(mask_of(made, [first, second]), one | other)
    assert f"{np.count_nonzero(one & other)} voxels in several are taken as inside" in caplog.text


def test_of_contours_that_are_meant_to_be_left_out_where_they_meet_the_common_part_is(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = ring(AFFINE, 5, CIRCLE), ring(AFFINE, 5, (24.0, 20.0, 6.0))
    one, other = mask_of(made, [first]), mask_of(made, [second])
    np.testing.assert_array_equal(mask_of(made, [first, second], "CLOSEDPLANAR_XOR"), one ^ other)
    assert "cross" not in caplog.text


def test_a_contour_that_begins_elsewhere_or_runs_backwards_is_the_same(
    made: tuple[Path, Grid], caplog: pytest.LogCaptureFixture
) -> None:
    outline = ring(AFFINE, 5, CIRCLE)
    expected = mask_of(made, [outline])
    np.testing.assert_array_equal(mask_of(made, [outline, np.roll(outline, 7, axis=0), outline[::-1]]), expected)
    assert "2 contours stand in it twice" in caplog.text
