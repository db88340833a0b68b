"""What is known about a data set once its files are read: all that a check may look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torchio_seg.config.sections import Preprocessing
    from torchio_seg.facts import Facts
    from torchio_seg.records import Case, Dataset, Split


@dataclass(frozen=True)
class Files:
    """What one look at every file of a data set gave."""

    images: Mapping[Path, Facts]
    labels: Mapping[Path, Facts]
    twins: tuple[tuple[Path, ...], ...] = ()
    """Images, each in a file of its own, with equal voxels."""
    copies: frozenset[tuple[Path, Path]] = frozenset()
    """An image and the label map of its case, each in a file of its own, with equal voxels."""
    identities: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    """Device and number of each file that is there: two paths may lead to one file."""

    @property
    def num_files(self) -> int:
        return len(self.images.keys() | self.labels.keys())

    def identity(self, path: Path) -> tuple[int, int] | Path:
        """What two paths to one file have in common."""
        return self.identities.get(path, path)


@dataclass(frozen=True)
class Known:
    """A data set, what will be done with it, and what its files hold."""

    dataset: Dataset
    split: Split
    settings: Preprocessing
    files: Files

    @cached_property
    def parts(self) -> dict[str, str]:
        """Which part of the split each case is in."""
        named = {"training": self.split.training, "validation": self.split.validation, "test": self.split.test}
        return {case: part for part, ids in named.items() for case in ids}

    @cached_property
    def allowed(self) -> list[int]:
        """Every value that a label map may hold."""
        labels = self.dataset.labels
        return sorted(set(labels.names) | ({labels.ignore} if labels.ignore is not None else set()))

    def sound_images(self) -> Iterator[tuple[Case, Path, Facts]]:
        """Every image of every case that could be read."""
        for case in self.dataset.cases:
            for path in case.images:
                if (facts := self.files.images[path]).problem is None:
                    yield case, path, facts

    def sound_labels(self) -> Iterator[tuple[Case, Path, Facts]]:
        """Every label map that could be read."""
        for case in self.dataset.cases:
            if case.label is not None and (facts := self.files.labels[case.label]).problem is None:
                yield case, case.label, facts
