"""What settings are made of: sizes, shares and times as a file writes them, and groups of settings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

from torchio_seg.config.durations import is_duration

Size = tuple[PositiveInt, PositiveInt, PositiveInt]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _check_part(value: object) -> object:
    is_share = isinstance(value, float) and 0 <= value < 1
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not is_share and not is_number:
        raise ValueError("give a share of the cases, from 0 to below 1, or a whole number of them")
    return value


def _check_duration(value: object) -> object:
    if is_duration(value):
        return value
    raise ValueError("give a time as 90s, 30m, 1h30m or 2d")


Duration = Annotated[str, BeforeValidator(_check_duration)]


def check_device(value: object) -> object:
    """The name of a device, whether it is there or not."""
    if isinstance(value, str) and not _DEVICE.fullmatch(value):
        raise ValueError("there is no such device (allowed: auto, cpu, cuda, cuda:N, mps)")
    return value


_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
DeviceName = Annotated[str, BeforeValidator(check_device)]
Part = Annotated[int | float, BeforeValidator(_check_part)]


def _check_overlap(value: object) -> object:
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
    if not is_share and not (isinstance(value, str) and _VOXELS.fullmatch(value)):
        raise ValueError("give a share of the patch, from 0 to below 1, or even numbers of voxels: 32vox, 32,32,16vox")
    return value


_VOXELS = re.compile(r"(\d*[02468])(?:,(\d*[02468]),(\d*[02468]))?vox")
Overlap = Annotated[float | str, BeforeValidator(_check_overlap)]


def voxels(overlap: str) -> tuple[int, int, int]:
    """The lengths along I J K of an overlap that settings give in voxels."""
    match = _VOXELS.fullmatch(overlap)
    i, j, k = (int(length or (match[1] if match else 0)) for length in (match.groups() if match else ("0",) * 3))
    return i, j, k


class Section(BaseModel):
    """A group of settings: an unknown key, a wrong type or a number out of range is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class Component(Section):
    """A named part with options of its own, which are checked against the part's `build`."""

    model_config = ConfigDict(extra="allow")

    name: str
    """File of that name in the part's folder, or a dotted name on the Python path."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def section(self) -> dict[str, Any]:
        """Name and options, as `components.assemble` takes them."""
        return {"name": self.name, **self.options}
