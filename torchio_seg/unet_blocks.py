"""The parts of nnU-Net's networks: convolutions, residual blocks, and the U-Net that is made of them.

Parameters carry nnU-Net's names but for what its containers add: `encoder.stages.2.0.conv.weight` is its
`encoder.stages.2.0.convs.0.conv.weight`, `decoder.1.up` its `decoder.transpconvs.1`, `decoder.1.convs` its
`decoder.stages.1.convs`; `heads.0` is the last of its `decoder.seg_layers`, `heads.1` the one before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from torchio_seg.levels import Levels
from torchio_seg.network_sizes import Size

SLOPE = 0.01
"""Of the leaky ReLU below zero."""
ONE: Size = (1, 1, 1)


class UNet(nn.Module):
    """Levels down, levels up, and logits from the upper ones: in training a list, finest first, else the finest."""

    def __init__(self, encoder: Encoder, levels: Levels, out_channels: int, *, convs_up: int, num_heads: int) -> None:
        super().__init__()
        self.encoder = encoder
        upwards = range(len(levels.channels) - 2, -1, -1)
        self.decoder = nn.ModuleList(UpLevel(levels, level, convs_up) for level in upwards)
        self.heads = nn.ModuleList(nn.Conv3d(levels.channels[level], out_channels, 1) for level in range(num_heads))
        self.apply(_initialize)

    @property
    def recomputable(self) -> list[nn.Module]:
        """What training may compute twice to keep less."""
        stem = self.encoder.stem
        return [*([] if isinstance(stem, nn.Identity) else [stem]), *self.encoder.stages, *self.decoder]

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        *skips, features = self.encoder(images)
        maps: list[torch.Tensor] = []
        for level in self.decoder:
            features = level(features, skips.pop())
            maps.insert(0, features)
        if not self.training or len(self.heads) == 1:
            logits: torch.Tensor = self.heads[0](maps[0])
            return logits
        return [head(features) for head, features in zip(self.heads, maps, strict=False)]


class Encoder(nn.Module):
    """What images become level by level, finest first."""

    def __init__(self, stages: Sequence[nn.Module], stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem or nn.Identity()
        self.stages = nn.ModuleList(stages)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        features, maps = self.stem(images), []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps


class UpLevel(nn.Module):
    """A level on the way up: what comes from below, enlarged, beside what the same level was on the way down."""

    def __init__(self, levels: Levels, level: int, num_convs: int) -> None:
        super().__init__()
        channels, stride = levels.channels[level], levels.strides[level + 1]
        self.up = nn.ConvTranspose3d(levels.channels[level + 1], channels, kernel_size=stride, stride=stride)
        self.convs = convolutions(2 * channels, channels, levels.kernel_sizes[level], ONE, number=num_convs)

    def forward(self, below: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.convs(torch.cat([self.up(below), skip], dim=1))
        return features


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, averaged down and given new channels where they differ (ResNet-D)."""

    def __init__(self, before: int, after: int, kernel_size: Size, stride: Size) -> None:
        super().__init__()
        self.conv1 = convolution(before, after, kernel_size, stride)
        self.conv2 = convolution(after, after, kernel_size, ONE, activated=False)
        shortcut: list[nn.Module] = [] if stride == ONE else [nn.AvgPool3d(stride, stride)]
        if before != after:
            shortcut.append(convolution(before, after, ONE, ONE, activated=False, bias=False))
        self.skip = nn.Sequential(*shortcut)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.conv2(self.conv1(features))
        changed += self.skip(features)
        activated: torch.Tensor = self.activation(changed)
        return activated


def plain_stages(in_channels: int, levels: Levels, num_convs: int) -> list[nn.Module]:
    """Convolutions alone, the first of each level strided."""
    channels = pairwise((in_channels, *levels.channels))
    described = zip(channels, levels.kernel_sizes, levels.strides, strict=True)
    return [
        convolutions(before, after, kernel, stride, number=num_convs) for (before, after), kernel, stride in described
    ]


def residual_stages(in_channels: int, levels: Levels, num_blocks: Sequence[int]) -> list[nn.Module]:
    """Residual blocks, the first of each level strided."""
    channels = pairwise((in_channels, *levels.channels))
    described = zip(channels, levels.kernel_sizes, levels.strides, num_blocks, strict=True)
    return [
        nn.Sequential(
            ResidualBlock(before, after, kernel, stride),
            *(ResidualBlock(after, after, kernel, ONE) for _ in range(number - 1)),
        )
        for (before, after), kernel, stride, number in described
    ]


def convolutions(before: int, after: int, kernel_size: Size, stride: Size, *, number: int) -> nn.Sequential:
    """As many convolutions one after another; the first strides and changes the channels."""
    first = convolution(before, after, kernel_size, stride)
    return nn.Sequential(first, *(convolution(after, after, kernel_size, ONE) for _ in range(number - 1)))


def convolution(
    before: int, after: int, kernel_size: Size, stride: Size, *, activated: bool = True, bias: bool = True
) -> nn.Sequential:
    """Convolution, instance norm and, unless told otherwise, leaky ReLU."""
    padding = (kernel_size[0] // 2, kernel_size[1] // 2, kernel_size[2] // 2)
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv3d(before, after, kernel_size, stride, padding, bias=bias),
        norm=nn.InstanceNorm3d(after, affine=True),
    )
    if activated:
        parts["activation"] = nn.LeakyReLU(SLOPE, inplace=True)
    return nn.Sequential(parts)


def _initialize(module: nn.Module) -> None:
    """As nnU-Net: He's normal weights without biases; a residual block is its shortcut at first."""
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, ResidualBlock):
        nn.init.zeros_(module.conv2.get_submodule("norm").get_parameter("weight"))
