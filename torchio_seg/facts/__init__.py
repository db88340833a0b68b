"""What whole files hold, found by one strict reading each and remembered until a file changes.

Reading a data set takes minutes; whether a file changed is told by its path, size and time of change. What was found is
kept in the user's cache folder, one small JSON file for each folder of scans; it does not depend on any setting.
"""

from torchio_seg.facts.memory import cache_folder
from torchio_seg.facts.reading import label_values, read_facts, recall_facts, watch
from torchio_seg.facts.record import Facts

__all__ = ["Facts", "cache_folder", "label_values", "read_facts", "recall_facts", "watch"]
