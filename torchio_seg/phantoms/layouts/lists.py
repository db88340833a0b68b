"""Cases that a file lists: BTCV's and others' datalists in JSON, a table in CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from torchio_seg.files import write_json, write_text
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.layouts.files import (
    DESCRIPTION,
    fold,
    numbered,
    part,
    save_channels,
    save_image,
    save_label,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort
    from torchio_seg.phantoms.scanner import Phantom

BTCV_LABELS = ["background", "spleen", "rkid", "lkid", "gall", "eso", "liver", "sto", "aorta", "IVC", "veins"]
BTCV_LABELS += ["pancreas", "rad", "lad"]
"""As MONAI's datalist of BTCV spells them; the abdomen is drawn with its numbers."""


def write_btcv(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """BTCV with MONAI's division; as there, what tests has no label map."""
    lists: dict[str, list[Any]] = {"training": [], "validation": [], "test": []}
    for index, phantom in enumerate(patients):
        if part(index) == "test":
            image = f"imagesTs/img{index + 1:04d}.nii.gz"
            lists["test"].append(image)
        else:
            image, label = f"imagesTr/img{index + 1:04d}.nii.gz", f"labelsTr/label{index + 1:04d}.nii.gz"
            save_label(folder / label, phantom)
            lists[part(index)].append({"image": image, "label": label})
        save_image(folder / image, phantom)
    head = {"description": DESCRIPTION, "name": "btcv", "tensorImageSize": "3D", "modality": {"0": "CT"}}
    counts = {"numTraining": cohort.cases - len(lists["test"]), "numTest": len(lists["test"])}
    write_json(folder / "dataset_0.json", {**head, "labels": numbered(BTCV_LABELS), **counts, **lists})


def write_datalist(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """Folds in the list of the training cases; a file for each channel."""
    entries = []
    for index, (case, phantom) in enumerate(zip(cohort.ids, patients, strict=True)):
        images = [f"images/{case}_{words(name)}.nii.gz" for name in cohort.channel_names]
        label = f"labels/{case}.nii.gz"
        save_channels([folder / image for image in images], phantom)
        save_label(folder / label, phantom)
        entry = {"image": images if len(images) > 1 else images[0], "label": label}
        entries.append(entry | ({"fold": fold(index, cohort.cases)} if cohort.cases > 1 else {}))
    labels = {str(value): name for value, name in KINDS[cohort.kind].labels.items()}
    head = {"name": f"phantom_{cohort.kind}", "description": DESCRIPTION, "modality": numbered(cohort.channel_names)}
    write_json(folder / "dataset.json", {**head, "labels": labels, "training": entries})


def write_table(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """A row a case; the second of every six cases is another scan of the first one's patient."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", *cohort.channel_names, "label", "group", "split"])
    for index, (case, phantom) in enumerate(zip(cohort.ids, patients, strict=True)):
        images = [f"{case}/{words(name)}.nii.gz" for name in cohort.channel_names]
        label = f"{case}/label.nii.gz"
        save_channels([folder / image for image in images], phantom)
        save_label(folder / label, phantom)
        patient = f"patient_{index - (index % 6 == 1):03d}"
        rows.writerow([case, *images, label, patient, part(index)])
    write_text(folder / "cases.csv", text.getvalue())
