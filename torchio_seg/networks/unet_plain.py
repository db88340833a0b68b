"""U-Net with two convolutions a level, max-pooling and no residual units (Çiçek et al. 2016)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from torchio_seg.network_sizes import Size, Sizes, check_patch_size, declare

if TYPE_CHECKING:
    import torch

Channels = Annotated[int, Field(ge=2, multiple_of=2)]


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    channels: Annotated[tuple[Channels, ...], Field(min_length=2)] = (64, 128, 256, 512),
    norm: Literal["instance", "batch"] = "batch",
    activation: Literal["prelu", "relu", "leakyrelu"] = "prelu",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    upsampling: Literal["linear", "transposed"] = "linear",
) -> "torch.nn.Module":
    """One level for each of `channels`; the first convolution on the way down gives half of a level's channels."""
    num_halvings = len(channels) - 1
    sizes = Sizes(multiple_of=(2**num_halvings,) * 3, min_cells=2)
    check_patch_size(patch_size, sizes, f"unet_plain with {num_halvings} halvings")

    from monai.networks.blocks.convolutions import Convolution
    from monai.networks.layers.simplelayers import SkipConnection
    from torch import nn

    def convolutions(before: int, between: int, after: int) -> nn.Module:
        return nn.Sequential(
            Convolution(3, before, between, norm=norm, act=activation, dropout=dropout),
            Convolution(3, between, after, norm=norm, act=activation, dropout=dropout),
        )

    def enlarge(width: int) -> nn.Module:
        if upsampling == "linear":
            return nn.Upsample(scale_factor=2, mode="trilinear")
        return nn.ConvTranspose3d(width, width, kernel_size=2, stride=2)

    def level(before: int, width: int, *deeper: int) -> nn.Module:
        encode = convolutions(before, width // 2, width)
        if not deeper:
            return encode
        below = nn.Sequential(nn.MaxPool3d(2), level(width, *deeper), enlarge(deeper[0]))
        return nn.Sequential(encode, SkipConnection(below, mode="cat"), convolutions(width + deeper[0], width, width))

    network = nn.Sequential(level(in_channels, *channels), nn.Conv3d(channels[0], out_channels, kernel_size=1))
    return declare(network, sizes)
