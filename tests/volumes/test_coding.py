import pytest
from pydicom.sr.codedict import codes

from torchio_seg.volumes.coding import _TABLE, ANATOMY, LESION, SIDES, Code, Coding, coding_of

KNOWN = tuple(dict.fromkeys(coding.type for coding in _TABLE.values()))


def terms(group: object) -> set[tuple[str, str]]:
    """Codes of a terminology or of a context group of the standard, as pydicom ships them, with their meanings."""
    found = (getattr(group, name) for name in dir(group))
    return {(term.value, term.meaning.casefold()) for term in found if hasattr(term, "meaning")}


def test_every_code_means_in_the_standard_what_it_means_here() -> None:
    standard = {scheme: terms(getattr(codes, scheme)) for scheme in ("SCT", "NCIt")}
    for code in (*KNOWN, ANATOMY, LESION, *SIDES.values()):
        assert (code.value, code.meaning.casefold()) in standard[code.scheme], code


def test_every_term_is_one_that_the_standard_suggests_for_its_place() -> None:
    types = {value for group in (codes.cid7151, codes.cid7159) for value, _ in terms(group)}
    assert [code for code in KNOWN if code.value not in types] == []
    assert {ANATOMY.value, LESION.value} <= {value for value, _ in terms(codes.cid7150)}
    assert {side.value for side in SIDES.values()} <= {value for value, _ in terms(codes.cid244)}


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [
        ("liver", "10200004", None),
        ("Liver", "10200004", None),
        ("left kidney", "64033007", "left"),
        ("kidney_right", "64033007", "right"),
        ("Lung_L", "39607008", "left"),
        ("SpinalCord", "2748008", None),
        ("oesophagus", "32849002", None),
        ("inferior_vena_cava", "64131007", None),
        ("left atrium", "82471001", None),
        ("left adrenal gland", "23451007", "left"),
        ("enhancing_tumor", "C113842", None),
        ("whole_tumour", "108369006", None),
    ],
)
def test_names_are_found_however_they_are_written(name: str, value: str, side: str | None) -> None:
    coding = coding_of(name)
    assert (coding.type.value, coding.side, coding.is_known) == (value, SIDES[side] if side else None, True)


def test_a_tumour_of_an_organ_is_a_neoplasm_there() -> None:
    coding = coding_of("liver tumor")
    assert (coding.category, coding.type.value) == (LESION, "108369006")
    assert coding.region == coding_of("liver").type
    assert str(coding) == "Neoplasm of liver (SCT 108369006)"


@pytest.mark.parametrize("name", ["tumor core", "Anterior", "left", "liver vessel", "7", "", "left liver x"])
def test_a_name_that_tells_nothing_is_an_anatomical_structure_and_known_as_a_guess(name: str) -> None:
    coding = coding_of(name)
    assert (coding.category, coding.type, coding.side, coding.is_known) == (ANATOMY, ANATOMY, None, False)


def test_settings_go_before_the_table() -> None:
    own = Coding(ANATOMY, Code("1", "99ME", "My liver"))
    assert coding_of("liver", {"liver": own}) == own
    assert coding_of("Liver", {"liver": own}).type.value == "10200004", "names of classes are what they are"
