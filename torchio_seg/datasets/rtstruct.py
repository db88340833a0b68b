"""The folder that `torchio-seg import rtstruct` makes of DICOM: manifest.csv, import.json, images and labels."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import DataError
from torchio_seg.listings.jsonfile import label_names, read_object
from torchio_seg.listings.paths import few, inside, require_files, require_folder, require_unique
from torchio_seg.listings.values import declare
from torchio_seg.records import Case, Dataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANIFEST, RECORD = "manifest.csv", "import.json"
COLUMNS = ("id", "ct_folder", "rtstruct", "image", "mask")
_EXAMPLE = '"labels": {"0": "background", "1": "Lung_R"}, "cases": {"P1": {"modality": "CT", ...}}'


def build(root: Path, *, rois: tuple[str, ...] = (), regions: dict[str, tuple[int, ...]] | None = None) -> Dataset:
    """The patients of an import; `rois` must be those that it was made with, where they are given.

    `regions`, outer ones first, replace the ROIs as what is segmented.
    """
    root = Path(root)
    require_folder(root, "the folder that torchio-seg import rtstruct made")
    if not (root / MANIFEST).is_file():
        raise DataError(f"{root} has no {MANIFEST}; if it holds DICOM, {how_to_import(root, rois)}")
    record = read_record(root)
    names = label_names(record, "labels", root / RECORD, example=_EXAMPLE)
    _require_rois(root, names, rois)
    _require_finished(root, record, names)
    cases = _cases(root)
    return Dataset(
        name=root.resolve().name,
        channels=(_modality(root, record, cases),),
        labels=declare(names, regions=regions),
        cases=cases,
        notes=_notes(record),
    )


def read_record(root: Path) -> dict[str, Any]:
    """What an import wrote down of itself."""
    return read_object(root / RECORD, example=_EXAMPLE)


def require_rois(root: Path, rois: Sequence[str]) -> None:
    """Hold that a folder was imported with these ROIs."""
    _require_rois(root, label_names(read_record(root), "labels", root / RECORD, example=_EXAMPLE), rois)


def how_to_import(root: Path, rois: Sequence[str], out: Path | None = None) -> str:
    """The command that turns a folder of DICOM into one that can be trained on, beside it where no place is named."""
    flags = " ".join(f"--roi {quoted(name)}" for name in rois or ("NAME",))
    command = f"type: torchio-seg import rtstruct {quoted(root)} {quoted(out or sibling(root))} {flags}"
    return command if rois else f"{command} (torchio-seg import rtstruct {quoted(root)} --list shows the names)"


def sibling(root: Path) -> Path:
    """Where the import of a folder lies when nobody names a place."""
    return root.with_name(f"{root.resolve().name}_nifti")


def quoted(word: Any) -> str:
    """A word as a shell takes it."""
    import shlex

    return shlex.quote(str(word))


def _rois(names: Mapping[int, str]) -> list[str]:
    return [name for value, name in names.items() if value]


def _require_rois(root: Path, names: Mapping[int, str], rois: Sequence[str]) -> None:
    if rois and list(rois) != _rois(names):
        raise DataError(
            f"{root} was imported with the ROIs {few(_rois(names))}, not {few(rois)}; leave rois out to train on "
            "those, import into another folder, or remove this one first"
        )


def _require_finished(root: Path, record: Mapping[str, Any], names: Mapping[int, str]) -> None:
    """Hold that no patients are missing because the import was stopped."""
    if record.get("complete") is not True:
        source = Path(str(record.get("source") or "FOLDER"))
        raise DataError(
            f"{root}: its import did not run to its end, or still runs, so patients are missing; run the same import "
            f"again, it does only what is left: {how_to_import(source, _rois(names), root)}"
        )


def _notes(record: Mapping[str, Any]) -> tuple[str, ...]:
    failures = record.get("failures")
    if not failures or not isinstance(failures, dict):
        return ()
    return (f"patients that could not be imported are left out: {few(sorted(failures))} ({RECORD} says why)",)


def _cases(root: Path) -> tuple[Case, ...]:
    rows = _rows(root / MANIFEST)
    require_unique([row["id"] for row in rows], str(root / MANIFEST))
    cases = [
        Case(
            id=row["id"],
            images=(inside(row["image"], root, f"{root / MANIFEST}: {row['id']}"),),
            label=inside(row["mask"], root, f"{root / MANIFEST}: {row['id']}"),
        )
        for row in rows
    ]
    require_files([path for case in cases for path in case.files], root, MANIFEST)
    return tuple(sorted(cases, key=lambda case: case.id))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows, columns = list(reader), reader.fieldnames or []
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); import again") from error
    if missing := [name for name in ("id", "image", "mask") if name not in columns]:
        raise DataError(f"{path} lacks the columns {few(missing)}; it has {few(columns)}. Import again")
    for number, row in enumerate(rows, start=2):
        if None in row or not all(row[name] for name in ("id", "image", "mask")):
            raise DataError(f"{path}: line {number} is not complete; each line names {', '.join(COLUMNS)}")
    return rows


def _modality(root: Path, record: dict[str, Any], cases: Sequence[Case]) -> str:
    """What all images are: CT, MR ..."""
    described = record.get("cases")
    facts = described if isinstance(described, dict) else {}
    if unknown := [case.id for case in cases if not isinstance(facts.get(case.id), dict)]:
        raise DataError(f"{root / RECORD} does not describe {few(unknown)}; import again")
    found = {case.id: str(facts[case.id].get("modality", "")) for case in cases}
    kinds = sorted(set(found.values()))
    if len(kinds) > 1:
        each = few([f"{case} is {kind}" for case, kind in found.items()])
        raise DataError(f"{root} holds images of several kinds: {each}. Import those of one kind into a folder")
    return kinds[0] if kinds and kinds[0] else "image"
