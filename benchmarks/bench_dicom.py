"""How long DICOM output takes, read-back included, and how large it is: thirteen organs in a CT of 512 x 512 pixels.

    python benchmarks/bench_dicom.py [--slices 200] [--quick]

The label map is the abdomen phantom's, enlarged; its series lies in a temporary folder.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np

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
MEASURED = ("wall_s", "cpu_s", "peak_mib", "mib")
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


def written(write: Callable[[Path], object], folder: Path, kind: str) -> dict[str, float]:
    """What writing one file took, and its size."""
    for earlier in folder.glob(f"{kind}.*"):
        earlier.unlink()
    taken = common.measured(lambda: write(folder / f"{kind}.dcm"))
    (file,) = folder.glob(f"{kind}.*")
    return {**taken, "mib": round(file.stat().st_size / common.MIB, 2)}


def main() -> None:
    parser = common.parser(__doc__, rounds=3)
    parser.add_argument("--slices", type=int, default=200)
    given = parser.parse_args()
    slices, rounds = (24, 1) if given.quick else (given.slices, given.rounds)
    logging.basicConfig(level=logging.WARNING)
    regions = [Region(name, (value,), value) for value, name in LABELS.items() if value]
    segments = tuple(Segment(region, coding_of(region.name), place) for place, region in enumerate(regions))
    with tempfile.TemporaryDirectory() as folder:
        grid = grid_in(Path(folder, "series"), slices)
        findings = Findings(grid, enlarged(slices), segments, Algorithm("0", "phantom", "0" * 64))
        writers: dict[str, Callable[[Path], object]] = {
            "nifti": lambda file: create(file.with_suffix(".nii.gz"), findings.label_map, grid.affine),
            "dicom-seg": lambda file: write_seg(file, findings),
            "rtstruct": lambda file: write_structures(file, findings),
        }
        runs = common.in_turn(list(writers), rounds, lambda kind, _: written(writers[kind], Path(folder), kind))
    rows = common.rows("kind", runs, MEASURED)
    common.print_table(rows, ("kind", *MEASURED))
    what = f"writing {len(regions)} organs, reading them back included; medians of runs in turn"
    content = {"shape": [PIXELS, PIXELS, slices], "results": rows}
    common.keep(common.output_of(given, "dicom"), what, ("numpy", "pydicom", "highdicom"), content)


if __name__ == "__main__":
    main()
