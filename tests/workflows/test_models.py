"""Models as they are opened: which axes they may be mirrored along, and how their channels lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import AFFINE, save_model, scan

from torchio_seg.errors import UsageError
from torchio_seg.predictor.grid import on_device
from torchio_seg.volumes.images import from_array
from torchio_seg.volumes.scan import Scan
from torchio_seg.workflows.export import export
from torchio_seg.workflows.models import LoadedModel, keep_largest, skip_empty, with_uncertainty
from torchio_seg.workflows.opening import load_model, mirrored_axes

FLIP = {"name": "flip", "axes": [0, 2]}


@pytest.mark.parametrize(
    ("steps", "axes"),
    [
        ([], ()),
        ([{"name": "affine"}], ()),
        ([FLIP], (0, 2)),
        ([{"name": "flip"}], (0, 1, 2)),
        ([FLIP, {"name": "flip", "axes": [1]}], (0, 1, 2)),
        ([{"name": "flip", "probability": 0.0}], ()),
        ([{"name": "one_of", "steps": [{"name": "affine"}, {"name": "flip", "axes": [1]}]}], (1,)),
        ([{"name": "one_of", "steps": [FLIP], "probability": 0.0}], ()),
        ([{"name": "rotate90"}], ()),
        ([{"name": "torchio.RandomFlip", "axes": [0, 2]}], (0, 2)),
        ([{"name": "torchio.RandomFlip", "axes": 1}], (1,)),
        ([{"name": "torchio.RandomFlip", "axes": 1, "p": 0.0}], ()),
    ],
)
def test_axes_are_those_that_training_flipped(steps: list[dict[str, object]], axes: tuple[int, ...]) -> None:
    assert mirrored_axes(steps) == axes


def test_what_is_mended_is_one_note_however_many_regions_there_are(tmp_path: Path) -> None:
    model = keep_largest(load_model(save_model(tmp_path / "model")), ["all"])
    assert model.notes == ["post-processing: oedema, core: only the largest piece is kept"]
    assert len(model.steps) == 2


def test_the_folder_of_a_bundle_is_refused_as_that_with_what_to_use(tmp_path: Path) -> None:
    bundle = export(load_model(save_model(tmp_path / "model")), "monai-bundle", tmp_path / "bundle").path
    with pytest.raises(UsageError, match=f"is a MONAI bundle.*name the run.*--config FILE.yaml --weights {bundle}"):
        load_model(bundle)


@pytest.mark.parametrize("name", ["unet", "dynunet", "unetr"])
def test_a_model_that_was_trained_channels_last_predicts_so_and_the_same(tmp_path: Path, name: str) -> None:
    folder = save_model(tmp_path / "model", name)
    plain, last = (
        load_model(folder, changes={"training.channels_last": is_last}).members[0] for is_last in (False, True)
    )
    kernels = [weight for weight in last.network.parameters() if weight.dim() == 5 and weight.shape[1] > 1]
    assert kernels
    assert all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in kernels)
    logits = on_device(last.network, last.device, "fp32", 3)(torch.rand(2, 2, 16, 16, 16))
    assert logits.is_contiguous(), "sums are laid out channel by channel"
    found, expected = last(scan(), AFFINE), plain(scan(), AFFINE)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    ordered = np.sort(expected.probabilities, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4
    assert clear.mean() > 0.95
    assert np.array_equal(found.label_map[clear], expected.label_map[clear])


ORDERS: dict[str, Callable[[LoadedModel], LoadedModel]] = {
    "skipping first": lambda model: with_uncertainty(skip_empty(model), "disagreement"),
    "uncertainty first": lambda model: skip_empty(with_uncertainty(model, "disagreement")),
}


@pytest.mark.parametrize("order", ORDERS)
def test_mirror_images_disagree_as_much_where_empty_patches_are_skipped(tmp_path: Path, order: str) -> None:
    model = load_model(save_model(tmp_path / "model"), changes={"prediction.overlap": 0}, mirror=True)
    volume = np.zeros((2, 16, 16, 64), np.float32)
    volume[..., :16] = scan(shape=(16, 16, 16))
    expected = with_uncertainty(model, "disagreement").predict(volume, affine=np.eye(4), uncertainty="disagreement")
    skipping = ORDERS[order](model)
    found = skipping.fitting.predictor_for(Scan.of(from_array(volume, np.eye(4), "noise")), probabilities=False)
    prediction = found(volume, np.eye(4), probabilities=False)
    assert np.array_equal(prediction.label_map, expected[0])
    np.testing.assert_allclose(prediction.uncertainty, expected[1], rtol=0, atol=1e-6)
    assert skipping.mirrored == model.mirrored
    assert skipping.patches.skipped > 0
