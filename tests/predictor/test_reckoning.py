"""What a prediction will take is known before it begins."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from torchio_seg.memory import measure
from torchio_seg.predictor.budget import SLACK, Need, Wanted, ladder, measure_patch, reckon, roomiest
from torchio_seg.predictor.predictor import Predictor, Storage
from torchio_seg.predictor.reckoning import Image, PatchCost
from torchio_seg.predictor.skipping import Skipping
from torchio_seg.predictor.uncertainty import entropy
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

MEBI = 2**20
GIBI = 2**30
LITTLE: dict[str, Any] = {"held_bytes": MEBI}
"""So that a small volume is treated as a long one."""
SMALL = {
    "as it is": {"shape": [64, 64, 64], "classes": 4},
    "batches": {"shape": [60, 100, 120], "classes": 12, "batch_size": 4},
    "weights": {"shape": [64, 64, 64], "classes": 4, "weights": 50 * MEBI, "spacings": [None, None]},
    "grids that differ": {"shape": [80, 90, 120], "classes": 12, "spacings": [None, [1.3, 0.9, 1.2], [0.8, 1, 1]]},
    "all kept": {"shape": [100, 96, 110], "classes": 16, "kept": True, "uncertain": True},
    "all kept in files": {"shape": [100, 96, 110], "classes": 16, "kept": True, "uncertain": True, **LITTLE},
    "long, resampled": {"shape": [64, 90, 160], "classes": 8, "spacings": [[1.0, 0.8, 1.4]], **LITTLE},
    "sums in a file": {"shape": [96, 200, 200], "classes": 16, "in_file": True},
    "nothing skipped": {"shape": [110, 64, 64], "classes": 24, "batch_size": 2},
    "skipping": {"shape": [110, 64, 64], "classes": 24, "batch_size": 2, "skipping": True},
    "mended": {"shape": [192, 192, 192], "classes": 2, "mended": True},
    "measured": {"shape": [128, 128, 128], "classes": 2, "normalization": "zscore"},
}
LARGE = [
    {"shape": [64, 64, 64], "classes": 4},
    {"shape": [240, 144, 96], "classes": 24},
    {"shape": [144, 144, 240], "classes": 24},
    {"shape": [240, 144, 96], "classes": 24, "batch_size": 4},
    {"shape": [240, 144, 96], "classes": 24, "spacings": [None, None, None]},
    {"shape": [240, 144, 96], "classes": 24, "spacings": [[1.0, 0.8, 1.3]]},
    {"shape": [144, 240, 240], "classes": 32, "in_file": True},
    {"shape": [144, 144, 144], "classes": 12, "kept": True},
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
def test_no_more_is_taken_than_was_said_whatever_is_asked_for() -> None:
    """In a process for each, so that none finds what another left."""
    for name, case in SMALL.items():
        [found] = measure("budget_tasks:compare", {"cases": [case]}).answer["cases"]
        assert found["measured"] <= found["reckoned"], name
        assert found["beyond"] > 0, name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
def test_what_is_taken_is_little_less_than_what_was_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences to a small volume, which fixed parts cancel from, with an allocator that holds nothing back."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(MEBI))
    small, *others = measure("budget_tasks:compare", {"cases": LARGE}).answer["cases"]
    for case, each in zip(LARGE[1:], others, strict=True):
        reckoned, measured = (each[key] - small[key] for key in ("reckoned", "measured"))
        assert measured <= reckoned + 16 * MEBI, case
        assert measured >= 0.8 * reckoned - 16 * MEBI, case


def predictor(batch_size: int = 4, **changes: Any) -> Predictor:
    labels = Labels.of_classes({number: f"class {number}" for number in range(118)})
    window = Window((96, 96, 96), 0.25, batch_size, "gaussian")
    made = Predictor(lambda images: images, labels, Recipe(None, None, "none"), window, torch.device("cpu"), "fp32")
    return replace(made, **changes)


def image(shape: tuple[int, int, int], held: int = 0, held_vram: int = 0) -> Image:
    return Image(1, shape, np.eye(4), held, held_vram, is_in_memory=True, is_laid_out=True)


COST = PatchCost(118, 500 * MEBI)
LABELS_ALONE = Wanted()
LONG = (512, 512, 800)


def needed(*members: Predictor, shape: tuple[int, int, int] = LONG, wanted: Wanted = LABELS_ALONE) -> Need:
    return reckon(members, [COST] * len(members), image(shape), wanted)


def test_each_way_takes_less_than_the_one_before_it() -> None:
    needs = [needed(*members, wanted=Wanted(probabilities=True)).ram for members in ladder([predictor()])]
    assert len(needs) == 6
    assert needs[:3] == sorted(needs[:3], reverse=True)
    assert needs[3:] == sorted(needs[3:], reverse=True)
    assert needs[3] < needs[0]
    assert needs[-1] < 5.4 * GIBI


def test_118_classes_of_a_long_scan_fit_6_gib_with_sums_in_a_file_alone() -> None:
    """The whole process, of which the scan and the program hold 1.2 GiB."""
    held = 800 * MEBI + 400 * MEBI
    fitting = [
        (members[0].storage, members[0].window.batch_size)
        for members in ladder([predictor()])
        if reckon(members, [COST], image(LONG, held), LABELS_ALONE).ram <= 6 * GIBI
    ]
    assert fitting
    assert all(storage.sums_in_file for storage, _ in fitting)


@pytest.mark.parametrize("wanted", [LABELS_ALONE, Wanted(probabilities=True)], ids=["labels", "probabilities"])
def test_nothing_grows_with_the_length_of_a_volume(wanted: Wanted) -> None:
    """By whole patches, so that the last of them lies over as much of the one before."""
    unsure = predictor(1, measure=entropy)
    short, long = (needed(unsure, shape=(512, 512, length), wanted=wanted).ram for length in (1600, 1600 + 22 * 72))
    assert abs(long - short) < 100 * MEBI


@pytest.mark.parametrize(
    ("vram", "place", "batch_size"),
    [(40 * 2**30, "cuda", 4), (4 * 2**30, "cpu", 4), (2**30, "cpu", 1), (2**20, "cpu", 1)],
    ids=["all", "a batch", "a patch", "nothing"],
)
def test_a_gpu_gets_what_it_has_room_for_and_where_nothing_fits_the_least(
    vram: int, place: str, batch_size: int
) -> None:
    first = replace(predictor(), device=torch.device("cuda"))
    [chosen] = roomiest([first], [PatchCost(118, 500 * MEBI, 900 * MEBI)], image((512, 512, 200)), vram)
    assert (chosen.storage.sums.type, chosen.window.batch_size) == (place, batch_size)


def test_measuring_a_patch_changes_nothing_of_a_network_that_is_being_trained() -> None:
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 3, 3, padding=1), torch.nn.BatchNorm3d(3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    labels = Labels.of_classes({0: "background", 1: "one", 2: "two"})
    window = Window((8, 8, 8), 0.0, 1, "crop")
    cost = measure_patch(predictor(1, network=network, labels=labels, window=window), 1)
    assert cost.num_channels == 3
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_all_that_is_asked_for_is_counted() -> None:
    plain = needed(predictor(1), shape=(256, 256, 100)).ram
    logits = 4 * 118 * 96**3
    skipping = needed(predictor(1, network=Skipping(lambda images: images)), shape=(256, 256, 100)).ram
    assert skipping - plain == 2 * logits, "the answer that is kept, and a batch that is put together"
    other = needed(predictor(1), predictor(1, recipe=Recipe((1.5, 1.5, 1.5), None, "none")), shape=(256, 256, 100))
    assert other.ram - plain > logits + 4 * (256 * 256 * 100 / 1.5**3), "sums, an answer that waits, and a volume"
    assert needed(predictor(1), wanted=Wanted(beside=GIBI)).ram == needed(predictor(1)).ram + GIBI


def test_mending_that_takes_most_is_what_is_said() -> None:
    small = predictor(1, labels=Labels.of_classes({0: "background", 1: "one"}))
    cost = [PatchCost(2, 10 * MEBI)]
    plain, mended = (reckon([small], cost, image(LONG), Wanted(mended=mended)) for mended in (False, True))
    assert "post-processing" in dict(mended.parts)
    assert "sums" in dict(plain.parts)
    assert mended.ram > 8 * 512 * 512 * 800 + SLACK


def test_sums_and_strips_on_a_gpu_are_no_longer_in_main_memory_and_its_weights_count() -> None:
    gpu = torch.device("cuda")
    cost = PatchCost(118, 500 * MEBI, 900 * MEBI)
    scan = image((512, 512, 200), held_vram=300 * MEBI)
    there, here = (
        reckon([predictor(1, device=gpu, storage=Storage(sums))], [cost], scan, LABELS_ALONE)
        for sums in (gpu, torch.device("cpu"))
    )
    moved = sum(dict(here.parts)[name] for name in ("sums", "strips", "answers"))
    assert here.vram == 1200 * MEBI
    assert there.vram - here.vram == moved
    assert 0.9 * moved < here.ram - there.ram < moved
