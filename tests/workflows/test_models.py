"""Models as they are opened: which axes they may be mirrored along, and how their channels lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import AFFINE, save_model, scan

from torchio_seg import ensemble
from torchio_seg import load_model as load_model_in_python
from torchio_seg.errors import DataError, UsageError
from torchio_seg.postprocessing import Step
from torchio_seg.predictor.window import on_device
from torchio_seg.volumes.images import from_array
from torchio_seg.volumes.scan import Scan
from torchio_seg.workflows.export import export
from torchio_seg.workflows.models import LoadedModel, keep_largest, skip_empty, with_uncertainty
from torchio_seg.workflows.opening import load_model, load_models, mirrored_axes

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


@pytest.mark.parametrize("second", ["unet", "of other patches", "exported"])
def test_of_several_models_the_probabilities_are_averaged(tmp_path: Path, second: str) -> None:
    one, two = save_model(tmp_path / "one"), save_model(tmp_path / "two", "dynunet")
    changes: dict[str, object] = {"device": "cpu"}
    if second == "of other patches":
        two = save_model(tmp_path / "three", "dynunet", (8, 16, 24))
    elif second == "exported":
        export(load_model(two, changes=changes), "onnx", tmp_path / "two.onnx")
        two = tmp_path / "two.onnx"
    both = load_models([one, two], changes=changes)
    assert both.folders == (one, two)
    assert "2 models, mean of the members' probabilities" in both.notes
    alone = [load_model(each, changes=changes).predictor(scan(), AFFINE).probabilities for each in (one, two)]
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    found = both.predictor(scan(), AFFINE)
    np.testing.assert_allclose(found.probabilities, np.mean(alone, axis=0), rtol=0, atol=1e-5)
    assert np.array_equal(
        load_model_in_python([str(one), two], device="cpu").predict(scan(), affine=AFFINE), found.label_map
    )


def save_ensemble(folder: Path, names: Sequence[str]) -> Path:
    """One that keeps the largest piece of the core."""
    folder.mkdir()
    members = {name: save_model(folder.with_name(f"{folder.name}-{name}"), name) for name in names}
    ensemble.write(folder, members, [Step("core", "keep_largest")], {})
    return folder


def test_an_ensemble_among_several_is_its_members_and_what_it_mends_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    several, one = save_ensemble(tmp_path / "ensemble", ["unet", "dynunet"]), save_model(tmp_path / "one", "segresnet")
    assert load_models([several]).steps
    assert not caplog.messages
    both = load_models([several, one])
    assert len(both.members) == 3
    assert not both.steps
    [warning] = caplog.messages
    assert str(several) in warning
    assert "core: only the largest piece is kept" in warning


def test_a_member_named_beside_its_ensemble_is_refused_since_it_would_count_twice(tmp_path: Path) -> None:
    several = save_ensemble(tmp_path / "ensemble", ["unet", "dynunet"])
    with pytest.raises(UsageError, match=r"ensemble-dynunet would count twice: .*ensemble has the same weights"):
        load_models([several, tmp_path / "ensemble-dynunet"])


def test_models_that_do_not_go_together_are_refused_by_name(tmp_path: Path) -> None:
    one, other = save_model(tmp_path / "one"), save_model(tmp_path / "other", channels=("T1w", "FLAIR"))
    with pytest.raises(DataError, match=r"other has other channels than .*one,"):
        load_models([one, other])
    with pytest.raises(UsageError, match="would count twice: it is named twice"):
        load_models([one, tmp_path / "other" / ".." / "one"])
    with pytest.raises(UsageError, match="an empty list of models"):
        load_model_in_python([])
