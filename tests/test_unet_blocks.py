"""nnU-Net's networks: the same numbers from the same weights, where its own package is installed."""

import re

import pytest
import torch
from torch import nn

from torchio_seg.networks import dynunet, resencunet

CHANNELS = (4, 6, 8, 8)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 1, 2))
KERNELS = ((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
PATCH = (8, 8, 16)
THEIR_OPTIONS = {
    "n_stages": 4,
    "features_per_stage": CHANNELS,
    "conv_op": nn.Conv3d,
    "kernel_sizes": KERNELS,
    "strides": STRIDES,
    "num_classes": 3,
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
    "deep_supervision": True,
}
RENAMED = (
    (r"^encoder\.stem\.convs\.0", "encoder.stem"),
    (r"^(encoder\.stages\.\d+)\.(?:0\.convs|blocks)", r"\1"),
    (r"^decoder\.stages\.(\d+)", r"decoder.\1"),
    (r"^decoder\.transpconvs\.(\d+)", r"decoder.\1.up"),
)


pytestmark = pytest.mark.usefixtures("one_thread")


def from_theirs(state: dict[str, torch.Tensor], num_levels: int) -> dict[str, torch.Tensor]:
    """Their weights under our names, without what they hold twice and the head that they never train."""
    renamed = {}
    for key, tensor in state.items():
        if ".all_modules." in key or key.startswith(("decoder.encoder.", "decoder.seg_layers.0.")):
            continue
        if found := re.fullmatch(r"decoder\.seg_layers\.(\d+)\.(.*)", key):
            renamed[f"heads.{num_levels - 2 - int(found[1])}.{found[2]}"] = tensor
            continue
        for pattern, replacement in RENAMED:
            key = re.sub(pattern, replacement, key)  # noqa: PLW2901 (each rule goes on from the one before)
        renamed[key] = tensor
    return renamed


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_the_weights_of_nnunet_give_its_logits(kind: str) -> None:
    theirs = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    options = {"channels": CHANNELS, "strides": STRIDES, "kernel_sizes": KERNELS}
    if kind == "plain":
        expected = theirs.PlainConvUNet(2, n_conv_per_stage=[2] * 4, n_conv_per_stage_decoder=[2] * 3, **THEIR_OPTIONS)
        found = dynunet.build(2, 3, PATCH, **options)
    else:
        expected = theirs.ResidualEncoderUNet(
            2, n_blocks_per_stage=[1, 3, 2, 1], n_conv_per_stage_decoder=[1] * 3, **THEIR_OPTIONS
        )
        found = resencunet.build(2, 3, PATCH, blocks=(1, 3, 2, 1), **options)
    found.load_state_dict(from_theirs(expected.state_dict(), 4), strict=True)
    images = torch.randn(2, 2, *PATCH)
    for ours, original in zip(found.train()(images), expected.train()(images)[:2], strict=True):
        torch.testing.assert_close(ours, original, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.eval()(images), expected(images)[0], rtol=1e-4, atol=1e-5)


def test_coarser_logits_come_at_their_own_size_finest_first() -> None:
    network = dynunet.build(1, 2, PATCH, channels=(*CHANNELS, 8), strides=(*STRIDES, (1, 2, 1)))
    shapes = [tuple(logits.shape[2:]) for logits in network.train()(torch.randn(1, 1, *PATCH))]
    assert shapes == [(8, 8, 16), (8, 4, 8), (4, 2, 4)]
    assert network.eval()(torch.randn(1, 1, *PATCH)).shape == (1, 2, *PATCH)


def test_a_residual_block_is_its_shortcut_at_first() -> None:
    network = resencunet.build(1, 2, PATCH, channels=(4, 4), strides=((1, 1, 1), (2, 2, 2)), blocks=(1, 1))
    block = network.get_submodule("encoder.stages.1.0")
    features = torch.randn(1, 4, *PATCH)
    expected = nn.functional.leaky_relu(nn.functional.avg_pool3d(features, 2), 0.01)
    torch.testing.assert_close(block(features), expected)
