"""nnU-Net's plain U-Net: strided convolutions, instance norm, several levels supervised (Isensee et al. 2021)."""

from typing import TYPE_CHECKING

from torchio_seg.levels import Channels, Triples, plan_levels
from torchio_seg.network_sizes import Size, declare

if TYPE_CHECKING:
    import torch

CONVS_PER_LEVEL = 2


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    channels: Channels | None = None,
    strides: Triples | None = None,
    kernel_sizes: Triples | None = None,
    deep_supervision: bool = True,
    residual: bool = False,
) -> "torch.nn.Module":
    """One entry a level, finest first, in each option; null: as nnU-Net would choose for this patch.

    `channels`: 32, doubled from level to level, at most 320. `strides`: from the level before, the first [1, 1, 1];
    null: each side is halved while 4 voxels are left. `kernel_sizes`: null: 3, and 1 on an axis that only later levels
    stride. `residual`: a level of the encoder is one residual block.
    """
    levels = plan_levels(patch_size, channels, strides, kernel_sizes, name="dynunet")

    from torchio_seg.unet_blocks import Encoder, UNet, plain_stages, residual_stages

    num_levels = len(levels.channels)
    if residual:
        encoder = Encoder(residual_stages(in_channels, levels, (1,) * num_levels))
    else:
        encoder = Encoder(plain_stages(in_channels, levels, CONVS_PER_LEVEL))
    num_heads = max(1, num_levels - 2) if deep_supervision else 1
    network = UNet(encoder, levels, out_channels, convs_up=CONVS_PER_LEVEL, num_heads=num_heads)
    return declare(network, levels.sizes)
