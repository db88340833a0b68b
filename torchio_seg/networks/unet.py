"""U-Net whose levels are residual units and strided convolutions (Kerfoot et al. 2018, MONAI's UNet)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from torchio_seg.network_sizes import Size, Sizes, check_patch_size, declare

if TYPE_CHECKING:
    import torch


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (16, 32, 64, 128, 256),
    num_res_units: NonNegativeInt = 2,
    norm: Literal["instance", "batch"] = "instance",
    activation: Literal["prelu", "relu", "leakyrelu"] = "prelu",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> "torch.nn.Module":
    """One level for each of `channels`, each but the first at half the resolution of the one before."""
    num_halvings = len(channels) - 1
    sizes = Sizes(multiple_of=(2**num_halvings,) * 3, min_cells=2)
    check_patch_size(patch_size, sizes, f"unet with {num_halvings} halvings")

    from monai.networks.nets.unet import UNet

    network = UNet(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=channels,
        strides=(2,) * num_halvings,
        num_res_units=num_res_units,
        norm=norm,
        act=activation,
        dropout=dropout,
    )
    return declare(network, sizes)
