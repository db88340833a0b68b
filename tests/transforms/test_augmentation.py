"""Intensity changes leave labels bit-equal; spatial ones move images and labels alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchio as tio

from torchio_seg import components
from torchio_seg.sampling import seeded
from torchio_seg.subjects import make_subject

ALWAYS = {"probability": 1.0}


def subject() -> tio.Subject:
    generator = torch.Generator().manual_seed(0)
    label = (torch.rand(1, 20, 20, 20, generator=generator) > 0.5).to(torch.uint8)
    return make_subject(torch.randn(2, 20, 20, 20, generator=generator), label, np.eye(4), "c")


@pytest.mark.parametrize("name", components.names("transforms.intensity"))
def test_intensity_changes_touch_images_only(name: str) -> None:
    original = subject()
    transform = components.assemble("transforms.intensity", {"name": name, **ALWAYS})
    assert isinstance(transform, tio.IntensityTransform)
    with seeded(name):
        changed = transform(original)
    assert torch.equal(changed["label"].data, original["label"].data)
    assert changed["label"].data.dtype == torch.uint8
    assert not torch.equal(changed["image"].data, original["image"].data)
    assert bool(changed["image"].data.isfinite().all())


@pytest.mark.parametrize("name", components.names("transforms.spatial"))
def test_spatial_changes_move_images_and_labels_alike(name: str) -> None:
    """A smooth ball is image and, above one half, label: afterwards the image must still tell the label."""
    places = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    distance = (places - torch.tensor([13.0, 17.0, 15.0]).view(3, 1, 1, 1)).norm(dim=0)[None]
    image = torch.sigmoid((8 - distance) / 1.5)
    original = make_subject(image, (image > 0.5).to(torch.uint8), np.eye(4), "c")
    transform = components.assemble("transforms.spatial", {"name": name, **ALWAYS})
    assert isinstance(transform, tio.SpatialTransform)
    with seeded(name):
        changed = transform(original)
    moved, label = changed["image"].data, changed["label"].data > 0.5
    assert not torch.equal(moved, image)
    sure = (moved - 0.5).abs() > 0.25
    assert torch.equal((moved > 0.5)[sure], label[sure])


def test_scale_shift_is_one_linear_map_a_channel() -> None:
    transform = components.assemble("transforms.intensity", {"name": "scale_shift", "scale": 0.1, "shift": 0.2})
    original = subject()
    with seeded("linear"):
        changed = transform(original)
    for before, after in zip(original["image"].data, changed["image"].data, strict=True):
        slope, offset = np.polyfit(before.flatten().numpy(), after.flatten().numpy(), 1)
        assert 0.9 <= slope <= 1.1
        assert -0.2 <= offset <= 0.2
        assert torch.allclose(after, before * slope + offset, atol=1e-5)
