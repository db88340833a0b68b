"""Masks: of regions, in their box, and how many voxels two have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from torchio_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.records import Labels

Mask: TypeAlias = npt.NDArray[np.bool_]
Spacing: TypeAlias = tuple[float, float, float]
Box: TypeAlias = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Counts:
    """Voxels of a predicted mask and of a true one."""

    both: int
    predicted: int
    true: int

    @classmethod
    def of(cls, predicted: Mask, truth: Mask) -> Counts:
        """Counted."""
        return cls(
            int(np.count_nonzero(predicted & truth)), int(np.count_nonzero(predicted)), int(np.count_nonzero(truth))
        )

    @property
    def only_one(self) -> bool:
        """Whether the region is missed or invented."""
        return (self.predicted == 0) != (self.true == 0)


def region_masks(label_map: npt.NDArray[Any], labels: Labels) -> Mask:
    """The mask of every region, R I J K, from an integer label map I J K: memory for as many masks as regions."""
    return np.stack([region_mask(label_map, region.labels) for region in labels.regions])


def region_mask(label_map: npt.NDArray[Any], labels: Sequence[int]) -> Mask:
    """The mask of the region of these labels, in no more memory than two masks take."""
    mask: Mask = np.zeros(label_map.shape, bool)
    for label in labels:
        mask |= label_map == label
    return mask


def as_far_as_known(predicted: npt.NDArray[Any], truth: npt.NDArray[Any], labels: Labels) -> npt.NDArray[Any]:
    """The predicted label map, with the value to ignore where the truth has it: it is of no region."""
    return predicted if labels.ignore is None else np.where(truth == labels.ignore, truth, predicted)


def box_of(mask: Mask) -> Box:
    """The smallest box that holds the mask; an empty one where nothing is set."""
    flat = _any(mask, 2)
    first, second = _reach(_any(flat, 1)), _reach(_any(flat, 0))
    return first, second, _reach(_any(mask[first, second], 0, 1))


def require_masks(predicted: Mask, truth: Mask, of: str = "") -> None:
    """Hold that both are masks, and of one shape."""
    if predicted.dtype != np.bool_ or truth.dtype != np.bool_:
        raise TypeError(f"{of}masks are boolean, these are {predicted.dtype} and {truth.dtype}")
    require_one_shape(predicted, truth, of)


def require_one_shape(predicted: npt.NDArray[Any], truth: npt.NDArray[Any], of: str = "") -> None:
    """Hold that both are of one grid, as far as shapes tell."""
    if predicted.shape != truth.shape:
        raise DataError(
            f"{of}the prediction has shape {predicted.shape}, the truth {truth.shape}; "
            "compare them on one grid, that of the truth"
        )


def _any(mask: Mask, *axes: int) -> Mask:
    found: Mask = np.logical_or.reduce(mask, axis=axes)
    return found


def _reach(line: Mask) -> slice:
    """From the first that is set to the last."""
    places = np.flatnonzero(line)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
