"""A data set in nnU-Net's own layout, with its five folds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torchio_seg.files import write_json, write_text
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.layouts.files import DESCRIPTION, MOST_FOLDS, fold, numbered, save_channels, save_label

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort
    from torchio_seg.phantoms.scanner import Phantom

NAME = "Dataset501_Phantom"


def write_nnunet(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """The data set's folder inside, as in nnUNet_raw."""
    home = folder / NAME
    for case, phantom in zip(cohort.ids, patients, strict=True):
        channels = range(len(cohort.channel_names))
        save_channels([home / "imagesTr" / f"{case}_{channel:04d}.nii.gz" for channel in channels], phantom)
        save_label(home / "labelsTr" / f"{case}.nii.gz", phantom)
    write_json(home / "dataset.json", _description(cohort))
    if cohort.cases > 1:
        write_text(home / "splits_final.json", json.dumps(_folds(cohort), indent=2) + "\n")


def _description(cohort: Cohort) -> dict[str, Any]:
    """Version 2 of dataset.json: names before values, regions as lists of values."""
    kind = KINDS[cohort.kind]
    segmented = kind.regions or {name: (value,) for value, name in kind.labels.items() if value}
    labels = {name: list(values) if len(values) > 1 else values[0] for name, values in segmented.items()}
    return {
        "name": NAME.partition("_")[2],
        "description": DESCRIPTION,
        "channel_names": numbered(cohort.channel_names),
        "labels": {"background": 0, **labels},
        **({"regions_class_order": sorted(set(kind.labels) - {0})} if kind.regions else {}),
        "numTraining": cohort.cases,
        "file_ending": ".nii.gz",
    }


def _folds(cohort: Cohort) -> list[dict[str, list[str]]]:
    """Every case validates once."""
    folds = []
    for number in range(min(MOST_FOLDS, cohort.cases)):
        held_out = {case for index, case in enumerate(cohort.ids) if fold(index, cohort.cases) == number}
        folds.append({"train": sorted(set(cohort.ids) - held_out), "val": sorted(held_out)})
    return folds
