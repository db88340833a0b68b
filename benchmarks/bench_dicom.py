"""How long DICOM output takes, read-back included, and how large it is: thirteen organs in a CT of 512 x 512 pixels.

    python benchmarks/bench_dicom.py --slices 200

The label map is the abdomen phantom's, enlarged; its series lies in a temporary folder.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine

from torchio_seg.phantoms.abdomen import LABELS
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.records import Region
from torchio_seg.volumes.coding import coding_of
from torchio_seg.volumes.dicom import Grid, arrange, scan
from torchio_seg.volumes.dicom_output import Algorithm, Findings, Segment
from torchio_seg.volumes.dicom_seg import write_seg
from torchio_seg.volumes.nifti import create
from torchio_seg.volumes.rtstruct_writing import write_structures

PIXELS, SMALL = 512, 128
AFFINE = np.diag([-0.8, -0.8, 2.0, 1.0])


def enlarged(slices: int) -> np.ndarray:
    """The labels of a phantom on as many voxels as a CT has, each voxel the nearest one's."""
    label = KINDS["abdomen"].draw((SMALL, SMALL, 64), 0, 0, 1).label
    where = [np.arange(size) * small // size for size, small in zip((PIXELS, PIXELS, slices), label.shape, strict=True)]
    return np.ascontiguousarray(label[np.ix_(*where)]).astype(np.uint8)


def grid_in(folder: Path, slices: int) -> Grid:
    write_series(folder, np.zeros((PIXELS, PIXELS, slices), np.int16), AFFINE, Origin("P1"))
    (series,) = scan(folder).series
    return arrange(series)


def main() -> None:
    """Write each kind once and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=200)
    slices = parser.parse_args().slices
    logging.basicConfig(level=logging.WARNING)
    print(machine(("numpy", "pydicom", "highdicom")))
    regions = [Region(name, (value,), value) for value, name in LABELS.items() if value]
    segments = tuple(Segment(region, coding_of(region.name), place) for place, region in enumerate(regions))
    with tempfile.TemporaryDirectory() as folder:
        grid = grid_in(Path(folder, "series"), slices)
        findings = Findings(grid, enlarged(slices), segments, Algorithm("0", "phantom", "0" * 64))
        writers = {
            "nifti": lambda file: create(file.with_suffix(".nii.gz"), findings.label_map, grid.affine),
            "dicom-seg": lambda file: write_seg(file, findings),
            "rtstruct": lambda file: write_structures(file, findings),
        }
        for kind, write in writers.items():
            begun = time.monotonic()
            write(Path(folder, f"{kind}.dcm"))
            (file,) = Path(folder).glob(f"{kind}.*")
            print(f"{kind:10} {time.monotonic() - begun:6.1f} s {file.stat().st_size / 2**20:7.1f} MiB")


if __name__ == "__main__":
    main()
