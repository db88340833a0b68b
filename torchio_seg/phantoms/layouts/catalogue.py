"""Which layouts there are, which phantoms fit into each, and how one is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchio_seg.components import suggestion
from torchio_seg.errors import UsageError
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.layouts.brats import BRATS2018, BRATS2021, BRATS2023
from torchio_seg.phantoms.layouts.files import whole
from torchio_seg.phantoms.layouts.folders import write_folders, write_modes
from torchio_seg.phantoms.layouts.lists import write_btcv, write_datalist, write_table
from torchio_seg.phantoms.layouts.nnunet import write_nnunet
from torchio_seg.phantoms.layouts.rtstruct import write_rtstruct
from torchio_seg.phantoms.layouts.task import write_decathlon, write_task01

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort, Report
    from torchio_seg.phantoms.scanner import Phantom

ANY = tuple(KINDS)


@dataclass(frozen=True)
class Layout:
    """One way to lay cases out on disk."""

    write: Callable[[Path, Cohort, Iterable[Phantom]], None]
    experiment: str
    """The shipped experiment that reads it, or the layout that is planned."""
    kinds: tuple[str, ...] = ANY
    """The phantoms that fit, the usual one first."""
    all_channels: bool = False
    """Whether a case must have every channel of its kind."""
    num_kept: int = 0
    """Cases that the experiment keeps from training whatever their number."""


LAYOUTS = {
    "decathlon": Layout(write_decathlon, "decathlon"),
    "task01": Layout(write_task01, "brats", ("brain",), all_channels=True),
    "brats2018": Layout(BRATS2018.write, "brats", ("brain",), all_channels=True),
    "brats2021": Layout(BRATS2021.write, "brats", ("brain",), all_channels=True),
    "brats2023": Layout(BRATS2023.write, "brats", ("brain",), all_channels=True),
    "btcv": Layout(write_btcv, "btcv", ("abdomen",)),
    "datalist": Layout(write_datalist, "datalist"),
    "table": Layout(write_table, "table"),
    "folders": Layout(write_folders, "folders"),
    "modes": Layout(write_modes, "torchio_tutorial"),
    "nnunet": Layout(write_nnunet, "nnunet", ("abdomen", "thorax", "brain")),
    "rtstruct": Layout(write_rtstruct, "lctsc", ("thorax",), num_kept=4),
}


def find_layout(name: str, kind: str | None) -> tuple[Layout, str]:
    """A layout and the kind of phantom for it, or an error saying what fits."""
    if name not in LAYOUTS:
        raise UsageError(f"phantom layout '{name}' is unknown{suggestion(name, tuple(LAYOUTS))}")
    layout = LAYOUTS[name]
    if kind is not None and kind not in KINDS:
        raise UsageError(f"phantom kind '{kind}' is unknown{suggestion(kind, tuple(KINDS))}")
    if kind is not None and kind not in layout.kinds:
        fitting = [other for other, each in LAYOUTS.items() if kind in each.kinds]
        raise UsageError(
            f"layout {name} is made for {', '.join(layout.kinds)}, not for {kind}; leave --kind out, or take a layout "
            f"that fits {kind}: {', '.join(fitting)}"
        )
    return layout, kind or layout.kinds[0]


def require_channels(name: str, kind: str, channels: int | None) -> None:
    """Refuse a number of channels that the kind does not have, or the layout does not hold; None: all there are."""
    names = KINDS[kind].channels
    if channels is None:
        return
    if channels > len(names):
        raise UsageError(f"channels={channels}; {kind} phantoms have {len(names)} ({', '.join(names)}), leave it out")
    if LAYOUTS[name].all_channels and channels != len(names):
        raise UsageError(f"channels={channels}; layout {name} holds all {len(names)} of them, leave it out")


def write_layout(root: Path, name: str, cohort: Cohort, *, report: Report = lambda _done, _all: None) -> None:
    """Make the whole folder beside `root` and rename it into place."""
    layout, kind = find_layout(name, cohort.kind)
    require_channels(name, kind, cohort.channels)
    with whole(root) as folder:
        layout.write(folder, cohort, cohort.patients(report))
