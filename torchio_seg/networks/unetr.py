"""UNETR: a vision transformer encodes, convolutions decode; one patch size for life (Hatamizadeh et al. 2022)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size, Sizes, check_patch_size, declare

if TYPE_CHECKING:
    import torch

TOKEN_SIZE = (16, 16, 16)
"""Voxels that become one token."""


def build(  # noqa: PLR0913 - every option is a setting of the network
    in_channels: int,
    out_channels: int,
    patch_size: Size,
    *,
    feature_size: PositiveInt = 16,
    hidden_size: PositiveInt = 768,
    mlp_size: PositiveInt = 3072,
    num_heads: PositiveInt = 12,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> "torch.nn.Module":
    """Twelve transformer blocks of `hidden_size`; the decoder has `feature_size` channels at full resolution."""
    if hidden_size % num_heads:
        raise ConfigError(
            f"unetr: hidden_size {hidden_size} is not divisible by num_heads {num_heads}; "
            f"use hidden_size {max(1, round(hidden_size / num_heads)) * num_heads}"
        )
    check_patch_size(patch_size, Sizes(multiple_of=TOKEN_SIZE), "unetr")

    from monai.networks.nets.unetr import UNETR
    from torch import nn

    network = UNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        img_size=patch_size,
        feature_size=feature_size,
        hidden_size=hidden_size,
        mlp_dim=mlp_size,
        num_heads=num_heads,
        proj_type="perceptron",
        norm_name="instance",
        conv_block=True,
        res_block=True,
        dropout_rate=dropout,
    )
    for block in network.vit.blocks:
        block.norm_cross_attn = nn.Identity()  # never called without cross-attention: its weights get no gradient
    return declare(network, Sizes(multiple_of=TOKEN_SIZE, fixed_size=patch_size))
