"""Brain tumours in four MR channels: BraTS of 2018 to 2021, of 2023 on, or the Decathlon's Task01."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torchio_seg.errors import DataError
from torchio_seg.facts import label_values
from torchio_seg.listings import brats_labels
from torchio_seg.listings.brats_labels import CONVENTIONS, Convention
from torchio_seg.listings.brats_names import LABEL, NEW, OLD
from torchio_seg.listings.paths import few, require_folder, require_unique
from torchio_seg.listings.scans import scans_below
from torchio_seg.listings.task import DESCRIPTION, find_task, read_task
from torchio_seg.records import Case, Dataset
from torchio_seg.volumes.nifti import stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Files = Mapping[str, Sequence[Path]]
    """One case's files by what they are."""


CHANNELS = ("FLAIR", "T1w", "T1gd", "T2w")
_ALIASES = {"flair": "FLAIR", "t1w": "T1w", "t1": "T1w", "t1gd": "T1gd", "t1ce": "T1gd", "t2w": "T2w", "t2": "T2w"}
_PATIENT = re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+")
_WANTED = (
    "a folder of BraTS with one folder a case (CASE_flair.nii.gz, _t1, _t1ce, _t2, _seg, or from 2023 on "
    "CASE-t2f.nii.gz, -t1n, -t1c, -t2w, -seg), or the Decathlon's Task01_BrainTumour"
)


def build(root: Path, *, convention: Literal["auto", "decathlon", "brats2018", "brats2023"] = "auto") -> Dataset:
    """The labelled cases, their channels as FLAIR, T1w, T1gd, T2w, segmented as three regions that overlap.

    `convention` says what label values mean; auto finds out from a dataset.json, or else from values and file names.
    """
    root = Path(root)
    require_folder(root, _WANTED)
    chosen = CONVENTIONS.get(convention)
    if (root / DESCRIPTION).is_file():
        return _from_task(root, chosen)
    tasks = list(root.glob(f"*/{DESCRIPTION}"))
    return _from_task(root, chosen, "Task01" if len(tasks) > 1 else None) if tasks else _from_folders(root, chosen)


def _from_task(root: Path, chosen: Convention | None, wanted: str | None = None) -> Dataset:
    """The Decathlon's task, whose description names channels and labels."""
    folder, choice = find_task(root, wanted)
    task = read_task(folder)
    channels = tuple(_ALIASES.get(channel.strip().casefold(), channel) for channel in task.channels)
    if channels != CHANNELS:
        raise DataError(
            f"{folder / DESCRIPTION}: the channels are {', '.join(task.channels)}; BraTS has {', '.join(CHANNELS)} in "
            "this order. Read other tasks with --dataset decathlon"
        )
    convention = chosen or brats_labels.from_names(task.label_names, folder / DESCRIPTION)
    if chosen:
        _values(task.cases, chosen)
    said = brats_labels.note(convention, "given" if chosen else f"found from the names in {DESCRIPTION}")
    cases = tuple(sorted(task.cases, key=lambda case: case.id))
    listing = tuple(case.id for case in task.cases)
    return Dataset(task.name, CHANNELS, convention.labels, cases, listing=listing, notes=(*choice, *task.notes, said))


def _from_folders(root: Path, chosen: Convention | None) -> Dataset:
    """Folders of BraTS itself."""
    _require_no_linked_folders(root)
    files_of_2023, folders = _case_folders(root)
    _require_channels(folders)
    require_unique([folder.name for folder in folders], str(root))
    labelled = [_case(folder, files) for folder, files in folders.items() if LABEL in files]
    if not labelled:
        raise DataError(f"{root}: none of {len(folders)} cases has a segmentation; give the training data of BraTS")
    found = _values(labelled, chosen)
    convention = chosen or brats_labels.from_values(found, files_of_2023=files_of_2023)
    notes = [brats_labels.note(convention, "given" if chosen else "found from the values in the label files")]
    if left_out := [folder.name for folder, files in folders.items() if LABEL not in files]:
        notes.insert(0, f"cases without a segmentation are left out: {few(left_out)}")
    if unread := [case.id for case in labelled if case.label not in found]:
        notes.append(f"label maps that cannot be trusted have no say in this: {few(unread)}")
    cases = tuple(sorted(labelled, key=lambda case: case.id))
    return Dataset(root.resolve().name, CHANNELS, convention.labels, cases, notes=tuple(notes))


def _values(cases: Iterable[Case], chosen: Convention | None) -> brats_labels.Found:
    """What the label maps hold; held against the convention where the user has named one."""
    paths = [case.label for case in cases if case.label is not None]
    found = label_values(paths)
    if chosen:
        brats_labels.require_known(found, chosen)
    return found


def _require_no_linked_folders(root: Path) -> None:
    """Hold that no folder would be passed over because it is a link."""
    links = [path for path in sorted(root.rglob("*")) if path.is_symlink() and path.is_dir() and path.name[0] != "."]
    if links:
        names = few([path.relative_to(root).as_posix() for path in links])
        raise DataError(
            f"{root}: {names} are links to folders, which are not entered; put the folders themselves there"
        )


def _case_folders(root: Path) -> tuple[bool, dict[Path, Files]]:
    """Whether files are named as from 2023 on, and what each folder with scans holds."""
    scans = scans_below(root)
    old, new = _by_folder(scans, "_", OLD), _by_folder(scans, "-", NEW)
    if old and new:
        examples = [next(iter(folders)).relative_to(root).as_posix() for folders in (old, new)]
        raise DataError(
            f"{root}: {len(old)} cases are named as in BraTS 2018-2021 ({examples[0]}), {len(new)} as from 2023 on "
            f"({examples[1]}); their labels differ. Keep them in two folders and train on one"
        )
    if not old and not new:
        there = few([path.relative_to(root).as_posix() for path in scans]) or "no volume"
        raise DataError(f"{root} has no scan named as in BraTS; there is {there}. Give {_WANTED}")
    return bool(new), old or new


def _by_folder(scans: Sequence[Path], sign: str, roles: Mapping[str, str]) -> dict[Path, Files]:
    """Scans named CASE, sign, role; others are no one's."""
    folders: dict[Path, dict[str, list[Path]]] = {}
    for path in scans:
        case, _, ending = stem(path).casefold().rpartition(sign)
        if case and ending in roles:
            folders.setdefault(path.parent, {}).setdefault(roles[ending], []).append(path)
    return dict(folders)


def _require_channels(folders: Mapping[Path, Files]) -> None:
    """Hold that each case has every channel, and each file once."""
    problems = []
    for folder, files in folders.items():
        several = [few([path.name for path in paths]) for paths in files.values() if len(paths) > 1]
        lacking = [channel for channel in CHANNELS if channel not in files]
        problems += [f"{folder.name} has several files for one thing ({names})" for names in several]
        problems += [f"{folder.name} lacks {', '.join(lacking)}"] if lacking else []
    if problems:
        raise DataError(
            f"{len(problems)} faults in {len(folders)} cases: {few(problems)}. Each case has a folder of its own, with "
            f"one file for each of {', '.join(CHANNELS)}; complete the case, or take its folder out"
        )


def _case(folder: Path, files: Files) -> Case:
    patient = _PATIENT.fullmatch(folder.name)
    images = tuple(files[channel][0] for channel in CHANNELS)
    return Case(folder.name, images, files[LABEL][0], patient.group(1) if patient else None)
