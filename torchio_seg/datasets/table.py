"""A CSV that lists the cases: an id, an image for each channel, a label map, perhaps whose scan it is and its part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.components import suggestion
from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.arrangement import without
from torchio_seg.listings.channels import name_channels
from torchio_seg.listings.columns import Row, Table, read_table
from torchio_seg.listings.paths import few, is_volume
from torchio_seg.listings.values import discover
from torchio_seg.records import Case, Dataset, Split
from torchio_seg.volumes.names import WHOLE, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ID, LABEL, GROUP, SPLIT = "id", "label", "group", "split"
PARTS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    "test": "test",
}
_EXAMPLE = "id,FLAIR,T1,label,group,split"


def build(
    root: Path,
    *,
    file: str | None = None,
    channels: tuple[str, ...] = (),
    labels: dict[int, str] | None = None,
    regions: dict[str, tuple[int, ...]] | None = None,
    ignore: int | None = None,
) -> Dataset:
    """The cases of the table `root`, or of the one in that folder; `channels` are the columns of images."""
    table = _with_known_names(read_table(_located(Path(root), file)))
    columns = _image_columns(table, channels)
    _require_ids(table)
    unlabelled = [row for row in table.rows if not row.cells[LABEL]]
    table = replace(table, rows=tuple(row for row in table.rows if row.cells[LABEL]))
    _require_files(table, (*columns, LABEL))
    cases = sorted((_case(row, columns, table.path.parent) for row in table.rows), key=lambda case: case.id)
    names = name_channels([case.images for case in cases], columns if len(columns) > 1 else (), default=columns[0])
    files = [case.label for case in cases if case.label]
    declared, about_labels = discover(files, names=labels, regions=regions, ignore=ignore)
    splits, about_splits = _splits(table)
    notes = (f"channels are the columns {few(columns)}", *_notes(table, unlabelled, columns), *about_splits)
    return Dataset(table.path.stem, names, declared, tuple(cases), splits, notes=(*notes, *about_labels))


def _located(root: Path, file: str | None) -> Path:
    """The table that is meant."""
    if root.is_file():
        if file is not None:
            raise ConfigError(f"{root} is a file, so 'file' ({file}) says nothing; leave it out, or give the folder")
        return root
    if not root.is_dir():
        raise DataError(f"{root} is not there; give a CSV, or the folder that holds it")
    tables = sorted(path.name for path in root.iterdir() if path.suffix.lower() in {".csv", ".tsv"})
    if file is None and len(tables) == 1:
        return root / tables[0]
    if not tables and file is None:
        raise without(root, "table (.csv)", "one, or the folder that holds it")
    if file is None or not (root / file).is_file():
        given = "" if file is None else f", and file is {file}"
        raise DataError(
            f"{root} holds {few(tables) or 'no .csv'}{given}; name the one that lists the cases: "
            "--set dataset.file=NAME"
        )
    return root / file


def _with_known_names(table: Table) -> Table:
    """`ID` and `Label` are id and label; `fold` is split, as lists call it."""
    own = {**{name: name for name in (ID, LABEL, GROUP, SPLIT)}, "fold": SPLIT}
    known = {name: own.get(name.lower(), name) for name in table.columns}
    if sum(name == SPLIT for name in known.values()) > 1:
        raise DataError(f"{table.path} has the columns {few(table.columns)}; keep one of 'split' and 'fold'")
    columns = tuple(known.values())
    if lacking := [name for name in (ID, LABEL) if columns.count(name) != 1]:
        raise DataError(
            f"{table.path} has the columns {few(table.columns)}; {' and '.join(lacking)} must stand there once, "
            f"as in {_EXAMPLE}"
        )
    rows = tuple(Row(row.number, {known[name]: cell for name, cell in row.cells.items()}) for row in table.rows)
    return Table(table.path, columns, rows)


def _image_columns(table: Table, channels: Sequence[str]) -> tuple[str, ...]:
    """Those named, else all that are left; each must hold names of files."""
    allowed = tuple(name for name in table.columns if name not in {ID, LABEL, GROUP, SPLIT})
    if unknown := [name for name in channels if name not in allowed]:
        raise ConfigError(f"channels names {unknown[0]}, no column of {table.path}{suggestion(unknown[0], allowed)}")
    columns = tuple(channels) or allowed
    if not columns:
        raise DataError(f"{table.path} has no column of images; add one for each channel, as in {_EXAMPLE}")
    for name in columns:
        cells = [row.cells[name] for row in table.rows]
        if not any(is_volume(Path(cell)) for cell in cells):
            rest = [column for column in columns if column != name] or ["..."]
            raise DataError(
                f"{table.path}: column '{name}' holds no names of {listed(WHOLE, last='or')} files (it begins with "
                f"{few(cells[:3]) or 'nothing'}). Leave it out by naming the columns of images: channels: [{few(rest)}]"
            )
    return columns


def _require_ids(table: Table) -> None:
    table.require(lambda row: bool(row.cells[ID]), wrong="have no id", cure="Give every case one")
    numbers: dict[str, list[str]] = {}
    for row in table.rows:
        numbers.setdefault(row.cells[ID], []).append(str(row.number))
    if repeated := [f"{case} (rows {few(rows)})" for case, rows in numbers.items() if len(rows) > 1]:
        raise DataError(f"{table.path} lists {few(repeated)} more than once; keep one row for each case")


def _require_files(table: Table, columns: Sequence[str]) -> None:
    """Hold that every cell names a volume's file that is there."""
    if not table.rows:
        raise DataError(f"{table.path}: no row has a label map; training needs some")
    for name in columns:
        _require_column(table, name)


def _require_column(table: Table, name: str) -> None:
    folder = table.path.parent
    table.require(
        lambda row: is_volume(Path(row.cells[name])),
        wrong=f"name no {listed(WHOLE, last='or')} file in column '{name}'",
        cure="Only these are read; fill the cells, or take the rows out",
    )
    table.require(
        lambda row: _path(row.cells[name], folder).is_file(),
        wrong=f"name a file in column '{name}' that is not there",
        cure=f"Relative paths begin at {folder}",
    )


def _case(row: Row, columns: Sequence[str], folder: Path) -> Case:
    images = tuple(_path(row.cells[name], folder) for name in columns)
    return Case(row.cells[ID], images, _path(row.cells[LABEL], folder), row.cells.get(GROUP) or None)


def _path(cell: str, folder: Path) -> Path:
    return folder / cell.replace("\\", "/")


def _notes(table: Table, unlabelled: Sequence[Row], columns: Sequence[str]) -> list[str]:
    notes = []
    if unlabelled:
        notes.append(
            f"{len(unlabelled)} rows without a label map are left out: {few([r.cells[ID] for r in unlabelled])}"
        )
    if absolute := sum(Path(row.cells[name]).is_absolute() for row in table.rows for name in (*columns, LABEL)):
        notes.append(f"{absolute} files are named by absolute paths, so the table holds on this machine only")
    return notes


def _splits(table: Table) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    """What the column of that name says: parts, or the number of the fold in which a case validates."""
    given = {row.cells[ID]: row.cells.get(SPLIT, "").lower() for row in table.rows}
    table.require(
        lambda row: given[row.cells[ID]] in PARTS or not given[row.cells[ID]] or _is_fold(given[row.cells[ID]]),
        wrong="say something unknown in column 'split'",
        cure="It says train, val or test, or the fold in which a case validates, counted from 0",
    )
    parts = {case: PARTS.get(word, word) for case, word in given.items()}
    if set(parts.values()) <= {"", "training"}:
        return (), ()
    if set(parts.values()) <= {"validation", "test"}:
        raise DataError(f"{table.path}: column 'split' leaves no case to train; say train, or leave cells empty")
    empty = sum(not part for part in parts.values())
    notes = (f"{empty} rows say nothing in column 'split' and train",) if empty else ()
    origin = f"column 'split' of {table.path.name}"
    if not any(_is_fold(part) for part in parts.values()):
        return (_division(parts, "validation", origin),), notes
    folds = _folds(table, parts)
    return tuple(_division(parts, fold, f"{origin}, fold {fold}") for fold in folds), notes


def _is_fold(word: str) -> bool:
    return word.isascii() and word.isdigit() and word == str(int(word))


def _folds(table: Table, parts: Mapping[str, str]) -> list[str]:
    """The numbers of the folds, which have no gap."""
    words = sorted({part for part in parts.values() if part and not _is_fold(part)} - {"test"})
    folds = sorted({part for part in parts.values() if _is_fold(part)}, key=int)
    if words or len(folds) < 2 or folds != [str(number) for number in range(len(folds))]:
        raise DataError(
            f"{table.path}: column 'split' says {few([*folds, *words])}; folds are two or more, counted from 0 without "
            "a gap, and stand beside 'test' alone"
        )
    return folds


def _division(parts: Mapping[str, str], validation: str, origin: str) -> Split:
    """Whatever neither validates nor tests trains."""
    held_out = {validation, "test"}
    return Split(
        tuple(sorted(case for case, part in parts.items() if part not in held_out)),
        tuple(sorted(case for case, part in parts.items() if part == validation)),
        tuple(sorted(case for case, part in parts.items() if part == "test")),
        origin,
    )
