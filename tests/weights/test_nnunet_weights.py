"""nnU-Net's checkpoints: names, axes, and the numpy numbers among its scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import build, fit_into, logits
from torch import nn

from torchio_seg.errors import DataError, UsageError
from torchio_seg.weights.fitting import give
from torchio_seg.weights.nnunet import their_names
from torchio_seg.weights.reading import Weights, read

CHANNELS = (4, 8, 12)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
KERNELS = ((1, 3, 3), (3, 3, 3), (3, 3, 3))
"""As nnU-Net writes them, along its own axes: K first unless it transposes."""
EXPLICIT: dict[str, Any] = {"channels": list(CHANNELS), "strides": STRIDES, "kernel_sizes": KERNELS}

THEIRS = {
    "encoder.stages.0.0.conv.weight": "encoder.stages.0.0.convs.0.conv.weight",
    "encoder.stages.0.1.norm.bias": "encoder.stages.0.0.convs.1.norm.bias",
    "encoder.stages.2.1.conv.bias": "encoder.stages.2.0.convs.1.conv.bias",
    "decoder.0.up.weight": "decoder.transpconvs.0.weight",
    "decoder.1.up.bias": "decoder.transpconvs.1.bias",
    "decoder.0.convs.1.conv.weight": "decoder.stages.0.convs.1.conv.weight",
    "decoder.1.convs.0.norm.weight": "decoder.stages.1.convs.0.norm.weight",
    "heads.0.weight": "decoder.seg_layers.1.weight",
    "encoder.stem.conv.weight": "encoder.stem.convs.0.conv.weight",
    "encoder.stages.1.0.conv2.norm.weight": "encoder.stages.1.blocks.0.conv2.norm.weight",
    "encoder.stages.1.0.skip.1.conv.weight": "encoder.stages.1.blocks.0.skip.1.conv.weight",
}
"""Ours and nnU-Net's, of three levels."""


def checkpoint_of(weights: Mapping[str, torch.Tensor], transpose: list[int] | None = None) -> dict[str, Any]:
    """A checkpoint with what nnU-Net's trainer puts into one."""
    options = {"features_per_stage": CHANNELS, "strides": STRIDES, "kernel_sizes": KERNELS}
    architecture = {"network_class_name": "some.where.PlainConvUNet", "arch_kwargs": options}
    plans = {"transpose_forward": transpose, "configurations": {"3d_fullres": {"architecture": architecture}}}
    arguments = {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")}
    return {
        "network_weights": dict(weights),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"train_losses": [np.float32(-0.5)], "mean_fg_dice": [np.float64(0.7)], "lrs": [0.01]},
        "_best_ema": np.float64(0.75),
        "current_epoch": 1000,
        "init_args": arguments if transpose is None else {**arguments, "plans": plans},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }


def saved(content: Any, folder: Path) -> Weights:
    torch.save(content, folder / "checkpoint_final.pth")
    return read(folder / "checkpoint_final.pth")


def renamed(network: nn.Module) -> dict[str, torch.Tensor]:
    """A network of ours as nnU-Net would save it, with the second names that it gives its tensors."""
    state = network.state_dict()
    theirs = {theirs: state[ours] for ours, theirs in their_names(state).items()}
    again = {f"decoder.{name}": tensor for name, tensor in theirs.items() if name.startswith("encoder.")}
    modules = {name.replace(".conv.", ".all_modules.0."): tensor for name, tensor in theirs.items()}
    return {**theirs, **again, **{name: tensor for name, tensor in modules.items() if "all_modules" in name}}


def test_names_are_mapped_by_rule() -> None:
    three_levels = [*THEIRS, "decoder.1.convs.0.conv.weight"]
    assert {name: theirs for name, theirs in their_names(three_levels).items() if name in THEIRS} == THEIRS


def test_names_that_are_nnunets_already_stay() -> None:
    names = [*THEIRS.values(), "decoder.encoder.stages.0.0.convs.0.conv.weight"]
    assert their_names(names) == {name: name for name in names}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_checkpoint_gives_the_same_logits(prefix: str, tmp_path: Path) -> None:
    before, after = build("dynunet", **EXPLICIT), build("dynunet", seed=1, **EXPLICIT)
    names = {prefix + name: tensor for name, tensor in renamed(before).items()}
    fitted = fit_into(saved(checkpoint_of(names), tmp_path), after, partial(build, "dynunet", **EXPLICIT))
    give(after, fitted)
    images = torch.randn(1, 2, 8, 16, 16)
    assert torch.equal(logits(after, images), logits(before, images))
    assert (fitted.renewed, fitted.left) == ((), ())


@pytest.mark.parametrize("transpose", [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
def test_kernels_are_turned_as_the_plans_turned_the_volumes(transpose: list[int], tmp_path: Path) -> None:
    """Volumes I J K of ours are K J I in nnU-Net's files, and then turned by the plans."""
    theirs = build("dynunet", **EXPLICIT)
    axes = [2 - axis for axis in transpose]  # of ours, along the network's first, second and third
    ours = [axes.index(axis) for axis in range(3)]
    turned = {key: [[level[axis] for axis in ours] for level in EXPLICIT[key]] for key in ("strides", "kernel_sizes")}
    rebuild = partial(build, "dynunet", channels=list(CHANNELS), **turned)
    after = rebuild(seed=1)
    give(after, fit_into(saved(checkpoint_of(renamed(theirs), transpose), tmp_path), after, rebuild))
    images = torch.randn(1, 2, 16, 16, 16)
    as_theirs = images.permute(0, 1, *(2 + axis for axis in axes))
    expected = logits(theirs, as_theirs).permute(0, 1, *(2 + axis for axis in ours))
    torch.testing.assert_close(logits(after, images), expected, rtol=1e-5, atol=1e-5)


def test_plans_that_do_not_order_the_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"transpose_forward is \[0, 0, 1\]"):
        saved(checkpoint_of(renamed(build("dynunet", **EXPLICIT)), [0, 0, 1]), tmp_path)


def test_a_checkpoint_without_plans_is_said_to_be_taken_as_it_lies(tmp_path: Path) -> None:
    weights = saved(checkpoint_of(renamed(build("dynunet", **EXPLICIT))), tmp_path)
    assert "axes taken as ours" in weights.kind


def test_another_architecture_is_answered_with_the_settings_for_it(tmp_path: Path) -> None:
    weights = saved(checkpoint_of(renamed(build("dynunet", **EXPLICIT)), [0, 1, 2]), tmp_path)
    with pytest.raises(UsageError) as raised:
        fit_into(weights, build("dynunet", channels=[4, 8]), partial(build, "dynunet", channels=[4, 8]))
    assert "PlainConvUNet, network.channels=[4, 8, 12]" in str(raised.value)
    assert "network.strides=[[1, 1, 1], [2, 2, 1], [2, 2, 2]]" in str(raised.value)
    assert "network.kernel_sizes=[[3, 3, 1], [3, 3, 3], [3, 3, 3]]" in str(raised.value)


def test_other_labels_begin_every_head_anew(tmp_path: Path) -> None:
    before = build("dynunet", out_channels=7, **EXPLICIT)
    after = build("dynunet", seed=1, **EXPLICIT)
    fitted = fit_into(saved(checkpoint_of(renamed(before)), tmp_path), after, partial(build, "dynunet", **EXPLICIT))
    anew = {name for name in after.state_dict() if name not in fitted.taken}
    assert anew == {name for name in after.state_dict() if name.startswith("heads.")}


def test_numbers_of_numpy_are_read_and_its_objects_are_not(tmp_path: Path) -> None:
    content = checkpoint_of(renamed(build("dynunet", **EXPLICIT)))
    allowed = set(torch.serialization.get_safe_globals())
    assert saved(content, tmp_path).is_nnunet
    for odd in (np.array([object()]), np.datetime64("2020-01-01"), np.random.default_rng(0)):
        with pytest.raises(DataError, match="checkpoint_final"):
            saved({**content, "odd": odd}, tmp_path)
    assert set(torch.serialization.get_safe_globals()) == allowed, "what was allowed is not allowed elsewhere"


ARGUMENTS: dict[str, Any] = {
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
    "deep_supervision": False,
}


def test_the_plain_network_of_nnunet_itself_gives_the_same_logits(tmp_path: Path) -> None:
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    torch.manual_seed(2)
    theirs = unet.PlainConvUNet(2, 3, CHANNELS, nn.Conv3d, KERNELS, STRIDES, 2, 3, 2, **ARGUMENTS)
    scatter(theirs)
    ours = build("dynunet", **EXPLICIT)
    fitted = fit_into(saved(checkpoint_of(theirs.state_dict()), tmp_path), ours, partial(build, "dynunet", **EXPLICIT))
    give(ours, fitted)
    images = torch.randn(1, 2, 8, 16, 16)
    torch.testing.assert_close(logits(ours, images), logits(theirs, images), rtol=1e-5, atol=1e-5)
    assert all(name.startswith("decoder.seg_layers.") for name in fitted.left)


def test_the_residual_network_of_nnunet_itself_gives_the_same_logits(tmp_path: Path) -> None:
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    torch.manual_seed(2)
    blocks = (1, 2, 2)
    theirs = unet.ResidualEncoderUNet(2, 3, CHANNELS, nn.Conv3d, KERNELS, STRIDES, blocks, 3, 1, **ARGUMENTS)
    scatter(theirs)
    rebuild = partial(build, "resencunet", blocks=list(blocks), **EXPLICIT)
    ours = rebuild()
    give(ours, fit_into(saved(checkpoint_of(theirs.state_dict()), tmp_path), ours, rebuild))
    images = torch.randn(1, 2, 8, 16, 16)
    torch.testing.assert_close(logits(ours, images), logits(theirs, images), rtol=1e-5, atol=1e-5)


def scatter(network: nn.Module) -> None:
    """Random numbers everywhere, so that no bias or scale is one that could be forgotten unnoticed."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
