"""Swin UNETR: attention in windows that shift from block to block encodes, convolutions decode (Tang et al. 2022)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size, Sizes, check_patch_size, declare

if TYPE_CHECKING:
    import torch

Four = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    feature_size: Annotated[int, Field(gt=0, multiple_of=12)] = 48,
    depths: Four = (2, 2, 2, 2),
    num_heads: Four = (3, 6, 12, 24),
    window_size: PositiveInt = 7,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> "torch.nn.Module":
    """Four stages of `depths` blocks, the first with `feature_size` channels, each next one with twice as many.

    `window_size`: tokens of 2 voxels along a side of a window. `drop_path`: how often the last block is left out in
    training, earlier ones less.
    """
    for stage, heads in enumerate(num_heads):
        if (width := feature_size * 2**stage) % heads:
            raise ConfigError(
                f"swinunetr: stage {stage + 1} has {width} channels, which num_heads {heads} does not divide; "
                "3, 6, 12, 24 divides every feature_size"
            )
    sizes = Sizes(multiple_of=(32, 32, 32), min_cells=2)
    check_patch_size(patch_size, sizes, "swinunetr")

    from monai.networks.nets.swin_unetr import SwinUNETR

    network = SwinUNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=feature_size,
        depths=depths,
        num_heads=num_heads,
        window_size=window_size,
        drop_rate=dropout,
        dropout_path_rate=drop_path,
    )
    return declare(network, sizes)
