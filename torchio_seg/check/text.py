"""A report as people read it: by severity, names whole, everything else within the width of the screen."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.listings.paths import few

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torchio_seg.check.finding import Finding, Report

SHOWN = 20
"""Findings of one kind that are written out."""
_JOINT = "\x00"
"""Stands for a blank within a name while lines are broken at blanks."""


def to_lines(report: Report, root: Path, *, width: int = 80, names: Iterable[str] = ()) -> Iterator[str]:
    """The findings below their headings, then the counts; files are named from the root, `names` are never broken."""
    joined = {name: name.replace(" ", _JOINT) for name in names if " " in name}
    for heading, findings in (("error", report.errors), ("warning", report.warnings)):
        if findings:
            yield counted(len(findings), heading)
        for alike in _by_kind(findings):
            for finding in alike[:SHOWN]:
                yield from _finding_lines(finding, root, width, joined)
            if len(alike) > SHOWN:
                yield f"  ... and {len(alike) - SHOWN} more {alike[0].check}, {len(alike)} in all; --json lists them"
    yield summary(report)


def summary(report: Report) -> str:
    """One line: how much was looked at, how long it took, what came of it."""
    num_known = report.num_files - report.num_read
    how = "read" if not num_known else "known from before" if not report.num_read else None
    files = f"{counted(report.num_files, 'file')} {how}"
    if how is None:
        files = f"{counted(report.num_files, 'file')} ({report.num_read} read, {num_known} known from before)"
    time = f"{report.seconds:.1f} s" if report.seconds < 10 else f"{report.seconds:.0f} s"
    result = f"{counted(len(report.errors), 'error')}, {counted(len(report.warnings), 'warning')}"
    return f"{counted(report.num_cases, 'case')}, {files} in {time}: {result}"


def counted(number: int, noun: str) -> str:
    """2 cases, 1 case."""
    return f"{number} {noun}{'s' * (number != 1)}"


def shown(path: Path, root: Path) -> str:
    """A file as it is named from the root, where it lies below it."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def gathered(findings: Sequence[Finding]) -> list[str]:
    """A sentence for each finding, but one for all cases of which the same is to be said."""
    alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        alike[finding.reason, finding.cure].append(finding)
    return [_of_all(each) if len(each) > 1 else str(each[0]) for each in alike.values()]


def _of_all(findings: Sequence[Finding]) -> str:
    cases = list(dict.fromkeys(finding.case for finding in findings if finding.case is not None))
    if len(cases) < 2:
        return str(replace(findings[0], file=None))
    return f"{counted(len(cases), 'case')} ({few(cases)}): {replace(findings[0], case=None, file=None)}"


def _by_kind(findings: Sequence[Finding]) -> Iterable[list[Finding]]:
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.check].append(finding)
    return kinds.values()


def _finding_lines(finding: Finding, root: Path, width: int, joined: dict[str, str]) -> Iterator[str]:
    place = [finding.case or "whole data set"]
    if finding.file is not None:
        place.append(shown(finding.file, root))
    yield f"  {'  '.join(place)}"
    text = str(replace(finding, case=None, file=None)).replace(f"{root}/", "")
    for name, whole in joined.items():
        text = text.replace(name, whole)
    for line in textwrap.wrap(text, width - 4, break_long_words=False, break_on_hyphens=False):
        yield f"    {line.replace(_JOINT, ' ')}"
