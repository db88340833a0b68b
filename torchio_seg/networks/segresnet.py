"""SegResNet: residual blocks before each halving, a light decoder, group norm (Myronenko 2018, without its VAE)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size, Sizes, check_patch_size, declare

if TYPE_CHECKING:
    import torch

NUM_GROUPS = 8
"""Of the group norm; the first level's channels divide into them."""


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    init_filters: Annotated[int, Field(ge=NUM_GROUPS, multiple_of=NUM_GROUPS)] = 16,
    blocks_down: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (1, 2, 2, 4),
    blocks_up: tuple[PositiveInt, ...] = (1, 1, 1),
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    upsampling: Literal["linear", "transposed"] = "linear",
) -> "torch.nn.Module":
    """One level for each of `blocks_down`, with twice the channels and half the resolution of the one before."""
    num_halvings = len(blocks_down) - 1
    if len(blocks_up) != num_halvings:
        raise ConfigError(
            f"segresnet: blocks_up has {len(blocks_up)} numbers beside {len(blocks_down)} of blocks_down; "
            f"each level but the coarsest needs one: give {num_halvings}"
        )
    sizes = Sizes(multiple_of=(2**num_halvings,) * 3)
    check_patch_size(patch_size, sizes, f"segresnet with {num_halvings} halvings")

    from monai.networks.nets.segresnet import SegResNet

    network = SegResNet(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        init_filters=init_filters,
        blocks_down=blocks_down,
        blocks_up=blocks_up,
        dropout_prob=dropout or None,
        norm=("group", {"num_groups": NUM_GROUPS}),
        upsample_mode="nontrainable" if upsampling == "linear" else "deconv",
    )
    return declare(network, sizes)
