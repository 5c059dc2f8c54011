"""What a conformance statement says of objects: which are read, and where the attributes of made ones come from."""

from collections.abc import Sequence

import pytest
from pydicom import Dataset

from dicomnode.conformance.markdown import table
from dicomnode.dicom.conformity.abilities import Use, character_sets, reads_pixels, use_of
from dicomnode.dicom.conformity.comparing import Comparison, Presence, Source
from dicomnode.dicom.conformity.modules import modules_of
from dicomnode.dicom.conformity.seen import Keywords, Seen, Sources

CODE = {"CodeValue": "113076", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Segmentation"}


def item(**elements: object) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def compared(*objects: Dataset, sources: Sequence[dict[str, set[str]]] = ({}, {})) -> Comparison:
    return Comparison(
        seen=[Seen.of(ds) for ds in objects],
        sources=[Sources(values=values, serial_number=f"serial {n}") for n, values in enumerate(sources)],
        types={},
    )


def told(keyword: str, values: Sequence[str | None], sources: Sequence[str | None]) -> tuple[Presence, Source]:
    """Return what is said of `keyword` with these values in the objects and the sources, None where it is absent."""
    objects = [item(**({} if value is None else {keyword: value})) for value in values]
    row = compared(*objects, sources=[{keyword: {value}} if value else {} for value in sources]).row((keyword,))
    return row.presence, row.source


@pytest.mark.parametrize(
    ("values", "sources", "presence", "source"),
    [
        (("A", "B", "C"), ("A", "B"), "ALWAYS", "COPY"),
        (("A", "B", ""), ("A", "B"), "VNAP", "COPY"),
        (("A", "B", None), ("A", "B"), "ANAP", "COPY"),
        (("A", None, None), ("A", None), "ANAP", "COPY"),
        (("A", "A", "A"), ("X", "Y"), "ALWAYS", "FIXED"),
        (("A", "A", None), ("X", "Y"), "ANAP", "FIXED"),
        (("A", "A", "B"), ("X", "Y"), "ALWAYS", "AUTO"),
        (("A", "B", "C"), ("A", "C"), "ALWAYS", "AUTO"),
        ((None, None, "A"), (None, None), "ANAP", "AUTO"),
        (("serial 0", "serial 1", "serial 2"), ("X", "Y"), "ALWAYS", "CONFIG"),
        (("", "", ""), ("X", "Y"), "EMPTY", ""),
    ],
)
def test_presence_and_source_of_an_attribute(
    values: Sequence[str | None], sources: Sequence[str | None], presence: str, source: str
) -> None:
    assert told("StudyDescription", values, sources) == (presence, source)


def test_a_reference_is_copied_from_the_identity_of_what_it_names() -> None:
    path: Keywords = ("SourceImageSequence", "ReferencedSOPInstanceUID")
    objects = [item(SourceImageSequence=[item(ReferencedSOPInstanceUID=uid)]) for uid in ("1.2", "1.3", "1.4")]
    found = compared(*objects, sources=[{"ReferencedSOPInstanceUID": {"1.2"}}, {"ReferencedSOPInstanceUID": {"1.3"}}])
    assert list(found.paths()) == [path[:1], path]
    assert (found.row(path).source, found.row(path).depth) == (Source.COPY, 1)


def test_a_code_is_one_value_and_is_not_entered() -> None:
    objects = [item(DerivationCodeSequence=[item(**CODE)]) for _ in range(3)]
    found = compared(*objects)
    assert list(found.paths()) == [("DerivationCodeSequence",)]
    assert found.row(("DerivationCodeSequence",)).fixed == "(113076, DCM, 'Segmentation')"


def test_a_copied_sequence_is_not_entered() -> None:
    objects = [item(IssuerOfPatientIDQualifiersSequence=[item(UniversalEntityID=uid)]) for uid in "ABC"]
    name = "IssuerOfPatientIDQualifiersSequence"
    found = compared(*objects, sources=[{name: {f"UniversalEntityID={uid}"}} for uid in "AB"])
    assert list(found.paths()) == [(name,)]


def test_an_attribute_of_some_items_is_not_always_present() -> None:
    items = [item(SegmentNumber=1, SegmentDescription="first"), item(SegmentNumber=2)]
    found = compared(*(item(SegmentSequence=items) for _ in range(3)))
    assert found.row(("SegmentSequence", "SegmentDescription")).presence is Presence.ANAP
    assert found.row(("SegmentSequence", "SegmentNumber")).presence is Presence.ALWAYS


def test_what_is_called_fixed_and_may_be_copied_is_told() -> None:
    objects = [item(Modality="SEG", SamplesPerPixel=1) for _ in range(3)]
    assert list(compared(*objects, sources=[{"SamplesPerPixel": {"1"}}] * 2).alike()) == ["SamplesPerPixel"]


def test_private_attributes_are_counted() -> None:
    ds = item(PatientID="1")
    ds.private_block(0x0009, "A VENDOR", create=True).add_new(1, "LO", "private")
    assert Seen.of(ds).private == 2


@pytest.mark.parametrize(
    ("uid", "use"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", Use.PLACED),
        ("1.2.840.10008.5.1.4.1.1.6.1", Use.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.481.3", Use.ANNOTATION),
        ("1.2.840.10008.5.1.4.1.1.66.7", Use.ANNOTATION),
        ("1.2.840.10008.5.1.4.1.1.66.8", Use.NONE),  # Height Map Segmentation
        ("1.2.840.10008.5.1.4.1.1.9.100.1", Use.NONE),  # Waveform Presentation State
        ("1.2.840.10008.5.1.4.1.1.88.59", Use.NONE),  # Key Object Selection
        ("1.2.840.10008.5.1.4.1.1.77.1.6", Use.NONE),  # VL Whole Slide Microscopy
    ],
)
def test_what_instances_of_a_class_are_good_for(uid: str, use: Use) -> None:
    assert use_of(uid) is use


@pytest.mark.parametrize(
    ("uid", "read"),
    [
        ("1.2.840.10008.1.2", True),
        ("1.2.840.10008.1.2.1.99", True),
        ("1.2.840.10008.1.2.4.90", True),
        ("1.2.840.10008.1.2.8.1", True),
        ("1.2.840.10008.1.2.4.100", False),
    ],
)
def test_of_which_syntaxes_pixels_are_read(uid: str, *, read: bool) -> None:
    assert reads_pixels(uid) is read


def test_character_sets_are_named_as_the_standard_names_them() -> None:
    assert {"ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87", "GB18030", "GBK"} <= set(character_sets())
    assert "" not in character_sets()


def test_the_modules_of_a_segmentation() -> None:
    modules = modules_of("1.2.840.10008.5.1.4.1.1.66.4")
    assert (modules[0].name, modules[0].usage) == ("Patient", "mandatory")
    assert "PatientID" in modules[0].keywords
    assert {"Frame of Reference", "SOP Common", "Segmentation Multi-frame Functional Groups"} <= {
        module.name for module in modules
    }
    assert modules_of("1.2.3") == ()


def test_a_table_keeps_its_cells_apart_and_says_when_there_is_nothing() -> None:
    assert table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"
    assert table(("a", "b"), []) == "None."
