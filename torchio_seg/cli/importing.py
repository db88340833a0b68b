"""torchio-seg import: from DICOM to NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command, program, typed
from torchio_seg.errors import DataError, UsageError
from torchio_seg.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.workflows.importing_list import RoiCount

app = typer.Typer(
    help="Turn DICOM into NIfTI: image series, and contours of radiotherapy planning.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    Path, typer.Argument(metavar="IN", help="Folder of DICOM files; those in its sub-folders count too.")
]
Out = Annotated[Path | None, typer.Argument(help="Folder to write to; not needed with --list.")]
List = Annotated[bool, typer.Option("--list", help="Show what is there, and write no NIfTI.")]


@app.command()
@command
def rtstruct(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Folder with a folder for each patient, or that of one patient.")
    ],
    out: Out = None,
    *,
    roi: Annotated[
        list[str] | None,
        typer.Option(
            "--roi", metavar="NAME", help="Region to import; repeat it for several. The first gets the value 1."
        ),
    ] = None,
    list_: List = False,
    picture: Annotated[Path, typer.Option(metavar="FILE", help="With --list: PNG file of the picture.")] = Path(
        "rois.png"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --list: replace a picture that is there.")
    ] = False,
) -> None:
    """Make images and label maps of patients with contours; run again, it does only what is new.

    torchio-seg import rtstruct LCTSC --list

    torchio-seg import rtstruct LCTSC lctsc --roi Lung_R --roi Lung_L
    """
    if list_:
        _list_rois(source, picture, overwrite=overwrite)
        return
    if overwrite:
        raise UsageError("--overwrite is for the picture of --list; an import does what is new and replaces no other")
    if out is None or not roi:
        raise UsageError("name a folder to write to and the regions: import rtstruct IN OUT --roi NAME; or give --list")
    from torchio_seg.workflows.importing import import_rtstruct

    screen = Screen.shared()
    done = import_rtstruct(source, out, roi, progress=screen)
    screen.say(f"{out}: {len(done.written)} patients imported, {len(done.kept)} were there already")
    for value, name in enumerate(roi, start=1):
        screen.say(f"  {value} {name}")
    _fail("patients", done.failures)
    screen.say(f"\nnext:\n  {program()} train --dataset rtstruct --root {typed(out)}")


@app.command()
@command
def dicom(
    source: Source,
    out: Out = None,
    *,
    series: Annotated[
        str | None, typer.Option(metavar="N|UID", help="Import only the series of this number or UID.")
    ] = None,
    list_: List = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write every image series that is a volume as PATIENT_NUMBER_DESCRIPTION.nii.gz; names of patients are kept out.

    torchio-seg import dicom study --list

    torchio-seg import dicom study nifti --series 4
    """
    from torchio_seg.workflows.importing_series import import_series

    if list_:
        _list_series(source)
        return
    if out is None:
        raise UsageError("name a folder to write to: import dicom IN OUT; or give --list")
    screen = Screen.shared()
    done = import_series(source, out, series, overwrite=overwrite, progress=screen)
    for path in done.written:
        screen.say(str(path))
    for sentence in done.passed_over:
        screen.say(f"passed over: {sentence}")
    _fail("series", done.failures)


def _list_series(source: Path) -> None:
    from torchio_seg.workflows.importing_series import list_series

    screen = Screen.shared()
    for one, reason in list_series(source):  # two lines each: a UID alone may have 64 letters
        number = "?" if one.number is None else str(one.number)
        screen.say(
            f"{one.patient}   {one.date or '-'}   series {number}   {one.modality}   {one.num_files} files   "
            f"{one.description}".rstrip()
        )
        screen.say(f"    {f'no volume: {reason}' if reason else 'volume'}   {one.uid}")


def _list_rois(source: Path, picture: Path, *, overwrite: bool) -> None:
    from torchio_seg.workflows.importing_list import require_free, survey

    require_free(picture, overwrite=overwrite)
    screen = Screen.shared()
    found = survey(source, progress=screen)
    rows = [_roi_row(roi, found.num_patients) for roi in sorted(found.rois.values(), key=lambda roi: roi.name)]
    screen.table(("ROI", "patients", "contours each", "mask"), rows)
    if found.pictured:
        write_bytes(picture, found.picture)
        screen.say(f"picture    {picture} (patient {found.pictured})")
    _fail("patients", found.failures)


def _roi_row(roi: RoiCount, num_patients: int) -> tuple[str, ...]:
    counts = sorted(set(roi.contours))
    span = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts)) or "none"
    empty = roi.patients - len(roi.contours)
    remarks = [f"empty in {empty}"] if empty else []
    remarks += [f"not closed in {roi.not_closed}"] if roi.not_closed else []
    return roi.name, f"{roi.patients} of {num_patients}", span, ", ".join(remarks) or "yes"


def _fail(what: str, failures: Sequence[str]) -> None:
    """End with the failures once more, all together."""
    if failures:
        raise DataError("\n  ".join([f"{len(failures)} {what} failed:", *failures]))
