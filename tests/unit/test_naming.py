"""What a region is in codes: by what its annotation states, its name, or in general."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts

from dicomnode.dicom.codes import (
    ANATOMICAL,
    LESION,
    MORPHOLOGICALLY_ABNORMAL,
    TISSUE,
    category_of,
    category_to_write,
    is_gross_tumour,
    to_sct,
)
from dicomnode.dicom.labels import BILATERAL, LEFT, RIGHT, key_of, words_of
from dicomnode.dicom.naming import Coded, Named, codes_for, name_of, read_tables
from dicomnode.dicom.prompts.region import Codes
from dicomnode.domain import Code

TABLES = read_tables()
NOTHING = Codes()
CONCEPTS: dict[str, Any] = concepts
DICTIONARY = {
    Code(value=value, scheme=scheme, meaning=meaning)
    for scheme, keywords in CONCEPTS.items()
    for values in keywords.values()
    for value, (meaning, groups) in values.items()
    if groups  # a context group of PS3.16 has it
}
KIDNEY = Code(value="64033007", scheme="SCT", meaning="Kidney")
LIVER = Code(value="10200004", scheme="SCT", meaning="Liver")


def sct(value: str, meaning: str = "what it is called") -> Code:
    return Code(value=value, scheme="SCT", meaning=meaning)


def named(label: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the meanings of type and side, None where the name is in no table."""
    found = name_of(label, TABLES)
    return (found.type.meaning, tuple(modifier.meaning for modifier in found.modifiers)) if found else None


def coded(label: str, stated: Codes = NOTHING, *, is_target: bool = False) -> Coded:
    return codes_for(label, stated, is_target=is_target, tables=TABLES)


@pytest.mark.parametrize(
    "label",
    [
        "Lt Kidney",
        "kidney_left",
        "Kidney_L",
        "KIDNEY LEFT",
        "Niere li",
        "Niere li.",
        "linke Niere",
        "kidney-l",
        "KidneyL",
        "LtKidney",
        "L kidney",
        " kidney,  left ",
        "Kidney (L)",
        "rein gauche",
        "Rein G",
        "riñón izq.",
        "RIN\u0303O\u0301N IZQUIERDO",
        "ren sin",
    ],
)
def test_a_left_kidney_is_known_however_it_is_written(label: str) -> None:
    assert named(label) == ("Kidney", ("Left",))


@pytest.mark.parametrize(
    ("label", "meaning", "side"),
    [
        ("Lung_R", "Lung", "Right"),
        ("Lung_LUL", "Upper lobe of lung", "Left"),
        ("Parotid_L", "Parotid gland", "Left"),
        ("OpticNrv_R", "optic nerve", "Right"),
        ("Femur_Head_L", "Femoral head", "Left"),
        ("A_Carotid_L", "Carotid Artery", "Left"),
        ("Glnd_Submand_R", "Submandibular gland", "Right"),
        ("Lobe_Temporal_L", "Temporal lobe", "Left"),
        ("SpinalCord", "Spinal cord", None),
        ("BrainStem", "Brain Stem", None),
        ("A_Aorta_Asc", "Ascending aorta", None),
        ("V_Venacava_I", "Inferior vena cava", None),
        ("Bowel_Small", "Small intestine", None),
        ("SeminalVes", "Seminal Vesicle", None),
        ("Ventricle_L", "Left ventricle", None),
    ],
)
def test_names_of_radiotherapy_are_known(label: str, meaning: str, side: str | None) -> None:
    assert named(label) == (meaning, (side,) if side else ())


@pytest.mark.parametrize(
    ("label", "meaning", "side"),
    [
        ("adrenal_gland_right", "Adrenal gland", "Right"),
        ("lung_upper_lobe_left", "Upper lobe of lung", "Left"),
        ("lung_middle_lobe_right", "Middle lobe of right lung", None),
        ("vertebrae_L1", "L1 vertebra", None),
        ("vertebrae_T12", "T12 vertebra", None),
        ("iliac_artery_left", "Iliac artery", "Left"),
        ("iliac_vena_right", "Iliac vein", "Right"),
        ("brachiocephalic_vein_left", "Innominate vein", "Left"),
        ("rib_left_11", "Rib", "Left"),
        ("heart_atrium_left", "Left atrium", None),
        ("clavicula_right", "Clavicle", "Right"),
        ("urinary_bladder", "Bladder", None),
        ("costal_cartilages", "Costal Cartilage", None),
    ],
)
def test_names_of_totalsegmentator_are_known(label: str, meaning: str, side: str | None) -> None:
    assert named(label) == (meaning, (side,) if side else ())


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("Leber", "Liver"),
        ("foie", "Liver"),
        ("Hígado", "Liver"),
        ("Rückenmark", "Spinal cord"),
        ("Rueckenmark", "Spinal cord"),
        ("moelle épinière", "Spinal cord"),
        ("Steißbein", "Coccyx"),
        ("STEISSBEIN", "Coccyx"),
        ("cœur", "Heart"),
        ("LWK 1", "L1 vertebra"),
        ("BWK12", "T12 vertebra"),
        ("vejiga", "Bladder"),
        ("L Spine", "Lumbar spine"),
        ("Metastase", "Neoplasm, Secondary"),
    ],
)
def test_everyday_names_are_known(label: str, meaning: str) -> None:
    assert named(label) == (meaning, ())


@pytest.mark.parametrize("label", ["Kidneys", "both kidneys", "kidney bilateral", "beide Nieren", "Nieren bds"])
def test_names_of_both_sides_are_bilateral(label: str) -> None:
    assert named(label) == ("Kidney", ("Bilateral",))


@pytest.mark.parametrize(
    "label",
    [
        "",
        " _-. ",
        "L",
        "left",
        "heart attack risk",
        "kidney 2",
        "kidney L R",
        "kidneyl",
        "KIDNEYL",
        "kidny",
        "left liver",
        "Liver L",
        "der Hoden",
        "sin riñón",
        "Lungs-GTV",
        "Kidney_L_PRV",
        "~Liver",
        "L1",
        "T1",
        "Radius",
        "caudate",
        "vertebrae_T1_1",
        "vertebrae_L6",
        "Bowel_Bag",
        "PTV_High",
        "Segment 1",
    ],
)
def test_what_is_no_whole_name_names_nothing(label: str) -> None:
    assert named(label) is None


def test_anatomy_is_never_part_of_a_longer_name() -> None:
    for name in TABLES.names:
        assert name_of(f"{name} attack risk", TABLES) is None


SPELT = {
    LEFT: ["{} L", "{}_l", "{}-Lt", "Left {}", "{} LEFT", "li {}", "{}.li", "{} gauche", "{} izq", "{} sin"],
    RIGHT: ["{} R", "{}_r", "{}-Rt", "Right {}", "{} RIGHT", "re {}", "{}.re", "{} droit", "{} der", "{} dex"],
}


@given(st.sampled_from(sorted(TABLES.paired)), st.sampled_from([LEFT, RIGHT]), st.data())
def test_every_paired_name_bears_either_side_in_every_spelling(name: str, side: Code, data: st.DataObject) -> None:
    spelt = data.draw(st.sampled_from(SPELT[side])).format(name)
    plain = TABLES.names[name]
    found = name_of(spelt, TABLES)
    assert found is not None
    assert (found.type, found.category, found.colour) == (plain.type, plain.category, plain.colour)
    assert found.modifiers == (side,)


@given(st.text())
def test_any_text_has_one_key_that_is_its_own(text: str) -> None:
    key = key_of(words_of(text))
    assert key_of(words_of(key)) == key
    name_of(text, TABLES)


def test_numbers_stay_apart() -> None:
    assert key_of(["t", "1", "1"]) != key_of(["t", "11"])


@pytest.mark.parametrize("entry", TABLES.types.values(), ids=lambda entry: entry.type.meaning)
def test_every_shipped_code_stands_in_the_dictionary_of_dicom(entry: Named) -> None:
    assert entry.type in DICTIONARY
    assert entry.category in (ANATOMICAL, MORPHOLOGICALLY_ABNORMAL, TISSUE)


def test_the_meaning_of_each_code_is_a_name_but_for_words_that_mean_more() -> None:
    types = [entry.type for entry in TABLES.types.values()]
    assert [kind.meaning for kind in types if named(kind.meaning) != (kind.meaning, ())] == ["Radius"]


def test_the_shipped_structures_are_many_and_have_colours() -> None:
    assert len(TABLES.types) >= 120
    assert [entry.type.meaning for entry in TABLES.types.values() if entry.colour is None] == []


def test_stated_codes_come_first() -> None:
    stated = Codes(category=ANATOMICAL, type=KIDNEY, modifiers=(RIGHT,), sites=(LIVER,))
    assert coded("Leber", stated, is_target=True) == Coded(
        category=ANATOMICAL,
        type=KIDNEY,
        modifiers=(RIGHT,),
        sites=(LIVER,),
        colour=TABLES.types["64033007", "SCT"].colour,
    )


def test_a_name_counts_where_no_type_is_stated() -> None:
    found = coded("Niere re", is_target=True)
    assert (found.category, found.type, found.modifiers) == (ANATOMICAL, KIDNEY, (RIGHT,))
    assert found.colour is not None


def test_a_target_without_a_known_name_is_a_lesion() -> None:
    assert coded("Ziel 3", is_target=True) == Coded(category=MORPHOLOGICALLY_ABNORMAL, type=LESION)


@pytest.mark.parametrize("label", ["GTV", "GTVp", "GTVn_01", "gtv-1", "GTV_High", "GTV 2", " GTVsb", "GTV1"])
def test_a_gross_tumour_volume_is_a_lesion_by_its_name(label: str) -> None:
    assert is_gross_tumour(label)
    assert coded(label).type == LESION


@pytest.mark.parametrize("label", ["CTV", "PTV_High", "CTVp", "PTV1", "ITV", "GTVoid", "no GTV", "Ziel 3"])
def test_what_is_planned_or_unknown_is_tissue(label: str) -> None:
    assert coded(label) == Coded(category=TISSUE, type=TISSUE)


def test_sites_are_kept_beside_a_general_type() -> None:
    assert coded("x", Codes(sites=(LIVER,)), is_target=True).sites == (LIVER,)


def test_the_name_tells_the_side_of_a_stated_structure_that_it_names() -> None:
    assert coded("Kidney_L", Codes(type=KIDNEY)).modifiers == (LEFT,)
    assert coded("Lung_L", Codes(type=KIDNEY)).modifiers == ()


def test_older_codes_are_written_as_snomed_ct() -> None:
    old = Codes(
        type=Code(value="T-71000", scheme="SRT", meaning="Kidney"),
        modifiers=(Code(value="G-A101", scheme="SNM3", meaning="Left"),),
        sites=(Code(value="T-62000", scheme="99SDM", meaning="Liver"),),
    )
    found = coded("x", old)
    assert (found.type, found.category, found.modifiers, found.sites) == (KIDNEY, ANATOMICAL, (LEFT,), (LIVER,))


@pytest.mark.parametrize(
    "code", [KIDNEY, Code(value="T-71000", scheme="99X", meaning="x"), Code(value="T-?", scheme="SRT", meaning="x")]
)
def test_what_is_no_older_code_stays(code: Code) -> None:
    assert to_sct(code) == code


@pytest.mark.parametrize(("value", "scheme"), [("123037004", "SCT"), ("91723000", "SCT"), ("T-D000A", "SRT")])
def test_every_code_for_anatomy_is_written_as_the_one_of_dicom(value: str, scheme: str) -> None:
    written = category_to_write(Code(value=value, scheme=scheme, meaning="Anatomical Structure"))
    assert written == ANATOMICAL


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        (KIDNEY, ANATOMICAL),
        (sct("18234004", "optic nerve"), ANATOMICAL),
        (sct("108369006", "Neoplasm"), MORPHOLOGICALLY_ABNORMAL),
        (sct("55603005", "Fat"), TISSUE),
        (sct("65818007", "Stent"), sct("260787004", "Physical object")),
        (sct("1", "nothing"), None),
    ],
)
def test_the_category_of_a_type_is_that_of_its_context_group(kind: Code, category: Code | None) -> None:
    assert category_of(kind) == category


def test_a_stated_type_of_unknown_category_is_abnormal_in_a_target_else_tissue() -> None:
    own = Codes(type=Code(value="X1", scheme="99SITE", meaning="x"))
    assert coded("x", own, is_target=True).category == MORPHOLOGICALLY_ABNORMAL
    assert coded("x", own).category == TISSUE


def test_sides_are_the_codes_of_dicom() -> None:
    assert [code.value for code in (LEFT, RIGHT, BILATERAL)] == ["7771000", "24028007", "51440002"]
