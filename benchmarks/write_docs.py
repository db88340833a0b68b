"""Write docs/benchmarks.md, and the pictures in it, from what lies in results/: tables with the command behind each.

python benchmarks/write_docs.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import accuracy_picture

from torchio_seg.reports.marks import to_svg
from torchio_seg.workflows.memory_benchmark import read
from torchio_seg.workflows.memory_output import picture_of, rows
from torchio_seg.workflows.memory_tables import notes, tables

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
SHORT = 10
"""Digits of a commit."""
LONG = {"runs", "validation", "plan", "machine", "regions", "settings", "commit", "values", "all attempts"}
"""What tables leave out; it stands in the files."""
ABOUT = {"what", "device", "command"}
"""What stands above the table."""
TITLE = """\
# Benchmarks

Written by `python benchmarks/write_docs.py` from the files in `benchmarks/results/`, which hold every run. `make bench`
runs a short selection.
"""
MEMORY = """\
`memory` is what the step or the prediction adds to a process that holds network and batch, or volume; `process` is that
process's peak, imports included (on a GPU: what the GPU says is taken); `of whole` is `memory` by that of the whole
volume. [memory.md](memory.md) tells how each is measured, and how to ask for your own card.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not in step")
    given = parser.parse_args()
    found = pages()
    stale = [path for path, text in found.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if given.check and stale:
        sys.exit(f"not in step with benchmarks/results: {', '.join(map(str, stale))}; run benchmarks/write_docs.py")
    for path in stale:
        path.write_text(found[path], encoding="utf-8")
        print("written", path)


def pages() -> dict[Path, str]:
    """The page and its pictures, by where they belong."""
    found: dict[Path, str] = {}
    parts = [TITLE]
    for path in sorted(RESULTS.glob("*.json")):
        section, pictures = SECTIONS[path.stem](path) if path.stem in SECTIONS else (plain_section(path), {})
        parts.append(section)
        found |= pictures
    return found | {PAGE: "\n".join(parts)}


def memory_section(path: Path) -> tuple[str, dict[Path, str]]:
    """Tables of all points, and a picture a network."""
    results, told = read(path), json.loads(path.read_text(encoding="utf-8"))
    points = {found.point: found for found in results["points"]}
    about, found = results["about"], rows(points, results["accuracy"])
    shape = " x ".join(map(str, about["shape"]))
    commands = told.get("commands", {})
    commits = sorted({each.commit for each in points.values() if each.commit})  # a run may go on with another
    lines = [
        "## Memory: patches against the whole volume\n",
        f"{shape} voxels, {about['channels']} channels, {about['classes']} classes: `{told['command']}`\n",
        machine_text(about | {"commit": ", ".join(commits)}, about["device"]),
        MEMORY,
        *[f"- {note}" for note in list(notes(found))[1:]],
    ]
    pictures = {}
    is_gpu = any(each.reserved is not None for each in points.values())
    for network in dict.fromkeys(point.network for point in points):
        own = {point: each for point, each in points.items() if point.network == network}
        lines.append(f"\n### {network}")
        for work in ("training", "prediction"):
            chosen = [row for row in found if (row["network"], row["work"]) == (network, work)]
            command = commands.get(f"{network}, {work}")
            for each in tables(chosen):
                lines += [f"\n{each.title}{f': `{command}`' if command else ''}\n"]
                flat = [(way, *row) for way, part in each.parts.items() for row in part]
                lines += table(("how", *each.columns), flat)
        picture = DOCS / "images" / f"memory_{network}.svg"
        pictures[picture] = to_svg(picture_of(f"{network}: patches against {shape}", own, is_gpu=is_gpu))
        lines.append(f"\n![memory of {network} against the edge of a patch](images/{picture.name})")
    return "\n".join(lines) + "\n", pictures


def accuracy_section(path: Path) -> tuple[str, dict[Path, str]]:
    """The table of all runs, and a picture of their curves for each task."""
    runs = json.loads(path.read_text(encoding="utf-8"))["results"]
    section, pictures = plain_section(path), {}
    for task in dict.fromkeys(run["task"] for run in runs):
        picture = DOCS / "images" / f"accuracy_{task}.svg"
        pictures[picture] = to_svg(accuracy_picture.draw(task, [run for run in runs if run["task"] == task]))
        section += f"\n![Dice on {task} against time](images/{picture.name})\n"
    return section, pictures


SECTIONS = {"memory": memory_section, "accuracy": accuracy_section}
"""Those with pictures."""


def plain_section(path: Path) -> str:
    """Whatever a file holds in single numbers: its list of results as a table, the rest as pairs."""
    found = json.loads(path.read_text(encoding="utf-8"))
    about = found if isinstance(found, dict) else {}
    records = about.get("results", found) if not isinstance(found, list) else found
    device = about.get("device", "")
    lines = [f"## {path.stem.replace('_', ' ').capitalize()}\n", f"`{command_of(path, about)}`\n"]
    if what := about.get("what"):
        lines[1:1] = [f"{str(what)[0].upper()}{str(what)[1:]}.\n"]
    if isinstance(about.get("machine"), dict):
        lines.append(machine_text(about, device))
    if isinstance(records, list):
        flat = [dict(scalars(record)) for record in records]
        names = list(dict.fromkeys(name for record in flat for name in record))
        lines += table(names, [[record.get(name, "") for name in names] for record in flat])
    else:
        lines += figures(records)
    return "\n".join(lines) + "\n"


def figures(found: Mapping[str, Any]) -> list[str]:
    """Single numbers as pairs, and a table for each mapping of several."""
    shown = {name: value for name, value in found.items() if name not in LONG | ABOUT}
    single = {name: value for name, value in shown.items() if not isinstance(value, Mapping)}
    parts = [("figure", single), *((name, value) for name, value in shown.items() if name not in single)]
    lines: list[str] = []
    for title, part in parts:
        rows = dict(named(part)) if any(isinstance(value, Mapping) for value in part.values()) else {}
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        about = title.replace("_", " ")
        if rows:
            lines += ["", *table((about, *names), [[row, *map(of.get, names, repeat(""))] for row, of in rows.items()])]
        elif pairs := list(scalars(part)):
            lines += ["", *table((about, "value"), pairs)]
    return lines[1:]


def named(part: Mapping[str, Any], *above: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a mapping of mappings, of those within one that holds nothing else."""
    for name, value in part.items():
        if name in LONG or not isinstance(value, Mapping):
            continue
        if all(isinstance(each, Mapping) for each in value.values()):
            yield from named(value, *above, name)
        else:
            yield ", ".join((*above, name)), dict(scalars(value))


def command_of(path: Path, about: Mapping[str, Any]) -> str:
    """What writes a file."""
    script = f"bench_{path.stem}.py" if (HERE / f"bench_{path.stem}.py").exists() else f"{path.stem}.py"
    return str(about.get("command", COMMANDS.get(path.stem, f"python benchmarks/{script}")))


def machine_text(about: Mapping[str, Any], device: str) -> str:
    """The machine, the versions and the commit in a sentence."""
    machine = about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    names = [name.strip()[:SHORT] for name in (about.get("commit") or "").split(",") if name]
    commit = f", commit {', '.join(names)}" if names else ""
    where = f"{device}; " if device else ""
    processors = f"{machine['cores']} processor{'' if machine['cores'] == 1 else 's'}"
    return f"{where}{machine['processor']}, {processors}, {machine['system']}, {versions}{commit}.\n"


def scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Single numbers and words, quartiles beside their median, those inside by dotted names."""
    for name, value in record.items():
        if name in LONG:
            continue
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            low, high = record.get(f"{name}_quartiles") or (value, value)
            yield prefix + name, text if low == high else f"{text} ({low:.4g} to {high:.4g})"


def table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown has it."""
    return [
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines),
    ]


if __name__ == "__main__":
    main()
