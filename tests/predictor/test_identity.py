"""A network that returns its input, put through the predictor: what comes out is what went in."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from stored_axes import undo

from torchio_seg.predictor.predictor import Predictor, predict
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import read, write_like

LABELS = Labels.of_classes({0: "background", 1: "one", 2: "two"})
BLENDINGS = ("crop", "average", "hann", "gaussian")
AS_IT_IS = Recipe(spacing=None, resize=None, normalization="none")
ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]
SHAPES = [(13, 9, 11), (5, 17, 8), (4, 3, 19), (5, 6, 7), (16, 8, 8)]


def predictor(blending: str, recipe: Recipe = AS_IT_IS, labels: Labels = LABELS) -> Predictor:
    window = Window((8, 8, 8), 0.5, 3, blending)  # type: ignore[arg-type]
    return Predictor(lambda images: images, labels, recipe, window, torch.device("cpu"), "fp32")


def oblique_affine(order: tuple[int, ...], signs: tuple[int, ...], degrees: float) -> np.ndarray:
    axes = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        axes[world, axis] = sign
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle / 2), -np.sin(angle / 2)], [0, np.sin(angle / 2), np.cos(angle / 2)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ axes @ np.diag([0.9, 1.1, 2.5])
    affine[:3, 3] = [-31.5, 12.25, 400.0]
    return affine


def volume_of_logits(folder: Path, shape: tuple[int, ...], affine: np.ndarray, seed: int) -> Path:
    """Three random channels, as a scan whose sform and qform codes are unusual but right."""
    logits = np.random.default_rng(seed).normal(size=(*shape, 3)).astype(np.float32)
    image = nib.Nifti1Image(logits, affine)
    image.set_qform(affine, 2)
    image.set_sform(affine, 3)
    image.header.set_xyzt_units("mm", "sec")
    path = folder / "scan.nii.gz"
    nib.save(image, path)
    return path


@pytest.mark.parametrize("blending", BLENDINGS)
@pytest.mark.parametrize("degrees", [0.0, 17.0, 45.0])
def test_identity_network_gives_the_input_back_in_every_orientation(
    tmp_path: Path, blending: str, degrees: float
) -> None:
    for number, (order, signs) in enumerate(ORIENTATIONS):
        shape = SHAPES[number % len(SHAPES)]
        path = volume_of_logits(tmp_path, shape, oblique_affine(order, signs, degrees), number)
        scan = read(path)
        prediction = predictor(blending)(scan.array, scan.affine)
        expected = torch.from_numpy(np.ascontiguousarray(scan.array)).softmax(dim=0).numpy()
        assert np.array_equal(prediction.label_map, scan.array.argmax(axis=0))
        assert np.abs(prediction.probabilities - expected).max() <= (2**-22 if blending == "crop" else 1e-6)

        out = tmp_path / "seg.nii.gz"
        write_like(out, prediction.label_map, scan, overwrite=True)
        original, written = nib.load(path).header, nib.load(out).header
        assert np.array_equal(nib.load(out).affine, nib.load(path).affine)
        for field in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
            assert np.array_equal(original[field], written[field]), field
        assert np.array_equal(original["pixdim"][:4], written["pixdim"][:4])


def test_crop_gives_the_logits_back_bit_for_bit(tmp_path: Path) -> None:
    path = volume_of_logits(tmp_path, (21, 13, 18), oblique_affine((2, 0, 1), (1, -1, 1), 20.0), 5)
    scan = read(path)
    logits, grids = predictor("crop").logits(scan.array, scan.affine)
    assert np.array_equal(undo(grids.orientation, logits.numpy()), scan.array)


def test_overlapping_regions_are_thresholded_and_written_inner_over_outer(tmp_path: Path) -> None:
    labels = Labels.of_regions({0: "b", 1: "o", 2: "n", 3: "e"}, {"whole": [1, 2, 3], "core": [2, 3], "enh": [3]})
    path = volume_of_logits(tmp_path, (9, 10, 11), np.diag([1.0, 1, 1, 1]), 2)
    scan = read(path)
    prediction = predictor("gaussian", labels=labels)(scan.array, scan.affine)
    positive = scan.array > 0
    expected = np.where(positive[2], 3, np.where(positive[1], 2, positive[0].astype(int)))
    assert np.array_equal(prediction.label_map, expected)
    for mask, region in zip(prediction.masks, labels.regions, strict=True):
        assert np.array_equal(mask, np.isin(expected, region.labels))


@pytest.mark.parametrize("resampling", [{"spacing": (1.5, 1.2, 2.0)}, {"resize": (17, 12, 20)}])
def test_resampling_is_undone_and_keeps_what_touches_the_border(tmp_path: Path, resampling: dict) -> None:
    shape = (24, 20, 18)
    ramp = np.full(shape, -4.0, np.float32)
    ramp[:, :, 9:] = 4.0  # a filled half that touches five faces of the volume
    logits = np.stack([-ramp, ramp, np.full(shape, -9.0, np.float32)], axis=-1)
    affine = oblique_affine((1, 2, 0), (-1, 1, -1), 12.0)
    path = tmp_path / "half.nii.gz"
    nib.save(nib.Nifti1Image(logits, affine), path)
    scan = read(path)
    recipe = Recipe(resampling.get("spacing"), resampling.get("resize"), "none")
    prediction = predictor("gaussian", recipe)(scan.array, scan.affine)
    assert prediction.label_map.shape == shape
    wrong = prediction.label_map != (ramp > 0)
    assert not wrong[:, :, :8].any()
    assert not wrong[:, :, 10:].any()


def test_members_that_come_to_one_grid_by_different_ways_are_each_shown_their_own() -> None:
    array = np.random.default_rng(0).normal(size=(3, 27, 24, 30)).astype(np.float32)
    recipes = [Recipe((3.0, 3.0, 3.0), None, "none", antialias=flag) for flag in (False, True)]
    members = [predictor("gaussian", recipe) for recipe in recipes]
    alone = [member(array, np.eye(4)).probabilities for member in members]
    both = predict(members, array, np.eye(4), probabilities=True).probabilities
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)


def test_a_network_that_answers_nan_is_an_error(tmp_path: Path) -> None:
    from torchio_seg.errors import TorchioSegError

    broken = Predictor(
        lambda images: images * float("nan"),
        LABELS,
        AS_IT_IS,
        Window((8, 8, 8), 0.5, 1, "hann"),
        torch.device("cpu"),
        "fp32",
    )
    with pytest.raises(TorchioSegError, match="not finite"):
        broken(np.zeros((3, 9, 9, 9), np.float32), np.eye(4))
