"""UNETR: the published size, its one patch size, and what is refused."""

import pytest
import torch

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Sizes, sizes_of
from torchio_seg.networks import unetr


def test_defaults_are_those_of_the_abdominal_experiment() -> None:
    with torch.device("meta"):
        network = unetr.build(1, 14, (96, 96, 96))
    weights = dict(network.named_parameters())
    assert weights["vit.patch_embedding.patch_embeddings.1.weight"].shape == (768, 16**3)  # "perceptron"
    assert weights["vit.patch_embedding.position_embeddings"].shape == (1, 6**3, 768)
    assert weights["vit.blocks.11.mlp.linear1.weight"].shape == (3072, 768)
    assert weights["out.conv.conv.weight"].shape == (14, 16, 1, 1, 1)
    assert round(sum(weight.numel() for weight in weights.values()) / 1e6) == 93
    assert not any("cross_attn" in key for key in network.state_dict())


def test_patch_size_is_fixed_for_life() -> None:
    with torch.device("meta"):
        network = unetr.build(1, 2, (32, 16, 48))
    assert sizes_of(network) == Sizes((16, 16, 16), fixed_size=(32, 16, 48))


def test_heads_that_do_not_divide_are_an_error() -> None:
    with pytest.raises(ConfigError, match="hidden_size 768 is not divisible by num_heads 10; use hidden_size 770"):
        unetr.build(1, 2, (32, 32, 32), num_heads=10)
