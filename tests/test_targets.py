from __future__ import annotations

import numpy as np
import pytest
import torch

from torchio_seg import components
from torchio_seg.losses import dice, dice_ce
from torchio_seg.records import Labels
from torchio_seg.targets import activate, background, decode, encode, leave_out_ignored, leave_out_ignored_of_all

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


def test_of_classes_that_are_equally_likely_the_first_is_written() -> None:
    probabilities = torch.randint(0, 3, (3, 5, 6, 7), generator=torch.Generator().manual_seed(0)) / 2
    first = np.array([0, 3, 7])[probabilities.numpy().argmax(axis=0)]
    assert np.array_equal(decode(probabilities, CLASSES), first)


def test_labels_of_logits_are_those_of_their_probabilities_also_of_more_classes_than_a_byte_counts() -> None:
    for count in (2, 3, 300):
        labels = Labels.of_classes({0: "background", **{7 * value: f"class {value}" for value in range(1, count)}})
        logits = torch.randn(count, 9, 8, 7, generator=torch.Generator().manual_seed(count))
        expected = 7 * logits.numpy().argmax(axis=0)
        assert np.array_equal(decode(logits, labels), expected)
        assert np.array_equal(decode(activate(logits[None], labels)[0], labels), expected)


def test_values_above_255_are_written_in_a_wider_type() -> None:
    labels = Labels.of_classes({0: "background", 1000: "far"})
    assert decode(torch.tensor([0.1, 0.9]).view(2, 1, 1, 1), labels).item() == 1000


def labels_with_unknown(exclusive: bool) -> Labels:
    names = {0: "b", 1: "a", 2: "c", 9: "unknown"}
    if exclusive:
        return Labels.of_classes(names, ignore=9)
    return Labels.of_regions(names, {"all": [1, 2], "core": [2]}, ignore=9)


@pytest.mark.parametrize("name", components.names("losses"))
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_ignored_voxels_enter_no_loss_and_get_no_gradient(name: str, exclusive: bool, batch: bool) -> None:
    """The loss of what is known is that of a volume which holds nothing else."""
    labels = labels_with_unknown(exclusive)
    loss = components.assemble("losses", {"name": name, "batch": batch}, exclusive)
    generator = torch.Generator().manual_seed(0)
    label_map = torch.randint(0, 3, (2, 1, 6, 4, 4), generator=generator)
    label_map[0, :, :2] = 0  # so that samples apart and together are not the same
    logits = torch.randn(2, labels.num_channels, 6, 4, 4, generator=generator, requires_grad=True)
    known = encode(label_map[:, :, :3], labels)
    label_map[:, :, 3:] = 9
    blind = leave_out_ignored_of_all if batch else leave_out_ignored
    masked = blind(loss)(logits, encode(label_map, labels))
    torch.testing.assert_close(masked, loss(logits[:, :, :3], known))
    masked.backward()
    assert logits.grad is not None
    assert logits.grad[:, :, :3].abs().sum() > 0
    assert not logits.grad[:, :, 3:].any()


def test_a_pooled_loss_sees_samples_with_different_numbers_of_known_voxels_as_one() -> None:
    labels = labels_with_unknown(exclusive=True)
    generator = torch.Generator().manual_seed(0)
    label_map = torch.randint(0, 3, (2, 1, 4, 4, 4), generator=generator)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    label_map[0, :, 1:] = 9
    loss = dice.build(True, batch=True)
    found = leave_out_ignored_of_all(loss)(logits, encode(label_map, labels))
    beside = torch.cat([logits[:1, :, :1], logits[1:]], dim=2)
    expected = loss(beside, encode(torch.cat([label_map[:1, :, :1], label_map[1:]], dim=2), labels))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, leave_out_ignored(loss)(logits, encode(label_map, labels)), atol=1e-3)


def test_a_patch_that_nobody_labelled_costs_nothing() -> None:
    labels = Labels.of_classes({0: "b", 1: "a", 9: "unknown"}, ignore=9)
    logits = torch.randn(1, 2, 3, 3, 3, requires_grad=True)
    loss = leave_out_ignored(dice_ce.build(True))(logits, encode(torch.full((1, 1, 3, 3, 3), 9), labels))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_nothing_is_background_where_classes_exclude_each_other_and_no_region_elsewhere() -> None:
    assert background(CLASSES) == [1, 0, 0]
    assert background(REGIONS) == [0, 0, 0]
