"""U-Net with residual units: the published sizes."""

import pytest
import torch

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import sizes_of
from torchio_seg.networks import unet


def test_defaults_are_five_levels_with_two_residual_units() -> None:
    with torch.device("meta"):
        network = unet.build(1, 1, (96, 96, 96), norm="batch")
    assert sum(isinstance(module, torch.nn.BatchNorm3d) for module in network.modules()) == 5 * 2 + 4 + 3
    widths = {module.out_channels for module in network.modules() if isinstance(module, torch.nn.Conv3d)}
    assert widths == {1, 16, 32, 64, 128, 256}
    assert sizes_of(network).multiple_of == (16, 16, 16)


def test_patch_size_error_says_how_often_the_network_halves() -> None:
    with pytest.raises(ConfigError, match=r"50 x 50 x 50 does not fit unet with 4 halvings.*use 48 x 48 x 48"):
        unet.build(1, 2, (50, 50, 50))


@pytest.mark.parametrize("wrong", [{"channels": [16]}, {"channels": [16, 0]}, {"norm": "layer"}, {"num_res_units": -1}])
def test_options_out_of_range_are_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"networks 'unet'.*\n{next(iter(wrong))}"):
        components.assemble("networks", {"name": "unet", **wrong}, 1, 2, (64, 64, 64))


@pytest.mark.parametrize("options", [{"num_res_units": 0}, {"norm": "batch", "activation": "relu", "dropout": 0.1}])
def test_each_option_builds_a_network_that_trains(options: dict[str, object]) -> None:
    section = {"name": "unet", "channels": [4, 8], **options}
    network = components.assemble("networks", section, 1, 2, (4, 4, 4))
    network(torch.randn(1, 1, 4, 4, 4)).square().mean().backward()
    assert all(weight.grad is not None for weight in network.parameters())
