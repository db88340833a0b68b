"""What scoring and drawing take in memory does not grow with the number of labels."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.metrics import Measures
from torchio_seg.records import Case, Labels
from torchio_seg.reports.pictures import Drawn
from torchio_seg.volumes.nifti import create, read
from torchio_seg.volumes.source import InMemory
from torchio_seg.workflows.evaluate import _score
from torchio_seg.workflows.pairs import Pair, score_pair

SHAPE = (40, 40, 40)
MEASURES = Measures(("dice", "hd95"))
Work = Callable[[Pair, Labels], object]


def scored_from_files(pair: Pair, labels: Labels) -> object:
    return score_pair(pair, labels, MEASURES)


def scored_as_predicted(pair: Pair, labels: Labels) -> object:
    image, found = read(pair.truth), read(pair.predicted).array[0]
    return _score((Case("a", (pair.truth,)), image, image.array[0], found), labels, MEASURES).scores


def drawn(pair: Pair, labels: Labels) -> object:
    image, found = read(pair.truth).array, read(pair.predicted).array[0]
    regions = {region.name: region.labels for region in labels.regions}
    drawn = Drawn("a", ("", 0), InMemory(image), windows=[(0, 1)], label_map=image[0], regions=regions, predicted=found)
    return drawn.telling_slices(3)


def pair_of(folder: Path, num_labels: int) -> Pair:
    """So many slanted layers, and the same moved by a voxel."""
    place = np.add.outer(np.add.outer(np.arange(40), np.arange(40)), np.arange(40))
    truth = (place * num_labels // place.max() % (num_labels + 1)).astype(np.uint8)
    files = folder / f"{num_labels}_predicted.nii.gz", folder / f"{num_labels}_truth.nii.gz"
    for file, values in zip(files, (np.roll(truth, 1, axis=0), truth), strict=True):
        create(file, values, np.eye(4))
    return Pair("a", *files)


def peak_of(work: Work, pair: Pair, labels: Labels) -> int:
    work(pair, labels)  # what is imported and cached is there
    tracemalloc.start()
    try:
        work(pair, labels)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("work", [scored_from_files, scored_as_predicted, drawn])
def test_forty_labels_take_no_more_memory_than_two(work: Work, tmp_path: Path) -> None:
    peaks = [
        peak_of(work, pair_of(tmp_path, number), Labels.of_classes({n: f"organ {n}" for n in range(number + 1)}))
        for number in (2, 40)
    ]
    assert peaks[1] < peaks[0] + 2 * np.prod(SHAPE), "a mask more, for what is beside them"
