"""How DICOM calls what is segmented: coded terms for names of classes, from a short table that is known to be right.

The codes are those of SNOMED CT as the standard's context groups 7150, 7151, 7159 and 244 list them (DICOM PS3.16). A
name that is not in the table, nor in the model's own settings, is coded as "Anatomical Structure", nothing more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Code:
    """A term of a terminology."""

    value: str
    scheme: str
    """SCT is SNOMED CT."""
    meaning: str


@dataclass(frozen=True)
class Coding:
    """What a segment is, in coded terms."""

    category: Code
    type: Code
    side: Code | None = None
    """Which of a pair it is."""
    region: Code | None = None
    """Where a lesion lies."""
    is_known: bool = True
    """Whether the name told; if not, this is what can be said of anything."""

    def __str__(self) -> str:
        side = f", {self.side.meaning.lower()}" if self.side else ""
        region = f" of {self.region.meaning.lower()}" if self.region else ""
        return f"{self.type.meaning}{region}{side} ({self.type.scheme} {self.type.value})"


ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
LESION = Code("49755003", "SCT", "Morphologically Abnormal Structure")
CATEGORIES = {"anatomy": ANATOMY, "lesion": LESION}
SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}
_SIDE_WORDS = {"left": "left", "l": "left", "right": "right", "r": "right"}
_UNKNOWN = Coding(ANATOMY, ANATOMY, is_known=False)

_ORGANS = """
64033007  Kidney
10200004  Liver
78961009  Spleen
15776009  Pancreas
28231008  Gallbladder
32849002  Esophagus           oesophagus
69695003  Stomach
15825003  Aorta
64131007  Inferior vena cava  ivc
32764006  Portal vein
35819009  Splenic vein
8993003   Hepatic vein
81040000  Pulmonary artery
23451007  Adrenal gland       adrenal
38848004  Duodenum
30315005  Small intestine     small bowel
71854001  Colon
34402009  Rectum
89837001  Bladder             urinary bladder
41216001  Prostate
64739004  Seminal Vesicle
35039007  Uterus
39607008  Lung
44567001  Trachea
80891009  Heart
82471001  Left atrium
73829009  Right atrium
87878005  Left ventricle
53085002  Right ventricle
2748008   Spinal cord         cord
12738006  Brain
119238007 Brain Stem
113305005 Cerebellum
5366008   Hippocampus
69748006  Thyroid             thyroid gland
45289007  Parotid gland       parotid
81745001  Eye
91609006  Mandible
71341001  Femur
"""
_LESIONS = """
108369006 Neoplasm            tumor; tumour; cancer
52988006  Lesion
79654002  Edema               oedema; peritumoral edema; peritumoral oedema
6574001   Necrosis            necrotic core
367643001 Cyst
27925004  Nodule
50960005  Hemorrhage          haemorrhage
"""
_ENHANCING = Code("C113842", "NCIt", "Enhancing Lesion")
_NON_ENHANCING = Code("C81175", "NCIt", "Non-Enhancing Lesion")
_TUMOUR_PARTS = {
    "whole tumor": Code("108369006", "SCT", "Neoplasm"),
    "enhancing tumor": _ENHANCING,
    "non enhancing tumor": _NON_ENHANCING,
}
"""Of BraTS and the Decathlon's first task. The tumour core has no code of its own in the context groups."""
_IN_AN_ORGAN = {"tumor", "tumour", "cancer", "lesion", "cyst", "nodule"}


def coding_of(name: str, own: Mapping[str, Coding] | None = None) -> Coding:
    """The terms for a class of this name: what the settings say, else the table, else "Anatomical Structure"."""
    if own and name in own:
        return own[name]
    words = _words(name)
    if found := _TABLE.get(" ".join(words)):
        return found
    for place in (0, -1):
        if len(words) > 1 and (side := _SIDE_WORDS.get(words[place])):
            rest = " ".join(words[1:] if place == 0 else words[:-1])
            if rest in _TABLE:
                return replace(_TABLE[rest], side=SIDES[side])
    organ = _TABLE.get(" ".join(words[:-1]))
    if words[-1:] and words[-1] in _IN_AN_ORGAN and organ and organ.category == ANATOMY:
        return replace(_TABLE[words[-1]], region=organ.type)
    return _UNKNOWN


def _words(name: str) -> list[str]:
    """The words of a name in lower case, however they are joined: left_kidney, Kidney-L, SpinalCord."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z0-9]+", parted.lower())


def _read(table: str, category: Code) -> dict[str, Coding]:
    """The terms of a table by their meanings and by their other names."""
    found: dict[str, Coding] = {}
    for line in table.strip().splitlines():
        value, rest = line.split(maxsplit=1)
        meaning, *others = re.split(r"\s{2,}", rest.strip())
        coding = Coding(category, Code(value, "SCT", meaning))
        names = [meaning, *(others[0].split("; ") if others else ())]
        found |= {" ".join(_words(each)): coding for each in names}
    return found


_TABLE = {
    **_read(_ORGANS, ANATOMY),
    **_read(_LESIONS, LESION),
    **{name: Coding(LESION, code) for name, code in _TUMOUR_PARTS.items()},
    **{name.replace("tumor", "tumour"): Coding(LESION, code) for name, code in _TUMOUR_PARTS.items()},
}
