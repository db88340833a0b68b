"""nnU-Net's plain U-Net: how many levels are supervised, and what a checkpoint of it holds."""

import pytest
import torch

from torchio_seg.networks import dynunet


def heads_of(patch_size: tuple[int, int, int], **options: bool) -> int:
    with torch.device("meta"):
        network = dynunet.build(1, 2, patch_size, **options)
    return len({key.split(".")[1] for key in network.state_dict() if key.startswith("heads.")})


@pytest.mark.parametrize(("side", "heads"), [(8, 1), (16, 1), (32, 2), (128, 4)])
def test_all_levels_but_the_two_coarsest_are_supervised(side: int, heads: int) -> None:
    assert heads_of((side, side, side)) == heads


def test_without_deep_supervision_there_is_one_head_and_one_tensor() -> None:
    assert heads_of((64, 64, 64), deep_supervision=False) == 1
    network = dynunet.build(1, 2, (32, 32, 32), channels=(4, 4, 4, 4), deep_supervision=False)
    assert isinstance(network.train()(torch.randn(1, 1, 32, 32, 32)), torch.Tensor)


def test_the_default_is_the_size_of_that_of_nnunet() -> None:
    with torch.device("meta"):
        network = dynunet.build(1, 2, (128, 128, 128))
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e5) == 312  # 31.2 million
