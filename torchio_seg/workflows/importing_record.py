"""What an import writes down of itself: import.json for the next run, and the manifest that follows from it."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchio_seg.datasets.rtstruct import COLUMNS, MANIFEST, RECORD, read_record, require_rois
from torchio_seg.errors import DataError, UsageError
from torchio_seg.files import write_json, write_text

_FORMAT = 2
"""Counts changes of what an import writes, so that what an older version made is made anew."""
_FOLDERS = ("images", "labels")


@dataclass
class Record:
    """What is in the folder of an import, and how it came there."""

    folder: Path
    source: Path
    labels: Mapping[str, str]
    cases: dict[str, Any] = field(default_factory=dict)
    """Facts about each patient that is there."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why each of the others could not be imported."""
    complete: bool = False
    """Whether the import ran to its end."""

    def files(self, case: str) -> tuple[Path, Path]:
        """Image and label map of a patient."""
        image, label = (self.folder / name / f"{case}.nii.gz" for name in _FOLDERS)
        return image, label

    def is_done(self, case: str, fingerprint: str) -> bool:
        """Whether a patient was imported from these very files."""
        facts = self.cases.get(case)
        unchanged = isinstance(facts, dict) and facts.get("fingerprint") == fingerprint
        return unchanged and all(path.is_file() for path in self.files(case))

    def drop_others(self, cases: Collection[str]) -> list[str]:
        """Take out, with their files, the patients that are none of these."""
        gone = sorted(set(self.cases) - set(cases))
        for case in gone:
            del self.cases[case]
        self.write()
        for case in gone:
            if Path(case).name == case:
                self.remove_files(case)
        return gone

    def remove_files(self, case: str) -> None:
        for path in self.files(case):
            path.unlink(missing_ok=True)

    def write(self) -> None:
        """Both files, each in one step."""
        kept = {"source": str(self.source), "complete": self.complete, "labels": self.labels}
        write_json(self.folder / RECORD, {"format": _FORMAT, **kept, "failures": self.failures, "cases": self.cases})
        write_text(self.folder / MANIFEST, self._manifest())

    def remove(self) -> None:
        """Leave nothing of an import without patients."""
        for name in (MANIFEST, RECORD):
            (self.folder / name).unlink(missing_ok=True)
        for name in _FOLDERS:
            with contextlib.suppress(OSError):  # what somebody else put there stays
                (self.folder / name).rmdir()

    def _manifest(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for case, facts in sorted(self.cases.items()):
            image, mask = (path.relative_to(self.folder).as_posix() for path in self.files(case))
            sources = {"ct_folder": facts["ct_folder"], "rtstruct": facts["rtstruct"]}
            writer.writerow({"id": case, **sources, "image": image, "mask": mask})
        return text.getvalue()


def make_folders(out: Path) -> None:
    try:
        for name in _FOLDERS:
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {out} cannot be made: {error.strerror}; name another") from error


def open_record(source: Path, out: Path, rois: Sequence[str]) -> Record:
    """What the last import of this folder with these ROIs wrote down, or a new record; others are not replaced."""
    labels = {"0": "background", **{str(value): name for value, name in enumerate(rois, start=1)}}
    fresh = Record(out, source.resolve(), labels)
    if not (out / RECORD).is_file():
        return fresh
    require_rois(out, rois)
    found = read_record(out)
    _require_source(out, found.get("source"), fresh.source)
    if found.get("format") == _FORMAT and isinstance(found.get("cases"), dict):
        fresh.cases = found["cases"]
    return fresh


def _require_source(out: Path, former: Any, source: Path) -> None:
    """Hold that an import is not replaced by one of other patients; a folder that was moved is still the same."""
    if isinstance(former, str) and Path(former) != source and Path(former).is_dir():
        raise DataError(
            f"{out} holds the import of {former}, not of {source}; import into another folder, or remove this one first"
        )
