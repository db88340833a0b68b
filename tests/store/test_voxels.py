"""A case in the store is what preprocessing makes of it, and any box of it is that part of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stored_cases import AFFINE, LAYOUT, SPACED, write_case
from whole_volumes import normalize

from torchio_seg.errors import DataError
from torchio_seg.records import Case
from torchio_seg.sampling.choices import Foreground, Weighted
from torchio_seg.sampling.patches import to_subject
from torchio_seg.sampling.samplers import CaseSampler
from torchio_seg.sampling.seeds import seeded
from torchio_seg.store.laying import Layout, lay_out
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.transforms import spatial
from torchio_seg.transforms.maps import Box
from torchio_seg.transforms.normalization import learn_landmarks, measure
from torchio_seg.transforms.preprocessing import labels_to_model_grid, to_model_grid
from torchio_seg.transforms.random import RandomMove
from torchio_seg.transforms.recipe import Recipe, Statistics
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.nifti import create


def model_grid(case: Case, recipe: Recipe = SPACED) -> tuple[torch.Tensor, torch.Tensor]:
    volume = read_channels(case.images, 2)
    image, grids = to_model_grid(volume.array, volume.affine, recipe)
    return image, labels_to_model_grid(read_case_label(case, (0, 1, 2)).array, grids)


def whole(shape: tuple[int, ...]) -> Box:
    return Box((0, 0, 0), (shape[1], shape[2], shape[3]))


def normalizations(image: torch.Tensor) -> list[Recipe]:
    statistics = (Statistics(300, 700, 500, 90), Statistics(20000, 70000, 50000, 9000))
    landmarks = learn_landmarks([measure(image), measure(2 * image)])
    names = ("none", "zscore", "zscore_all", "minmax", "window", "percentile", "histogram")
    return [
        replace(SPACED, normalization=name, window=(-5.0, 600.0), statistics=statistics, landmarks=landmarks)
        for name in names
    ]


def test_what_is_kept_is_the_case_on_the_models_grid_in_every_normalisation(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    [exact] = prepare(Store(tmp_path / "store"), [case], replace(LAYOUT, dtype="float32"))
    image, label = model_grid(case)
    voxels = exact.open()
    assert np.prod(voxels.size) < np.prod(image.shape[1:]) / 2, "only the box that is not empty is kept"
    for recipe in normalizations(image):
        found, labels = voxels.read(whole(image.shape), recipe)
        assert torch.equal(found, normalize(image, recipe)), recipe.normalization
        assert torch.equal(labels, label)


def test_float16_rounds_to_eleven_bits_and_keeps_zero_and_large_values(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    [half] = prepare(Store(tmp_path / "store"), [case], LAYOUT)
    image, _ = model_grid(case)
    found, _ = half.open().read(whole(image.shape), SPACED)
    assert half.open().image.dtype == np.float16
    assert image.max() > np.finfo(np.float16).max
    assert ((found - image).abs() <= image.abs() / 2**11).all()


@pytest.mark.parametrize("shape", [(9, 30, 12), (40, 40, 40)])
def test_any_box_is_that_part_of_the_whole_with_air_around_it(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    case = write_case(tmp_path)
    voxels = lay_out(case, replace(LAYOUT, dtype="float32"))
    image, _ = model_grid(case)
    for recipe in normalizations(image):
        expected = normalize(image, recipe)
        air = expected.amin(dim=(1, 2, 3)) if recipe.normalization == "percentile" else torch.zeros(2)
        margin = 45
        wide = torch.nn.functional.pad(torch.zeros_like(expected), [margin] * 6) + air.view(-1, 1, 1, 1)
        i, j, k = expected.shape[1:]
        wide[:, margin : margin + i, margin : margin + j, margin : margin + k] = expected
        for start in ((-4, -3, 2), (5, 1, -40), (0, 0, 0), (20, 20, 20)):
            found, label = voxels.read(Box(start, shape), recipe)
            place = [slice(margin + first, margin + first + n) for first, n in zip(start, shape, strict=True)]
            assert torch.equal(found, wide[:, *place]), (recipe.normalization, start)
            assert label.shape == (1, *shape)


def test_the_index_names_every_foreground_voxel_of_its_class(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    voxels = lay_out(case, LAYOUT)
    _, label = model_grid(case)
    assert voxels.classes == [1, 2]
    for value in voxels.classes:
        count = voxels.record.counts[value]
        found = {voxels.voxel_of(value, number) for number in range(count)}
        assert found == set(map(tuple, torch.argwhere(label[0] == value).tolist()))
        assert len(found) == count
    ignoring = lay_out(case, replace(LAYOUT, ignore=2))
    assert ignoring.classes == [1]
    assert len(ignoring.foreground) == ignoring.record.counts[1]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_histogram_with_tied_percentiles_is_matched_without_leaps(tmp_path: Path, dtype: str) -> None:
    """Nearly half of the image has one value, which float16 cannot hold; rounding it must not throw it far away."""
    rng = np.random.default_rng(5)
    image = rng.gamma(3, 300, (16, 16, 16)).astype(np.float32) + 400
    image[:7] = 369.9
    create(tmp_path / "tied.nii.gz", image, np.eye(4))
    create(tmp_path / "tied_label.nii.gz", np.ones((16, 16, 16), np.uint8), np.eye(4))
    case = Case("tied", (tmp_path / "tied.nii.gz",), tmp_path / "tied_label.nii.gz")
    voxels = lay_out(case, Layout(1, (0, 1), Recipe(None, None, "none"), dtype))  # type: ignore[arg-type]
    other = torch.from_numpy(rng.normal(900, 200, (1, 16, 16, 16)).astype(np.float32))
    landmarks = learn_landmarks([voxels.record.measures, measure(other)])
    found, _ = voxels.read(whole((1, 16, 16, 16)), Recipe(None, None, "histogram", landmarks=landmarks))
    assert found.abs().max() < 10
    assert abs(float(found.mean())) < 0.1
    background = found[0, :7]
    assert background.max() < found[0, 7:].mean()


def test_labels_beyond_255_are_kept_and_read(tmp_path: Path) -> None:
    """In 16 bits on disk, and in a type that torch can move."""
    case = write_case(tmp_path)
    label = np.zeros((24, 20, 18), np.uint16)
    label[5:9, 6:12, 3:8] = 300
    create(tmp_path / "many.nii.gz", label, AFFINE)
    layout = replace(LAYOUT, values=(0, 300))
    [stored] = prepare(Store(tmp_path / "store"), [Case("a", case.images, tmp_path / "many.nii.gz")], layout)
    assert stored.open().label.dtype == np.uint16
    moves = RandomMove([*spatial.affine(probability=1.0).moves])  # type: ignore[attr-defined]
    sampler = CaseSampler((8, 8, 8), Foreground(1.0), moves=moves)
    for patch in sampler(to_subject(stored, SPACED), 4):
        assert patch["label"].data.dtype == torch.int32
        assert set(patch["label"].data.unique().tolist()) <= {0, 300}
        assert (patch["label"].data == 300).any()


@pytest.mark.parametrize("recipe", [replace(SPACED, crop_or_pad=(30, 9, 40)), Recipe(None, (9, 33, 20), "zscore")])
def test_cut_filled_and_resized_cases_are_what_preprocessing_makes(tmp_path: Path, recipe: Recipe) -> None:
    case = write_case(tmp_path)
    image, label = model_grid(case, recipe)
    found, labels = lay_out(case, replace(LAYOUT, recipe=recipe, dtype="float32")).read(whole(image.shape), recipe)
    assert torch.equal(found, normalize(image, recipe))
    assert torch.equal(labels, label)


def test_a_case_without_anything_in_it_is_kept_whole(tmp_path: Path) -> None:
    create(tmp_path / "none.nii.gz", np.zeros((6, 1, 5), np.int16), np.eye(4))
    create(tmp_path / "none_label.nii.gz", np.zeros((6, 1, 5), np.uint8), np.eye(4))
    case = Case("none", (tmp_path / "none.nii.gz",), tmp_path / "none_label.nii.gz")
    layout = Layout(1, (0, 1), Recipe(None, None, "zscore"))
    [stored] = prepare(Store(tmp_path / "store"), [case], layout)
    voxels = stored.open()
    assert voxels.size == (6, 1, 5)
    assert voxels.classes == []
    found, label = voxels.read(Box((-1, -1, -1), (8, 8, 8)), layout.recipe)
    assert not found.any()
    assert not label.any()


def test_a_sampling_map_counts_where_the_image_is_empty_too(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    weights = np.zeros((24, 20, 18), np.float32)
    weights[22, 18, 16] = 2
    create(tmp_path / "a_map.nii.gz", weights, AFFINE)
    layout = replace(LAYOUT, recipe=Recipe(None, None, "none"), map=str(tmp_path / "{case}_map.nii.gz"))
    voxels = lay_out(case, layout)
    with seeded("map"):
        found = {Weighted()(voxels).voxel for _ in range(20)}
    expected = Orientation.to_ras(AFFINE).apply(weights[None])[0].nonzero()
    assert found == {tuple(int(place[0]) for place in expected)}
    padded = lay_out(case, replace(layout, recipe=Recipe(None, None, "none", crop_or_pad=(40, 40, 40))))
    assert sum(padded.record.slice_weights) == 2
    for wrong in (np.zeros_like(weights), -weights):
        create(tmp_path / "a_map.nii.gz", wrong, AFFINE, overwrite=True)
        with pytest.raises(DataError, match="needs one channel of numbers from 0 on"):
            lay_out(case, layout)
    create(tmp_path / "a_map.nii.gz", weights[:-1], AFFINE, overwrite=True)
    with pytest.raises(DataError, match="does not lie on the grid"):
        lay_out(case, layout)
