"""The door of this room: read a volume's file strictly, write one atomically, whatever its format."""

from torchio_seg.volumes.header import Geometry
from torchio_seg.volumes.names import stem
from torchio_seg.volumes.reading import Volume, read, read_geometry, read_label, whole_values
from torchio_seg.volumes.writing import create, draft_like, write_like

__all__ = [
    "Geometry",
    "Volume",
    "create",
    "draft_like",
    "read",
    "read_geometry",
    "read_label",
    "stem",
    "whole_values",
    "write_like",
]
