"""What is measured of a region, and what counts where it cannot be."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.metrics import compute_iou
from monai.metrics.confusion_matrix import compute_confusion_matrix_metric, get_confusion_matrix

from torchio_seg.errors import DataError, UsageError
from torchio_seg.metrics import (
    METRICS,
    Measures,
    parse_empty,
    parse_metrics,
    region_masks,
    score_case,
    score_label_maps,
    spreads,
    summarize,
)
from torchio_seg.metrics.catalogue import Empty
from torchio_seg.records import Labels, RegionScore

Mask = npt.NDArray[np.bool_]
ALL = tuple(METRICS)
SPACING = (3.0, 2.0, 1.0)
DIAGONAL = math.sqrt(30**2 + 20**2 + 10**2)


def slab(first: int, last: int) -> Mask:
    mask = np.zeros((10, 10, 10), bool)
    mask[first:last] = True
    return mask


NOTHING = slab(0, 0)


def score(predicted: Mask, truth: Mask, measures: Measures) -> RegionScore:
    (found,) = score_case("case", predicted[None], truth[None], ["lesion"], measures=measures, spacing=SPACING)
    return found


def test_every_metric_of_a_slab_counted_by_hand() -> None:
    found = score(slab(2, 6), slab(3, 8), Measures(ALL, tolerance_mm=3))
    distances = {name: found.value(name) for name in ("hd95", "assd", "surface_dice")}
    assert {name: found.value(name) for name in ALL} == distances | {
        "dice": 2 * 300 / 900,
        "iou": 300 / 600,
        "sensitivity": 300 / 500,
        "precision": 300 / 400,
        "volume_error": -100 / 500,
        "volume_error_ml": pytest.approx(-100 * 6 / 1000),
        "lesion_f1": 1.0,
        "lesions_found": 1,
        "lesions_missed": 0,
        "lesions_invented": 0,
    }
    assert distances["hd95"] == 6.0  # the upper faces, two slices of 3 mm apart


def test_overlaps_are_monais() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = (rng.random((2, 9, 8, 7)) < 0.3 for _ in range(2))
    ours = score_case("case", predicted, truth, "ab", measures=Measures(("iou", "sensitivity", "precision")))
    pair = torch.from_numpy(predicted[None]).float(), torch.from_numpy(truth[None]).float()
    confusion = get_confusion_matrix(*pair, include_background=True)
    expected = {
        "iou": compute_iou(*pair)[0],
        "sensitivity": compute_confusion_matrix_metric("sensitivity", confusion)[0],
        "precision": compute_confusion_matrix_metric("precision", confusion)[0],
    }
    for name, theirs in expected.items():
        np.testing.assert_allclose([each.value(name) for each in ours], theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("empty", "share", "distance"), [("nan", None, None), ("one", 1.0, 0.0), ("zero", 0.0, DIAGONAL)]
)
def test_a_region_neither_there_nor_found_scores_by_the_rule(
    empty: Empty, share: float | None, distance: float | None
) -> None:
    found = score(NOTHING, NOTHING, Measures(ALL, empty=empty))
    shares = ("dice", "iou", "sensitivity", "precision", "surface_dice", "lesion_f1")
    assert {found.value(name) for name in shares} == {share}
    assert (found.value("hd95"), found.value("assd")) == pytest.approx((distance, distance))
    assert found.value("volume_error_ml") == 0
    assert found.empty


@pytest.mark.parametrize(("predicted", "truth"), [(NOTHING, slab(2, 4)), (slab(2, 4), NOTHING)])
def test_a_missed_or_invented_region_is_never_right(predicted: Mask, truth: Mask) -> None:
    plain, strict = (score(predicted, truth, Measures(ALL, penalize=penalize)) for penalize in (False, True))
    for name in ("dice", "iou", "surface_dice", "lesion_f1"):
        assert plain.value(name) == strict.value(name) == 0
    for name in ("hd95", "assd"):
        assert plain.value(name) is None
        assert strict.value(name) == pytest.approx(DIAGONAL)
    unmeasured = "precision" if plain.missed else "sensitivity"
    assert plain.value(unmeasured) is None
    assert strict.value(unmeasured) == 0
    assert plain.missed != plain.invented


def test_no_rule_changes_what_can_be_measured() -> None:
    rules: tuple[Empty, ...] = ("nan", "one", "zero")
    found = [score(slab(2, 6), slab(3, 8), Measures(ALL, empty=empty, penalize=True)) for empty in rules]
    assert found[0] == found[1] == found[2]


def test_missed_regions_are_counted_where_they_have_no_distance() -> None:
    measures = Measures(("hd95",))
    pairs = [(slab(2, 4), slab(2, 4)), (NOTHING, slab(2, 4)), (slab(1, 2), NOTHING), (NOTHING, NOTHING)]
    scores = [score(predicted, truth, measures) for predicted, truth in pairs]
    (summary,), (spread,) = summarize(scores), spreads(scores, "hd95")
    assert (summary.num_missed, summary.num_invented, summary.num_empty) == (1, 1, 1)
    assert (spread.mean, spread.num_scored) == (0.0, 1)


def test_only_what_is_asked_for_is_measured_and_millimetres_need_a_spacing() -> None:
    (plain,) = score_case("case", slab(0, 1)[None], slab(0, 1)[None], ["lesion"])
    assert plain.more == {}
    for name in ("hd95", "surface_dice", "volume_error_ml"):
        with pytest.raises(TypeError, match="give the spacing"):
            score_case("case", slab(0, 1)[None], slab(0, 1)[None], ["lesion"], measures=Measures((name,)))


@pytest.mark.parametrize("ignore", [None, 9])
def test_label_maps_score_as_the_masks_of_their_regions_do(ignore: int | None) -> None:
    names = {0: "background", 1: "necrosis", 2: "oedema", 4: "enhancing", 9: "unknown"}
    regions = {"whole": (1, 2, 4), "core": (1, 4), "enhancing": (4,)}
    labels = Labels.of_regions(names, regions, ignore=ignore)
    rng = np.random.default_rng(0)
    predicted, truth = rng.choice([0, 1, 2, 4], (9, 8, 7)), rng.choice(np.array([0, 1, 2, 4, 9], np.uint8), (9, 8, 7))
    given = predicted.copy()
    masks = region_masks(predicted, labels) & (truth != ignore)
    measures = Measures(ALL)
    expected = score_case("a", masks, region_masks(truth, labels), list(regions), measures=measures, spacing=SPACING)
    assert score_label_maps("a", predicted, truth, labels, measures=measures, spacing=SPACING) == expected
    assert np.array_equal(predicted, given)


def test_label_maps_of_other_grids_are_refused() -> None:
    labels = Labels.of_classes({0: "background", 1: "liver"})
    with pytest.raises(DataError, match=r"case a: the prediction has shape \(4, 4, 3\), the truth \(4, 4, 4\)"):
        score_label_maps("a", np.zeros((4, 4, 3), int), np.zeros((4, 4, 4), int), labels)


def test_names_are_put_in_order_and_wrong_ones_are_answered_with_the_right_ones() -> None:
    assert parse_metrics("hd95, dice") == ("dice", "hd95")
    assert parse_metrics("all") == ALL
    with pytest.raises(UsageError, match=r"no metric 'hd59', did you mean 'hd95'\? \(allowed: all, dice, iou"):
        parse_metrics("dice,hd59")
    with pytest.raises(UsageError, match=r"names none \(allowed: all, dice"):
        parse_metrics(" , ")
    with pytest.raises(UsageError, match=r"--empty: got 'two' \(allowed: nan, one, zero\)"):
        parse_empty("two")
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="give a number of millimetres from 0 on"):
            Measures(tolerance_mm=wrong)
