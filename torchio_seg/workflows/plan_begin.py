"""How a plan begins: its words judged, the cases listed and checked, and the grid that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from torchio_seg import devices
from torchio_seg.config.resolve import choose, resolve
from torchio_seg.errors import ConfigError
from torchio_seg.levels import design
from torchio_seg.planning.ladder import ENOUGH_COVERED, FEWEST_VOXELS
from torchio_seg.planning.settings import preprocessing_of
from torchio_seg.planning.spacing import Target, choose_spacing, resampled
from torchio_seg.planning.topology import NETWORK, given_levels, require_levels
from torchio_seg.progress import Silent
from torchio_seg.workflows.cases import find_root, needs_root, require_root
from torchio_seg.workflows.plan_data import Listed, list_cases

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.planning.spacing import Spacing
    from torchio_seg.progress import Progress

OWN = ("name", "seed", "device", "deterministic", "dataset", "codes", "split", "tracker")
"""What an experiment keeps when it is planned."""
ORIGIN = "the plan with these options"


@dataclass(frozen=True)
class Wishes:
    """What a plan is made for."""

    dataset: str | None = None
    config: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """By dotted key; they stand whatever would have been planned."""
    ram_budget: int | None = None
    vram_budget: int | None = None
    num_local: int = 1
    """Processes that will train together on this machine."""


@dataclass(frozen=True)
class Begun:
    """What follows from headers and labels alone."""

    listed: Listed
    target: Target
    settings: dict[str, Any]
    """The sections that are settled."""
    rest: dict[str, Any]
    """Changes that stand whatever is planned."""
    experiment: Experiment
    """Of both, with the defaults of what is not planned yet."""

    @property
    def grid_may_change(self) -> bool:
        """Whether voxels may be larger than those of the cases: nobody has chosen a grid, and cases are large."""
        pinned = {f"preprocessing.{key}" for key in ("spacing", "resize", "crop_or_pad")} | {"sampling.patch_size"}
        if pinned & set(self.rest):
            return False
        sizes = [prod(resampled(grid.shape, grid.spacing, self.target.spacing)) for grid in self.listed.grids]
        return ENOUGH_COVERED * median(sizes) > FEWEST_VOXELS

    def at(self, spacing: Spacing) -> Begun:
        """The same in voxels of another size."""
        if spacing == self.target.spacing:
            return self
        target = replace(self.target, spacing=spacing, finest=self.target.spacing)
        preprocessing = self.settings["preprocessing"] | {"spacing": list(spacing)}
        settings = self.settings | {"preprocessing": preprocessing}
        return replace(self, target=target, settings=settings, experiment=resolve(settings, self.rest, ORIGIN))


def begin(wishes: Wishes, *, progress: Progress | None = None) -> Begun:
    """List the cases and settle their grid; whatever there is to refuse is refused here."""
    base, rest = _base(wishes), _rest(wishes)
    early = resolve(_settled_sections(base), rest, ORIGIN)  # a wrong setting is found before any file is read
    levels = given_levels(early.network.name, rest)
    patch = rest.get("sampling.patch_size")
    require_levels(levels, len(next(iter(levels.values()), ())) if patch else None)
    listed = list_cases(base, progress or Silent())
    target = choose_spacing([grid.spacing for grid in listed.grids], [grid.shape for grid in listed.grids])
    if patch:
        require_levels(levels, len(design(tuple(patch), target.spacing, 1).strides))
    preprocessing = preprocessing_of(target.spacing, listed.dataset.is_ct, base.preprocessing.nonfinite)
    settings = _settled_sections(base) | {"network": {"name": early.network.name}, "preprocessing": preprocessing}
    return Begun(listed, target, settings, rest, resolve(settings, rest, ORIGIN))


def _base(wishes: Wishes) -> Experiment:
    """The experiment as it is named, its data found; of its settings those stay that are no plan's business."""
    own = {key: value for key, value in wishes.changes.items() if key.partition(".")[0] in OWN}
    base = choose(wishes.dataset, wishes.config, own)
    devices.choose(base.device)  # a device that is not there is found before any file is read
    if needs_root(base):
        require_root(base)
    section = base.dataset.model_copy(update={"root": find_root(base).resolve()})
    return base.model_copy(update={"dataset": section})


def _rest(wishes: Wishes) -> dict[str, Any]:
    """The other changes, which stand over what is planned."""
    rest = {key: value for key, value in wishes.changes.items() if key.partition(".")[0] not in OWN}
    if whole := sorted(set(rest) & {"sampling", "network", "training", "preprocessing"}):
        raise ConfigError(
            f"--set {whole[0]}=...: a plan makes this section; set single keys of it, as --set training.batch_size=4"
        )
    return rest


def _settled_sections(base: Experiment) -> dict[str, Any]:
    """What is not planned, or follows from no file."""
    store = None if base.sampling.store is None else str(base.sampling.store)
    return base.model_dump(mode="json", include=set(OWN)) | {
        "network": {"name": NETWORK},
        "training": {"max_time": base.training.max_time},
        "sampling": {"store": store, "store_dtype": base.sampling.store_dtype},
    }
