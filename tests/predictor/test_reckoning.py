"""What a prediction will take is known before it begins."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from torchio_seg.memory import measure
from torchio_seg.predictor.budget import Image, PatchCost, ladder, measure_patch, reckon, roomiest
from torchio_seg.predictor.grid import Window
from torchio_seg.predictor.native import Predictor, Storage
from torchio_seg.records import Labels
from torchio_seg.transforms.preprocessing import find_grids
from torchio_seg.transforms.recipe import Recipe

MEBI = 2**20
CASES = [
    {"shape": [64, 64, 64], "classes": 4},
    {"shape": [240, 144, 96], "classes": 24},
    {"shape": [144, 144, 240], "classes": 24},
    {"shape": [240, 144, 96], "classes": 24, "batch_size": 4},
    {"shape": [240, 144, 96], "classes": 24, "members": 3},
    {"shape": [240, 144, 96], "classes": 24, "spacing": [1.0, 0.8, 1.3]},
    {"shape": [144, 240, 240], "classes": 32, "in_file": True},
    {"shape": [144, 144, 144], "classes": 16, "kept": True},
    {"shape": [144, 144, 144], "classes": 16, "kept": True, "in_file": True},
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
def test_what_is_taken_is_what_was_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences to a small volume, which fixed parts cancel from, with an allocator that holds nothing back."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(MEBI))
    small, *others = measure("budget_tasks:compare", {"cases": CASES}).answer["cases"]
    for case, each in zip(CASES[1:], others, strict=True):
        reckoned, measured = (each[key] - small[key] for key in ("reckoned", "measured"))
        assert measured == pytest.approx(reckoned, rel=0.1, abs=32 * MEBI), case
        assert measured <= reckoned + 16 * MEBI, case


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
def test_no_more_is_taken_than_was_reckoned() -> None:
    for case in measure("budget_tasks:compare", {"cases": CASES[:5]}).answer["cases"]:
        assert case["measured"] <= case["reckoned"]


def predictor(batch_size: int = 4) -> Predictor:
    labels = Labels.of_classes({number: f"class {number}" for number in range(118)})
    window = Window((96, 96, 96), 0.25, batch_size, "gaussian")
    return Predictor(lambda images: images, labels, Recipe(None, None, "none"), window, torch.device("cpu"), "fp32")


def image(shape: tuple[int, int, int], held: int = 0) -> Image:
    return Image(1, find_grids(shape, np.eye(4), Recipe(None, None, "none")), held, is_laid_out=True)


COST = PatchCost(118, 500 * MEBI)


def test_each_way_takes_less_than_the_one_before_it() -> None:
    needs = [
        reckon(members, [COST], image((512, 512, 800)), kept=True).ram for members in ladder([predictor()], kept=True)
    ]
    assert len(needs) == 12
    for kept in (needs[:6], needs[6:]):
        assert kept[:3] == sorted(kept[:3], reverse=True)
        assert kept[3:] == sorted(kept[3:], reverse=True)
        assert kept[3] < kept[0]
    assert needs[0] > 90 * 2**30, "probabilities of 118 classes"
    assert needs[-1] < 5.2 * 2**30


def test_118_classes_of_a_long_scan_fit_6_gib_with_sums_in_a_file_alone() -> None:
    """The whole process, of which the scan and the program hold 1.2 GiB."""
    held = 800 * MEBI + 400 * MEBI
    fitting = [
        (members[0].storage, members[0].window.batch_size)
        for members in ladder([predictor()], kept=False)
        if reckon(members, [COST], image((512, 512, 800), held), kept=False).ram <= 6 * 2**30
    ]
    assert fitting
    assert all(storage.sums_in_file for storage, _ in fitting)


def test_what_is_held_of_a_volume_does_not_grow_with_its_length_but_for_its_labels() -> None:
    short, long = (reckon([predictor(1)], [COST], image((512, 512, length)), kept=False).ram for length in (800, 3200))
    assert long - short < 2400 * 512**2 * 1.01 + 200 * MEBI


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


def test_sums_on_a_gpu_are_no_longer_in_main_memory() -> None:
    on_gpu = replace(predictor(1), storage=Storage(torch.device("cuda")))
    cost = PatchCost(118, 500 * MEBI, 900 * MEBI)
    there, here = (reckon([each], [cost], image((512, 512, 200)), kept=False) for each in (on_gpu, predictor(1)))
    assert there.vram - here.vram == pytest.approx(here.ram - there.ram)
    assert here.vram == 900 * MEBI


def test_measuring_a_patch_changes_nothing_of_a_network_that_is_being_trained() -> None:
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 3, 3, padding=1), torch.nn.BatchNorm3d(3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cost = measure_patch(replace(predictor(1), network=network, window=Window((8, 8, 8), 0.0, 1, "crop")), 1)
    assert cost.num_channels == 3
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
