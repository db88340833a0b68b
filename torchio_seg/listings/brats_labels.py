"""The three ways in which brain tumours have been labelled for BraTS, and which of them a data set follows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.paths import few
from torchio_seg.records import Labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    Found = Mapping[Path, Mapping[int, int]]
    """How many voxels of each label map hold each value."""


@dataclass(frozen=True)
class Convention:
    """What the values of a label map mean."""

    key: str
    title: str
    core: int
    """Tumour core that takes up no contrast agent; necrosis among it."""
    edema: int
    enhancing: int
    core_name: str

    @property
    def names(self) -> dict[int, str]:
        named = {0: "background", self.core: self.core_name, self.edema: "edema", self.enhancing: "enhancing tumor"}
        return dict(sorted(named.items()))

    @property
    def labels(self) -> Labels:
        core = (self.core, self.enhancing)
        regions = {
            "whole_tumor": (*core, self.edema),
            "tumor_core": core,
            "enhancing_tumor": (self.enhancing,),
        }
        return Labels.of_regions(self.names, regions)

    def __str__(self) -> str:
        return f"{self.title}: " + ", ".join(f"{value} {name}" for value, name in self.names.items() if value)


DECATHLON = Convention("decathlon", "the Decathlon", 2, 1, 3, "non-enhancing tumor")
BRATS2018 = Convention("brats2018", "BraTS 2018-2021", 1, 2, 4, "necrotic or non-enhancing core")
BRATS2023 = Convention("brats2023", "BraTS 2023 on", 1, 2, 3, "necrotic core")
CONVENTIONS = {each.key: each for each in (DECATHLON, BRATS2018, BRATS2023)}

_WORDS = {
    "edema": r".*edema.*|ed|snfh",
    "core": r".*(necro|non[- _]?enhanc).*|ncr|net|netc|ncr[/ _-]net",
    "enhancing": r"(gd[- _]?|contrast[- _]?)?enhanc.*|et",
}
"""What each label is called; 'edema' is found in 'oedema' too."""
_ASK = (
    "Say what they mean with --set dataset.convention=NAME (allowed: "
    + "; ".join(f"{key} ({each})" for key, each in CONVENTIONS.items())
    + ")"
)
_ELSE = "For other labels, list the files in a JSON and name labels and regions yourself: --dataset datalist"


def from_names(names: Mapping[int, str], path: Path) -> Convention:
    """The convention that the label names of a dataset.json spell out."""
    named = {value: name for value, name in names.items() if value}
    meant = {_meaning(name): value for value, name in named.items()}
    for each in CONVENTIONS.values():
        if len(meant) == len(named) and meant == {"core": each.core, "edema": each.edema, "enhancing": each.enhancing}:
            return each
    stated = ", ".join(f"{value} {name}" for value, name in named.items()) or "none"
    raise DataError(
        f"{path}: the labels are {stated}; whether they are edema, non-enhancing and enhancing tumor in a known "
        f"numbering cannot be told. {_ASK}. {_ELSE}"
    )


def _meaning(name: str) -> str | None:
    words = name.strip().casefold()
    return next((meaning for meaning, pattern in _WORDS.items() if re.fullmatch(pattern, words)), None)


def from_values(found: Found, *, files_of_2023: bool) -> Convention:
    """The convention that values and file names agree on; an error where they leave a doubt."""
    values = _values(found)
    naming = f"files named as in {(BRATS2023 if files_of_2023 else BRATS2018).title}"
    facts = f"{len(found)} label maps hold the values {_some({0, *values})}, in {naming}"
    if values - {1, 2, 3, 4} or {3, 4} <= values:
        odd = values - {1, 2, 3, 4} or {3, 4}
        raise DataError(f"{facts}; no convention has {_some(odd)} ({_where(found, odd)}). Mend the files. {_ELSE}")
    if files_of_2023 and 4 in values:
        raise DataError(
            f"{facts}; there 4 does not occur ({_where(found, {4})}), and from 2024 on it is a resection cavity. "
            f"{_ASK}. {_ELSE}"
        )
    if files_of_2023:
        return BRATS2023
    if 4 in values:
        return BRATS2018
    if 3 in values:
        doubt = "3 is enhancing tumor in the Decathlon and in BraTS 2023 on, which number the other two differently"
    else:
        doubt = "nothing is enhancing without a 3 or a 4, and 1 and 2 differ between the conventions"
    raise DataError(f"{facts}; that is ambiguous: {doubt}. {_ASK}")


def require_known(found: Found, convention: Convention) -> None:
    """Hold that a convention that the user has named knows every value."""
    known = set(convention.names)
    if odd := [f"{path} ({_some(set(values) - known)})" for path, values in found.items() if set(values) - known]:
        raise ConfigError(
            f"convention={convention.key} is contradicted by {len(odd)} of {len(found)} label maps, which hold values "
            f"that it does not know: {few(odd)}. It is {convention}; name another convention, or leave it out"
        )


def note(convention: Convention, reason: str) -> str:
    """What is said of the choice."""
    return f"labels follow {convention} ({reason}); --set dataset.convention=... overrides"


def _values(found: Found) -> set[int]:
    return {value for values in found.values() for value in values} - {0}


def _where(found: Found, values: set[int]) -> str:
    return few([str(path) for path, held in found.items() if set(held) & values])


def _some(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))
