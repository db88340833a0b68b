"""One thing that is wrong with a data set, and everything that was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, why, and what to do about it."""

    severity: Severity
    """error: training must not begin. warning: it may, once somebody has seen this."""
    check: str
    """What was looked at, in a word or two that programs can compare."""
    reason: str
    cure: str
    case: str | None = None
    """None where it is about the data set as a whole."""
    file: Path | None = None

    def __str__(self) -> str:
        place = "".join(f"{part}: " for part in (self.case and f"case {self.case}", self.file) if part)
        return f"{place}{self.reason}; {self.cure}" if self.cure else f"{place}{self.reason}"

    def as_json(self) -> dict[str, str | None]:
        """The finding as JSON holds it."""
        return asdict(self) | {"file": None if self.file is None else str(self.file)}


@dataclass(frozen=True)
class Report:
    """Everything that one check of a data set found."""

    findings: tuple[Finding, ...]
    num_cases: int = 0
    num_files: int = 0
    num_read: int = 0
    """Files that were read now; the others had not changed since an earlier reading."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """What the layout has to say about the data set."""

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "warning"]

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        return {
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "cases": self.num_cases,
            "files": self.num_files,
            "read": self.num_read,
            "known": self.num_files - self.num_read,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "findings": [finding.as_json() for finding in self.findings],
        }
