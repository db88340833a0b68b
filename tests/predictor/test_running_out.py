"""Where memory runs out on the way, less is taken, that is said, and the result is the same."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from torchio_seg.predictor.patch_grid import PatchGrid
from torchio_seg.predictor.predictor import Predictor, Storage
from torchio_seg.predictor.streaming import Frontier
from torchio_seg.predictor.uncertainty import entropy
from torchio_seg.predictor.window import Window, stream
from torchio_seg.progress import Silent
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

LABELS = Labels.of_classes({0: "background", 1: "one"})
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]
IMAGE = np.random.default_rng(0).normal(size=(2, 17, 12, 20)).astype(np.float32)


def predictor(most: int, error: BaseException, batch_size: int = 8) -> tuple[Predictor, list[int]]:
    """A network that has memory for so many patches at once, and the batches that it saw."""
    seen: list[int] = []

    def answer(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        if len(images) > most:
            raise error
        return images * 2

    window = Window((8, 8, 8), 0.5, batch_size, "hann")
    return Predictor(answer, LABELS, Recipe(None, None, "none"), window, torch.device("cpu"), "fp32"), seen


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_batches_become_smaller_and_nothing_is_lost(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    expected = predictor(8, error)[0](IMAGE, np.eye(4))
    small, seen = predictor(3, error)
    with caplog.at_level(logging.WARNING):
        found = small(IMAGE, np.eye(4))
    assert np.array_equal(found.label_map, expected.label_map)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert seen[:4] == [8, 4, 2, 2]
    assert set(seen[2:-1]) == {2}, "it does not try more again"
    assert [record.getMessage() for record in caplog.records] == [
        "memory ran out with batches of 8 patches: going on with 4",
        "memory ran out with batches of 4 patches: going on with 2",
    ]


def test_a_single_patch_that_does_not_fit_is_an_error_and_a_defect_is_no_lack_of_memory() -> None:
    none, seen = predictor(0, ERRORS[0], batch_size=2)
    with pytest.raises(torch.OutOfMemoryError):
        none(IMAGE, np.eye(4))
    assert seen == [2, 1]
    broken, seen = predictor(0, RuntimeError("a defect"))
    with pytest.raises(RuntimeError, match="a defect"):
        broken(IMAGE, np.eye(4))
    assert seen == [8]


def test_sums_that_move_to_main_memory_in_the_middle_of_a_volume_are_the_same() -> None:
    grid = PatchGrid((9, 14, 16), (4, 4, 4), (2, 2, 2), axis=2)
    volume = torch.randn(2, *grid.shape, generator=torch.Generator().manual_seed(0))
    expected = list(stream(Frontier(grid, "gaussian"), lambda x: x, volume, batch_size=1, progress=Silent()))
    for moment in (1, 20, 90):
        frontier, calls = Frontier(grid, "gaussian"), itertools.count()

        def answer(images: torch.Tensor) -> torch.Tensor:
            if next(calls) == moment:  # noqa: B023
                frontier.move_to_main_memory()  # noqa: B023
            return images

        found = list(stream(frontier, answer, volume, batch_size=1, progress=Silent()))
        assert next(calls) > moment
        assert all(torch.equal(one.values, other.values) for one, other in zip(found, expected, strict=True))


def test_where_sums_have_no_room_on_their_device_all_begins_anew_in_main_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another name of the CPU stands for a GPU; the error comes when strips are made, outside the network."""
    one, _ = predictor(8, ERRORS[0])
    expected = replace(one, measure=entropy)(IMAGE, np.eye(4))
    elsewhere = torch.device("cpu", 0)
    for error in ERRORS:
        devices: list[torch.device] = []

        def measured(channels: torch.Tensor, labels: Labels) -> torch.Tensor:
            devices.append(channels.device)  # noqa: B023
            if len(devices) == 30:  # noqa: B023
                raise error  # noqa: B023
            return entropy(channels, labels)

        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = replace(one, measure=measured, storage=Storage(elsewhere))(IMAGE, np.eye(4))
        assert [record.getMessage() for record in caplog.records] == [
            "memory ran out on cpu:0: beginning anew with the sums of patches in main memory"
        ]
        assert len(devices) > 60
        for name in ("label_map", "probabilities", "uncertainty"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(
    ("error", "sums"), [(MemoryError(), torch.device("cpu")), (RuntimeError("a defect"), torch.device("cpu", 0))]
)
def test_in_main_memory_there_is_no_other_way_and_a_defect_is_no_lack_of_memory(
    error: Exception, sums: torch.device
) -> None:
    one, seen = predictor(8, ERRORS[0])

    def broken(*_: object) -> torch.Tensor:
        raise error

    with pytest.raises(type(error)):
        replace(one, measure=broken, storage=Storage(sums))(IMAGE, np.eye(4))
    assert 0 < len(seen) < 20
