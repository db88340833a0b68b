"""nnU-Net's residual-encoder U-Net: its size, and blocks that do not agree with the levels."""

import pytest
import torch

from torchio_seg.errors import ConfigError
from torchio_seg.networks import resencunet


def test_the_default_is_the_size_of_the_large_preset_of_nnunet() -> None:
    with torch.device("meta"):
        network = resencunet.build(1, 2, (128, 128, 128))
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e5) == 1023  # 102.3 million


def test_blocks_for_another_number_of_levels_are_an_error() -> None:
    with pytest.raises(ConfigError, match="blocks has 3 numbers for 6 levels; give 6"):
        resencunet.build(1, 2, (128, 128, 128), blocks=(1, 3, 4))
