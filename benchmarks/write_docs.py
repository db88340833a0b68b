"""Write docs/benchmarks.md, and the pictures in it, from what lies in results/: tables with the command behind each.

python benchmarks/write_docs.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchio_seg.reports.memory_plot import draw, to_svg
from torchio_seg.workflows.memory_benchmark import read
from torchio_seg.workflows.memory_output import COLUMNS, cells, rows, series_of

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PAGE = DOCS / "benchmarks.md"
COMMANDS = {
    "prediction_brats": "python benchmarks/bench_prediction.py --case brats",
    "accuracy": "python benchmarks/bench_accuracy.py --root Task04_Hippocampus --max-time 15m --nnunet ENV/bin/python",
    "augmentation_accuracy": "python benchmarks/augmentation_accuracy.py --root Task04_Hippocampus",
}
"""Those that need more than their name."""
LONG = {"runs", "validation", "plan", "machine", "regions"}
"""What tables leave out; it stands in the files."""
TITLE = """\
# Benchmarks

Written by `python benchmarks/write_docs.py` from the files in `benchmarks/results/`, which hold every run. `make bench`
runs a short selection.
"""
MEMORY = """\
`memory` is what the step or the prediction adds to a process that holds network and batch, or volume; `all` is the
process's peak, imports included (on a GPU: what the GPU says is taken); `of whole` is `memory` by that of the whole
volume, `~` where that did not fit and a line `a + b x voxels` fitted to the patches stands for it.
[memory.md](memory.md) tells how each is measured, and how to ask for your own card.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not in step")
    given = parser.parse_args()
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if given.check and stale:
        sys.exit(f"not in step with benchmarks/results: {', '.join(map(str, stale))}; run benchmarks/write_docs.py")
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
        print("written", path)


def pages() -> dict[Path, str]:
    """The page and its pictures, by where they belong."""
    found: dict[Path, str] = {}
    parts = [TITLE]
    for path in sorted(RESULTS.glob("*.json")):
        section, pictures = memory_section(path) if path.stem == "memory" else (plain_section(path), {})
        parts.append(section)
        found |= pictures
    return found | {PAGE: "\n".join(parts)}


def memory_section(path: Path) -> tuple[str, dict[Path, str]]:
    """A table of all points, and a picture a network."""
    results, command = read(path), json.loads(path.read_text(encoding="utf-8"))["command"]
    points = {found.point: found for found in results["points"]}
    about = results["about"]
    shape = " x ".join(map(str, about["shape"]))
    amounts = f"{shape} voxels, {about['channels']} channels, {about['classes']} classes"
    lines = [
        "## Memory: patches against the whole volume\n",
        f"A volume of {amounts}. `python benchmarks/bench_memory.py` calls, for every row, `{command}`.\n",
        machine_text(about["machine"], about["device"]),
        MEMORY,
        *table(COLUMNS, [cells(row) for row in rows(points, results["accuracy"])]),
    ]
    pictures = {}
    is_gpu = any(found.reserved is not None for found in points.values())
    for network in dict.fromkeys(point.network for point in points):
        own = {point: found for point, found in points.items() if point.network == network}
        what = "peak memory of the GPU" if is_gpu else "peak memory of the process on a CPU, imports included"
        picture = DOCS / "images" / f"memory_{network}.svg"
        pictures[picture] = to_svg(draw(f"{network}: patches against {shape}", what, series_of(own, is_gpu=is_gpu)))
        lines.append(f"\n![memory of {network} against the edge of a patch](images/{picture.name})")
    return "\n".join(lines) + "\n", pictures


def plain_section(path: Path) -> str:
    """Whatever a file holds in single numbers: its list of results as a table, the rest as pairs."""
    found = json.loads(path.read_text(encoding="utf-8"))
    about = found if isinstance(found, dict) else {}
    records = about.get("results", found) if not isinstance(found, list) else found
    device = about.get("device", "")
    lines = [f"## {path.stem.replace('_', ' ').capitalize()}\n", f"`{command_of(path, about)}`\n"]
    if what := about.get("what"):
        lines[1:1] = [f"{str(what)[0].upper()}{str(what)[1:]}.\n"]
    if isinstance(machine := about.get("machine"), dict):
        lines.append(machine_text(machine, device))
    if isinstance(records, list):
        flat = [dict(scalars(record)) for record in records]
        names = list(dict.fromkeys(name for record in flat for name in record))
        lines += table(names, [[record.get(name, "") for name in names] for record in flat])
    else:
        pairs = [(name, value) for name, value in scalars(records) if name not in {"what", "device", "command"}]
        lines += table(("figure", "value"), pairs)
    return "\n".join(lines) + "\n"


def command_of(path: Path, about: Mapping[str, Any]) -> str:
    """What writes a file."""
    script = f"bench_{path.stem}.py" if (HERE / f"bench_{path.stem}.py").exists() else f"{path.stem}.py"
    return str(about.get("command", COMMANDS.get(path.stem, f"python benchmarks/{script}")))


def machine_text(machine: Mapping[str, Any], device: str) -> str:
    """The machine in a sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = f"{device}; " if device else ""
    return f"{where}{machine['processor']}, {machine['cores']} processors, {machine['system']}, {versions}.\n"


def scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Single numbers and words, those inside by dotted names."""
    for name, value in record.items():
        if name in LONG:
            continue
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)


def table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown has it."""
    return [
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines),
    ]


if __name__ == "__main__":
    main()
