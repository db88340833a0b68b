"""DICOM as input of prediction: a folder or a zip archive, and one series in it."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError, UsageError, VolumeError
from torchio_seg.subjects import join_scans
from torchio_seg.volumes.archive import unpacked
from torchio_seg.volumes.dicom import Grid, Series, arrange, find_image, open_series, scan, told
from torchio_seg.volumes.scan import Scan, open_scan
from torchio_seg.volumes.scratch import HELD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.transforms.recipe import Nonfinite

log = logging.getLogger(__name__)

ZIP = ".zip"


def is_dicom(path: Path) -> bool:
    """Whether this is a zip archive, or a folder with an image of DICOM in it, be it damaged."""
    if path.is_dir():
        return find_image(path) is not None
    return path.suffix.lower() == ZIP and path.is_file()


def own_name(path: Path, root: Path) -> str:
    """What a folder or archive in the one that the user named is called; deeper in it, by the folders on the way."""
    if path.is_file():
        return path.name[: -len(ZIP)]
    return path.resolve().name if root in {path, path.parent} else "_".join(path.relative_to(root).parts)


def name_of(path: Path, root: Path, wanted: str | None) -> str:
    """What a prediction of the series is called: `own_name`, with its number where there are others."""
    with _series_in(path) as found:
        chosen = choose(path, found, wanted)
        if len(_volumes(found)) < 2:
            return own_name(path, root)
        return f"{own_name(path, root)}_{chosen.uid.rpartition('.')[2] if chosen.number is None else chosen.number}"


def by_row(path: Path, wanted: str | None) -> str | None:
    """The UID of the series in this row of the list, where none is called so; else what is wanted, as it is."""
    if wanted is None or not wanted.isdecimal():
        return wanted
    with _series_in(path) as found:
        volumes = _volumes(found)
        is_row = not _called(found, wanted) and 0 < int(wanted) <= len(volumes)
        return volumes[int(wanted) - 1].uid if is_row else wanted


@contextmanager
def open_images(
    paths: Sequence[Path], num_channels: int, *, wanted: str | None = None, nonfinite: Nonfinite
) -> Iterator[Scan]:
    """The volume of a file or series of all channels, or of one for each channel, on one grid."""
    with ExitStack() as stack:
        opening = [open_image(path, wanted=wanted, nonfinite=nonfinite, num_images=len(paths)) for path in paths]
        yield join_scans([stack.enter_context(each) for each in opening], num_channels)


@contextmanager
def open_image(path: Path, *, wanted: str | None, nonfinite: Nonfinite, num_images: int) -> Iterator[Scan]:
    """One of so many images of a case, of which a slab is in memory at a time where it is large."""
    held_bytes = HELD_BYTES // num_images
    if not is_dicom(path):
        with open_scan(path, nonfinite=nonfinite, held_bytes=held_bytes) as scan:
            yield scan
        return
    with ExitStack() as stack:
        with _series_in(path) as found:
            opening = open_series(path, _chosen(path, found, wanted), held_bytes=held_bytes)
            scan = stack.enter_context(opening)  # after which the files are not needed
        yield scan


def uid_of_series(scan: Scan) -> str | None:
    """The UID of the series that it was read from, of several channels the first; None where it was no DICOM."""
    return scan.header.series.uid if isinstance(scan.header, Grid) else None


@contextmanager
def opened(path: Path, wanted: str | None) -> Iterator[Grid]:
    """The grid of the series, whose files can be read for as long as it is needed."""
    with _series_in(path) as found:
        yield arrange(choose(path, found, wanted))


def _chosen(path: Path, found: Sequence[Series], wanted: str | None) -> Series:
    """The series that is meant, which is said."""
    chosen = choose(path, found, wanted)
    log.info("%s: series %s '%s' (%s)", path, chosen.number, chosen.description, chosen.uid)
    return chosen


def choose(path: Path, found: Sequence[Series], wanted: str | None) -> Series:
    """The series that is called so (`_called`); without a choice, the only one that is a volume."""
    chosen = _called(found, wanted) if wanted else _volumes(found)
    if len(chosen) == 1:
        return chosen[0]
    if not wanted and not chosen:
        reasons = [f"{series.label}: {series.no_volume}" for series in found]
        raise DataError(told(f"{path} holds no series that is a volume", reasons))
    count = f"{len(chosen)} series are" if chosen else "no series is"
    what = f"{count} called '{wanted}'" if wanted else f"{count} volumes"
    raise UsageError(
        f"{path}: {what}; choose one with --series and its number, its description or a pattern of that (*liver*), "
        "its UID or the beginning of it; where one study is named, also by #:\n" + _table(found, chosen or found)
    )


@contextmanager
def _series_in(path: Path) -> Iterator[Sequence[Series]]:
    """All series of a folder or an archive, which is unpacked for as long as they are needed."""
    if path.is_dir():
        yield _scanned(path, path)
        return
    with unpacked(path) as folder:
        try:
            yield _scanned(path, folder)
        except DataError as error:
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def _scanned(path: Path, folder: Path) -> Sequence[Series]:
    contents = scan(folder)
    if not contents.series:
        raise VolumeError(told(f"{path} holds no DICOM images", contents.damaged))
    return contents.series


def _volumes(found: Sequence[Series]) -> list[Series]:
    """Those that are meant as volumes, damaged or not."""
    return [series for series in found if not series.no_volume]


def _called(found: Sequence[Series], wanted: str) -> list[Series]:
    """By the first way of naming that fits any."""
    ways = (
        [series for series in found if series.uid == wanted],
        [series for series in found if str(series.number) == wanted],
        [series for series in found if series.description.casefold() == wanted.casefold()],
        [series for series in found if "." in wanted and series.uid.startswith(wanted)],
        [series for series in _volumes(found) if has_magic(wanted) and _fits(series.description, wanted)],
    )
    return next((way for way in ways if way), [])


def _fits(description: str, pattern: str) -> bool:
    return fnmatchcase(description.casefold(), pattern.casefold())


def _table(found: Sequence[Series], shown: Sequence[Series]) -> str:
    """What people tell series apart by; # counts the volumes among all that were found."""
    rows = [("#", "number", "patient", "date", "modality", "description", "slices", "size", "UID")]
    places = {series.uid: str(place) for place, series in enumerate(_volumes(found), start=1)}
    for series in shown:
        first = series.slices[0]
        number = "?" if series.number is None else str(series.number)
        rows.append(
            (
                *(places.get(series.uid, "-"), number, series.patient, series.date or "-", series.modality),
                *(series.description or "-", str(len(series.slices)), f"{first.columns} x {first.rows}"),
                f"{series.uid} (no volume: {series.no_volume})" if series.no_volume else series.uid,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
