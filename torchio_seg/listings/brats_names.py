"""How the files of a BraTS case end, and the channels that they hold."""

from __future__ import annotations

LABEL = "label"
OLD = {"flair": "FLAIR", "t1": "T1w", "t1ce": "T1gd", "t2": "T2w", "seg": LABEL, "segm": LABEL}
"""After `_`, from 2018 to 2021; one case of 2020 has its segmentation under `_Segm`."""
NEW = {"t2f": "FLAIR", "t1n": "T1w", "t1c": "T1gd", "t2w": "T2w", "seg": LABEL}
"""After `-`, from 2023 on."""
