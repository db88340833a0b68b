"""Swin UNETR: the published size, and heads that do not divide."""

import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.networks import swinunetr


def test_defaults_are_those_of_the_published_brain_tumour_network() -> None:
    network = swinunetr.build(4, 3, (128, 128, 128))
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e5) == 622  # 62.2 million


def test_heads_that_do_not_divide_are_an_error() -> None:
    with pytest.raises(ConfigError, match="stage 2 has 96 channels, which num_heads 5 does not divide"):
        swinunetr.build(1, 2, (64, 64, 64), num_heads=(3, 5, 12, 24))
