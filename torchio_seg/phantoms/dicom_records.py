"""What every DICOM file of a made-up patient has: who, when, which UIDs, and how it is saved."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchio_seg.volumes.dicom_header import import_pydicom

if TYPE_CHECKING:
    from pathlib import Path

DATE, TIME = "20000101", "120000"
CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}
"""SOP classes by modality."""


@dataclass(frozen=True)
class Origin:
    """Whose files these are and which series of which study; equal origins give equal UIDs."""

    patient: str
    modality: str = "CT"
    number: int = 1
    description: str = ""
    study: str = "1"

    @property
    def study_uid(self) -> str:
        return uid(self.patient, self.study)

    @property
    def frame_uid(self) -> str:
        """Names the coordinates, which all series of a study share."""
        return uid(self.patient, self.study, "frame")

    @property
    def series_uid(self) -> str:
        return uid(self.patient, self.study, self.modality, str(self.number))

    def instance_uid(self, index: int) -> str:
        """Of one file of the series."""
        return uid(self.patient, self.study, self.modality, str(self.number), str(index))


def uid(*words: str) -> str:
    """A valid UID made of words, the same on every day."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def new_dataset(origin: Origin, index: int) -> Any:
    """The modules that every object has: patient, study, series, equipment, instance."""
    pydicom = import_pydicom()
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CLASSES[origin.modality]
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = origin.instance_uid(index)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = origin.patient, origin.patient
    dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = dataset.AccessionNumber = ""
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "made up; no person was scanned"
    dataset.StudyInstanceUID, dataset.StudyID = origin.study_uid, origin.study
    dataset.StudyDate = dataset.SeriesDate = DATE
    dataset.StudyTime = dataset.SeriesTime = TIME
    dataset.Modality, dataset.SeriesInstanceUID = origin.modality, origin.series_uid
    dataset.SeriesNumber, dataset.SeriesDescription = origin.number, origin.description
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = origin.frame_uid, ""
    dataset.Manufacturer, dataset.ManufacturerModelName = "torchio-seg", "phantom"
    dataset.InstanceNumber = index + 1
    return dataset


def save(dataset: Any, path: Path) -> None:
    """Write one file, its folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def decimal(value: float) -> str:
    """A number in the 16 letters that DICOM allows."""
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return text if len(text) <= 16 else f"{value:.16f}"[:16]
