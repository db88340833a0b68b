"""From file to file with nothing held whole, a prediction is the one of the volume in memory."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch

from torchio_seg.memory import measure
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create, read
from torchio_seg.volumes.scan import open_scan
from torchio_seg.volumes.source import InMemory
from torchio_seg.volumes.writing import write_slabs_like

LABELS = {
    "classes": Labels.of_classes({0: "background", 1: "one", 2: "two", 300: "three"}),
    "regions": Labels.of_regions({0: "b", 1: "o", 2: "n"}, {"whole": [1, 2], "core": [2]}),
}
BLENDINGS = ("crop", "average", "hann", "gaussian")
RECIPES = [
    Recipe(None, None, "zscore"),
    Recipe((1.3, 0.7, 1.9), None, "minmax"),
    Recipe((0.6, 2.2, 0.8), None, "zscore_all", crop_or_pad=(14, 13, 30)),
    Recipe(None, (17, 9, 31), "window", (-40.0, 80.0)),
]
ORDERS = list(itertools.permutations(range(3)))
SIGNS = list(itertools.product((1, -1), repeat=3))


def predictor(labels: Labels, recipe: Recipe, blending: str, held_bytes: int) -> Predictor:
    """A network that looks at a voxel's neighbours, too."""
    weight = torch.randn(labels.num_channels, 2, 3, 3, 3, generator=torch.Generator().manual_seed(1))

    def network(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(images, weight, padding=1)

    window = Window((8, 8, 8), 0.4, 3, blending)  # type: ignore[arg-type]
    return Predictor(network, labels, recipe, window, torch.device("cpu"), "fp32", held_bytes=held_bytes)


def scan(folder: Path, number: int) -> Path:
    """Two channels of any shape and of some orientation, oblique; plain or compressed, integers or reals."""
    rng = np.random.default_rng(number)
    affine = np.eye(4)
    angle = np.deg2rad(rng.choice([0, 20, 44]))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ np.eye(3)[:, list(ORDERS[number % 6])] * SIGNS[number % 8] * rng.uniform(0.7, 1.6, 3)
    voxels = rng.normal(size=(*rng.integers(4, 24, 3), 2)) * 50
    voxels[rng.random(voxels.shape) < 0.2] = 0
    dtype = rng.choice([np.int16, np.float32])
    image = nib.Nifti1Image(voxels.astype(dtype), affine, dtype=dtype)
    path = folder / f"scan_{number}{'.nii.gz' if number % 2 else '.nii'}"
    nib.save(image, path)
    return path


class Watched(InMemory):
    """A volume that keeps how many planes along an axis, and what part of it, were read at a time."""

    shares: ClassVar[list[float]] = []

    def read(self, axis: int, first: int, end: int) -> np.ndarray:
        self.shares.append((end - first) / self.shape[1 + axis])
        return super().read(axis, first, end)


def test_a_long_scan_of_which_the_model_sees_few_voxels_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchio_seg.transforms.prepared.CHUNK_BYTES", 10_000)
    array = np.random.default_rng(0).normal(size=(2, 40, 36, 64)).astype(np.float32) * 50
    recipe = Recipe((4.0, 4.0, 4.0), None, "zscore")  # 10 x 9 x 16 voxels
    own, models = 8 * 40 * 36 * 64, 8 * 10 * 9 * 16
    found = []
    for held_bytes in (own, 2 * models):
        Watched.shares.clear()
        found.append(predictor(LABELS["classes"], recipe, "hann", held_bytes)(Watched(array), np.eye(4)))
        assert (max(Watched.shares) == 1) == (held_bytes == own)
    assert np.array_equal(found[0].label_map, found[1].label_map)
    assert max(Watched.shares) < 0.3


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize(("recipe", "blending"), list(zip(RECIPES, BLENDINGS, strict=True)))
def test_labels_from_slabs_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe, blending: str, kind: str
) -> None:
    monkeypatch.setattr("torchio_seg.transforms.prepared.CHUNK_BYTES", 10_000)
    first = 3 * RECIPES.index(recipe)
    for number in range(first, first + 4):
        path = scan(tmp_path, number)
        volume = read(path)
        whole = predictor(LABELS[kind], recipe, blending, 1 << 30)(volume.array, volume.affine, probabilities=False)
        with open_scan(path, held_bytes=0) as opened:
            bounded = predictor(LABELS[kind], recipe, blending, 0)(opened.source, opened.affine, probabilities=False)
        assert bounded.label_map.dtype == whole.label_map.dtype
        assert np.array_equal(bounded.label_map, whole.label_map)
        assert len(np.unique(whole.label_map)) > 1
        for end in (".nii", ".nii.gz"):
            out = tmp_path / f"label{end}"
            write_slabs_like(out, bounded.label_map, opened, lambda planes: planes, overwrite=True)
            assert np.array_equal(read(out).array[0], whole.label_map)
            assert np.array_equal(nib.load(out).affine, nib.load(path).affine)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_on_its_own_voxels_a_label_is_that_of_the_largest_logit_whatever_else_is_kept(blending: str) -> None:
    array = np.random.default_rng(0).normal(size=(2, 21, 17, 26)).astype(np.float32)
    one = predictor(LABELS["classes"], Recipe(None, None, "window", (-2.0, 2.0)), blending, 1 << 30)
    logits, grids = one.logits(array, np.eye(4))
    expected = np.array([0, 1, 2, 300])[logits.numpy().argmax(axis=0)]
    assert np.array_equal(one.finish(logits, grids, probabilities=False).label_map, expected)
    for probabilities in (False, True):
        found = one(array, np.eye(4), probabilities=probabilities)
        assert np.array_equal(found.label_map, expected)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, logits.softmax(dim=0).numpy(), rtol=0, atol=1e-6)


def test_logits_from_slabs_are_those_of_the_whole(tmp_path: Path) -> None:
    volume = read(scan(tmp_path, 3))
    first, _ = predictor(LABELS["classes"], RECIPES[1], "hann", 1 << 30).logits(volume.array, volume.affine)
    second, _ = predictor(LABELS["classes"], RECIPES[1], "hann", 0).logits(volume.array, volume.affine)
    assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.5)])
@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
def test_memory_from_file_to_file_does_not_grow_with_the_length(
    tmp_path: Path, end: str, spacing: tuple[float, ...] | None
) -> None:
    def taken(length: int) -> int:
        voxels = np.broadcast_to(np.arange(length, dtype=np.int16) // 40 % 2, (96, 96, length))
        create(tmp_path / f"scan{end}", voxels, np.eye(4), overwrite=True)
        task = {"path": str(tmp_path / f"scan{end}"), "spacing": spacing}
        found: int = measure("bounded_tasks:predict", task).answer["private"]
        return found

    short, long = taken(600), taken(3600)
    assert abs(long - short) < 13 << 20, "the label map grew by 26 MiB, the scan by 53, its float32 by 105"
