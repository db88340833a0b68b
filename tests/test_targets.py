from __future__ import annotations

import torch

from torchio_seg.records import Labels
from torchio_seg.targets import activate, decode, encode

CLASSES = Labels.of_classes({0: "background", 3: "a", 7: "b"})
REGIONS = Labels.of_regions({0: "b", 1: "o", 2: "n", 4: "e"}, {"WT": [1, 2, 4], "TC": [1, 4], "ET": [4]})


def test_label_values_survive_encoding_and_decoding() -> None:
    for labels, values in ((CLASSES, [0, 3, 7]), (REGIONS, [0, 1, 2, 4])):
        label_map = torch.tensor(values)[torch.randint(len(values), (2, 1, 4, 5, 6))]
        masks = encode(label_map, labels)
        assert masks.shape == (2, labels.num_channels, 4, 5, 6)
        for sample, original in zip(masks, label_map, strict=True):
            assert torch.equal(decode(sample, labels).long(), original[0])


def test_exclusive_masks_are_one_hot_with_background_first() -> None:
    masks = encode(torch.tensor([0, 3, 7, 0]).view(1, 1, 4, 1, 1), CLASSES)
    assert masks[0, :, :, 0, 0].T.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_overlapping_masks_hold_every_region_a_voxel_belongs_to() -> None:
    masks = encode(torch.tensor([0, 1, 2, 4]).view(1, 1, 4, 1, 1), REGIONS)
    assert masks[0, :, :, 0, 0].T.tolist() == [[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]


def test_probabilities_sum_to_one_only_where_classes_exclude_each_other() -> None:
    logits = torch.randn(2, 3, 2, 2, 2)
    assert torch.allclose(activate(logits, CLASSES).sum(dim=1), torch.ones(2, 2, 2, 2))
    assert torch.equal(activate(logits, REGIONS), logits.sigmoid())


def test_values_above_255_are_written_in_a_wider_type() -> None:
    labels = Labels.of_classes({0: "background", 1000: "far"})
    assert decode(torch.tensor([0.1, 0.9]).view(2, 1, 1, 1), labels).item() == 1000
