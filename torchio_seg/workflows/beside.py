"""What goes on beside a case that is predicted, where memory has room: the next one is read, the last one written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torchio_seg.volumes.scratch import HELD_BYTES
from torchio_seg.volumes.source import SLAB_BYTES

if TYPE_CHECKING:
    from torchio_seg.volumes.scan import Scan
    from torchio_seg.workflows.budgets import Fitting
    from torchio_seg.workflows.overlap import Ahead
    from torchio_seg.workflows.predict_case import Opened

log = logging.getLogger(__name__)

READING_BYTES = HELD_BYTES * 3 // 2 + 4 * SLAB_BYTES
"""What a case that is read ahead takes at most: its voxels as stored, half as much again while those of DICOM are
narrowed, and slabs."""


class Beside:
    """Decides it anew for each case, by the reckoning of what that takes."""

    def __init__(
        self, fitting: Fitting, reading: Ahead[Opened], end_writing: Callable[[], None], *, probabilities: bool
    ) -> None:
        """`end_writing`: waits for the files of the last case."""
        self._fitting = fitting
        self._reading = reading
        self._end_writing = end_writing
        self._probabilities = probabilities
        self._writing_bytes = 0
        """That the files of the last case may take while they are written."""
        self._is_told = False

    def __call__(self, scan: Scan) -> int:
        """Begin what there is room for beside this case; the bytes that it may take."""
        has_room = partial(self._fitting.has_room_beside, scan, probabilities=self._probabilities)
        reading = 0 if self._reading.is_over else READING_BYTES
        both = reading + self._writing_bytes
        self._writing_bytes = self._fitting.writing_bytes(scan, probabilities=self._probabilities)
        if has_room(both):
            self._reading.begin()
            return both
        self._end_writing()
        if has_room(reading):
            self._reading.begin()
            return reading
        if not self._is_told and not self._reading.is_over:
            log.info("memory has no room for the next volume beside %s: it is read in its turn", scan.path.name)
            self._is_told = True
        return 0
