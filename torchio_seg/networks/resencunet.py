"""nnU-Net's residual-encoder U-Net: many residual blocks on the way down, one convolution up (Isensee et al. 2024)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from torchio_seg.errors import ConfigError
from torchio_seg.levels import Channels, Triples, plan_levels
from torchio_seg.network_sizes import Size, declare

if TYPE_CHECKING:
    import torch

FIRST_BLOCKS, MOST_BLOCKS = (1, 3, 4), 6


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    channels: Channels | None = None,
    strides: Triples | None = None,
    kernel_sizes: Triples | None = None,
    blocks: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] | None = None,
    convs_up: PositiveInt = 1,
    deep_supervision: bool = True,
) -> "torch.nn.Module":
    """One entry a level, finest first, in each option; null: as nnU-Net would choose for this patch (see dynunet).

    `blocks`: residual blocks, 1, 3, 4, then 6 at each level. `convs_up`: convolutions of each level on the way up.
    """
    levels = plan_levels(patch_size, channels, strides, kernel_sizes, name="resencunet")
    num_levels = len(levels.channels)
    if blocks is None:
        blocks = (FIRST_BLOCKS + (MOST_BLOCKS,) * num_levels)[:num_levels]
    if len(blocks) != num_levels:
        raise ConfigError(f"resencunet: blocks has {len(blocks)} numbers for {num_levels} levels; give {num_levels}")

    from torchio_seg.unet_blocks import ONE, Encoder, UNet, convolution, residual_stages

    stem = convolution(in_channels, levels.channels[0], levels.kernel_sizes[0], ONE)
    encoder = Encoder(residual_stages(levels.channels[0], levels, blocks), stem)
    num_heads = max(1, num_levels - 2) if deep_supervision else 1
    return declare(UNet(encoder, levels, out_channels, convs_up=convs_up, num_heads=num_heads), levels.sizes)
