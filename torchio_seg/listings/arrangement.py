"""How scans lie in folders: which are images, which label maps, which part of the data each belongs to."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError
from torchio_seg.listings.pairing import is_label, name_of
from torchio_seg.listings.paths import few, is_hidden
from torchio_seg.listings.scans import Scan, scans_below
from torchio_seg.volumes.names import DETACHED, WHOLE, listed, stem, suffix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

IMAGE_FOLDERS = {"image", "images", "img", "imgs", "imagestr", "imagests"}
LABEL_FOLDERS = {"label", "labels", "mask", "masks", "labelstr", "labelsts", "seg", "segmentation", "segmentations"}
PARTS = {
    **dict.fromkeys(("train", "training", "imagestr", "labelstr"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing", "imagests", "labelsts"), "test"),
}
UNDERSTOOD = """layouts that are recognised:
  images/CASE.nii.gz and labels/CASE.nii.gz (Images and Masks, imagesTr and labelsTr too)
  train/Img/CASE.nii.gz and train/Mask/CASE.nii.gz, or images/train/Img/... and masks/train/Mask/...; val, test alike
  CASE.nii.gz and CASE_seg.nii.gz side by side (_mask, _label, _gt too)
  CASE/image.nii.gz and CASE/seg.nii.gz: one folder a case, one image and one label map in it
else say where they are, relative to the root: images: 'ct/{id}.nii.gz', labels: 'masks/{id}_mask.nii.gz';
with a file for each channel: images: '{id}/{id}_{channel}.nii.gz', channels: [FLAIR, T1];
or list the files in a CSV and use the layout 'table'"""


@dataclass(frozen=True)
class Arrangement:
    """Images and label maps, not paired yet."""

    images: tuple[Scan, ...]
    labels: tuple[Scan, ...]
    note: str
    """How they were recognised."""


def recognise(root: Path, endings: Sequence[str]) -> Arrangement:
    """The arrangement below a folder, or an error that shows what is there and what would be understood."""
    paths = scans_below(root)
    found = _in_trees(root, paths, endings) or _side_by_side(root, paths, endings) or _folder_each(root, paths)
    if found is None:
        raise DataError(
            f"{root} has no arrangement of images and label maps that is recognised.\n{_shown(root, paths)}"
        )
    return found


def without(root: Path, missing: str, wanted: str) -> DataError:
    """The error of a layout whose list is missing from a folder: what is there, and whether another layout reads it."""
    try:
        arrangement = recognise(root, ()).note
    except DataError:
        there = few(_names(root)) or "nothing"
        advice = f"give {wanted}, or use another layout. There is: {there}"
        return DataError(f"{root} has no {missing}; {advice}\n{UNDERSTOOD}")
    return DataError(
        f"{root} has no {missing}; give {wanted}. But {arrangement}, which the layout 'folders' reads: "
        f"--dataset folders --root {shlex.quote(str(root))}, or --set dataset.name=folders for the same experiment"
    )


def _in_trees(root: Path, paths: Sequence[Path], endings: Sequence[str]) -> Arrangement | None:
    """Images below folders called so, label maps below others."""
    roles = {path: _role(root, path) for path in paths}
    images, labels = (
        tuple(Scan(path, name_of(path, endings), _part(root, path)) for path in paths if roles[path] == wanted)
        for wanted in ("image", "label")
    )
    if not images or not labels:
        return None
    note = f"images are in {_folders(root, images)}, label maps in {_folders(root, labels)}"
    if others := [path.relative_to(root).as_posix() for path in paths if not roles[path]]:
        note += f"; {len(others)} scans elsewhere are not used: {few(others)}"
    return Arrangement(images, labels, note)


def _side_by_side(root: Path, paths: Sequence[Path], endings: Sequence[str]) -> Arrangement | None:
    """Label maps are called like their images, with an ending."""
    scans = [Scan(path, name_of(path, endings), _part(root, path)) for path in paths]
    labels = tuple(scan for scan in scans if is_label(scan.path))
    images = tuple(scan for scan in scans if not is_label(scan.path))
    places = Counter((scan.part, scan.case) for scan in images)
    if not labels or max(places.values(), default=2) > 1 or {(scan.part, scan.case) for scan in labels} - set(places):
        return None
    return Arrangement(images, labels, f"label maps stand beside their images, such as {labels[0].path.name}")


def _folder_each(root: Path, paths: Sequence[Path]) -> Arrangement | None:
    """Every case has a folder, with one image and at most one label map."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    names = _folder_names(root, list(folders))
    scans = [Scan(path, names[path.parent], _part(root, path)) for path in paths]
    labels = tuple(scan for scan in scans if is_label(scan.path))
    images = tuple(scan for scan in scans if not is_label(scan.path))
    each_once = (len({scan.case for scan in role}) == len(role) for role in (images, labels))
    if root in folders or not labels or not all(each_once) or len(images) != len(folders):
        return None
    return Arrangement(images, labels, "every case has a folder, with one image and one label map in it")


def _folder_names(root: Path, folders: Sequence[Path]) -> Mapping[Path, str]:
    """The folders' own names where these differ, else the whole way to each."""
    if len({folder.name for folder in folders}) == len(folders):
        return {folder: folder.name for folder in folders}
    return {folder: "_".join(folder.relative_to(root).parts) for folder in folders}


def _above(root: Path, path: Path) -> list[str]:
    return [part.lower() for part in path.relative_to(root).parts[:-1]]


def _role(root: Path, path: Path) -> str:
    """What the innermost telling folder says; empty where none does."""
    for folder in reversed(_above(root, path)):
        if folder in IMAGE_FOLDERS | LABEL_FOLDERS:
            return "image" if folder in IMAGE_FOLDERS else "label"
    return ""


def _part(root: Path, path: Path) -> str:
    return next((PARTS[folder] for folder in reversed(_above(root, path)) if folder in PARTS), "")


def _folders(root: Path, scans: Sequence[Scan]) -> str:
    return few(sorted({f"{scan.path.parent.relative_to(root).as_posix()}/" for scan in scans}))


def _shown(root: Path, paths: Sequence[Path]) -> str:
    """What lies there, and what could be done about it."""
    scans = few([path.relative_to(root).as_posix() for path in paths])
    lines = [f"there is: {few(_names(root)) or 'nothing'}", f"{len(paths)} volumes{f': {scans}' if scans else ''}"]
    return "\n".join([*lines, *_detached(root), *_channels_each(paths), UNDERSTOOD])


def _names(root: Path) -> list[str]:
    entries = [entry for entry in sorted(root.iterdir()) if not is_hidden(entry)]
    names = [
        f"{entry.name}{' (a link, not entered)' if entry.is_symlink() else '/'}" for entry in entries if entry.is_dir()
    ]
    return names + [entry.name for entry in entries if not entry.is_dir()]


def _detached(root: Path) -> list[str]:
    """A hint, where there are headers without their voxels."""
    found = [path for path in root.rglob("*") if suffix(path, DETACHED) and not is_hidden(path)]
    if not found:
        return []
    kinds = listed(WHOLE, last="or")
    return [f"{len(found)} headers of voxels in other files, such as {found[0].name}; write each as one {kinds}"]


def _channels_each(paths: Sequence[Path]) -> list[str]:
    """A hint, where all folders hold files with the same endings."""
    endings: dict[Path, set[str]] = {}
    for path in paths:
        endings.setdefault(path.parent, set()).add(stem(path).removeprefix(path.parent.name))
    shared = list(endings.values())
    if not shared or len(shared[0]) < 2 or any(others != shared[0] for others in shared):
        return []
    return [f"every folder holds files that end in {few(sorted(shared[0]))}; patterns can name them"]
