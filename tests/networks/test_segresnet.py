"""SegResNet: the published size, and what is refused."""

import pytest
import torch

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import sizes_of
from torchio_seg.networks import segresnet


def test_defaults_are_those_of_the_brain_tumour_experiment() -> None:
    with torch.device("meta"):
        network = segresnet.build(4, 3, (224, 224, 144))
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
    num_blocks = (1 + 2 + 2 + 4) + (1 + 1 + 1)
    assert len(convolutions) == 2 * num_blocks + 1 + 3 + 3 + 1  # first, down, up, last
    assert convolutions[0].out_channels == 16
    assert sizes_of(network).multiple_of == (8, 8, 8)
    assert {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout3d)} == {0.2}


def test_blocks_that_do_not_match_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"blocks_up has 3 numbers beside 3 of blocks_down.*: give 2"):
        segresnet.build(1, 2, (32, 32, 32), blocks_down=(1, 2, 2))


def test_filters_that_the_groups_do_not_divide_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"init_filters\n.*multiple of 8"):
        components.assemble("networks", {"name": "segresnet", "init_filters": 12}, 1, 2, (32, 32, 32))


@pytest.mark.parametrize("options", [{"upsampling": "transposed"}, {"dropout": 0.0}])
def test_each_option_builds_a_network_that_trains(options: dict[str, object]) -> None:
    section = {"name": "segresnet", "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1], **options}
    network = components.assemble("networks", section, 1, 2, (4, 4, 4))
    network(torch.randn(1, 1, 4, 4, 4)).square().mean().backward()
    assert all(weight.grad is not None for weight in network.parameters())
