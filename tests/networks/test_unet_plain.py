"""U-Net with double convolutions: its structure by hand."""

import pytest
import torch

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.networks import unet_plain


def convolution(before: int, after: int) -> int:
    """Weights, biases, the two of batch norm for each channel, and the slope of PReLU."""
    return 27 * before * after + after + 2 * after + 1


def test_defaults_are_four_levels_of_two_convolutions() -> None:
    with torch.device("meta"):
        network = unet_plain.build(1, 2, (64, 64, 48))
    down = [(1, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    up = [(512 + 256, 256), (256, 256), (256 + 128, 128), (128, 128), (128 + 64, 64), (64, 64)]
    expected = sum(convolution(*pair) for pair in down + up) + 64 * 2 + 2
    assert sum(weight.numel() for weight in network.parameters()) == expected
    assert sum(isinstance(module, torch.nn.MaxPool3d) for module in network.modules()) == 3


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_each_upsampling_trains(upsampling: str) -> None:
    section = {"name": "unet_plain", "channels": [4, 8], "upsampling": upsampling}
    network = components.assemble("networks", section, 1, 2, (4, 4, 4))
    network(torch.randn(1, 1, 4, 4, 4)).square().mean().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_channels_that_cannot_be_halved_are_an_error() -> None:
    with pytest.raises(ConfigError, match="multiple of 2"):
        components.assemble("networks", {"name": "unet_plain", "channels": [5, 8]}, 1, 2, (4, 4, 4))
