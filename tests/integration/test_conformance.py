"""The conformance statement says what a running node does."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import (
    UID,
    ColorSoftcopyPresentationStateStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicomnode.conformance.created import OF_COLOURS, Made, make_objects
from dicomnode.conformance.statement import statement_of
from dicomnode.dicom.conformity.seen import sources_of
from dicomnode.dicom.conformity.variants import Study, write_studies
from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from dicomnode.domain import ObjectKind, SegType
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Listener
from dicomnode.network.sender import send
from dicomnode.settings.profiles import FORMS
from tests.senders import Notes

ENOUGH = 128  # contexts of an association, PS3.8 9.3.2.2


@pytest.fixture(scope="module")
def made() -> tuple[Made, ...]:
    return make_objects()


@pytest.fixture(scope="module")
def text(made: tuple[Made, ...]) -> str:
    return statement_of(made)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Study, Study]:
    return write_studies(tmp_path_factory.mktemp("studies"))


def rows_after(text: str, words: str) -> list[list[str]]:
    """Return the rows of the first table that stands behind `words`, without its headings."""
    lines = text.partition(words)[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| ---"))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("| ").split(" | ")])
    return found


def proposing(listener: Listener, contexts: list[PresentationContext]) -> Association:
    ae = AE("SENDER")
    ae.requested_contexts = contexts
    assoc = ae.associate("127.0.0.1", listener.port)
    assert assoc.is_established
    assoc.release()
    return assoc


@contextmanager
def listening(requested: list[Association]) -> Iterator[Peer]:
    """Lend a PACS that notes what it is asked for and takes nothing but segmentations in Explicit VR."""
    ae = AE("PACS")
    for name in (SegmentationStorage, LabelMapSegmentationStorage):
        ae.add_supported_context(name, ExplicitVRLittleEndian)
    server = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[
            (evt.EVT_REQUESTED, lambda event: requested.append(event.assoc)),
            (evt.EVT_C_STORE, lambda _event: 0x0000),
        ],
    )
    assert server is not None  # it does not block
    yield Peer(ae_title="PACS", host="127.0.0.1", port=server.server_address[1])
    server.shutdown()


def test_a_running_listener_accepts_the_classes_of_the_statement_in_the_syntax_it_prefers(
    text: str, start: Callable[..., Listener]
) -> None:
    listener = start(Notes().hooks())
    classes = [row[1] for row in rows_after(text, "### 8.7")]
    syntaxes = [row[2] for row in rows_after(text, "###### 4.2.1.4.1")]
    assert (len(set(classes)), len(set(syntaxes))) == (170, 45)
    accepted = {}
    for first in range(0, len(classes), ENOUGH):
        contexts = [build_context(uid, [*reversed(syntaxes)]) for uid in classes[first : first + ENOUGH]]
        for context in proposing(listener, contexts).accepted_contexts:
            accepted[str(context.abstract_syntax)] = context.transfer_syntax
    assert accepted == {uid: [syntaxes[0]] for uid in classes}


def test_a_running_listener_accepts_each_syntax_of_the_statement(text: str, start: Callable[..., Listener]) -> None:
    listener = start(Notes().hooks())
    syntaxes = [row[2] for row in rows_after(text, "###### 4.2.1.4.1")]
    assoc = proposing(listener, [build_context(CTImageStorage, uid) for uid in syntaxes])
    assert [context.transfer_syntax for context in assoc.accepted_contexts] == [[uid] for uid in syntaxes]


def test_a_running_listener_accepts_nothing_else(start: Callable[..., Listener]) -> None:
    others = ("1.2.826.0.1.3680043.8.498.7", "1.2.840.10008.1.20.1", "1.2.840.10008.5.1.4.1.2.2.1")
    assoc = proposing(start(Notes().hooks()), [build_context(uid) for uid in (CTImageStorage, *others)])
    assert {str(context.abstract_syntax) for context in assoc.rejected_contexts} == set(others)


def test_a_running_listener_says_of_itself_what_the_statement_says(text: str, start: Callable[..., Listener]) -> None:
    assoc = proposing(start(Notes().hooks()), [build_context(CTImageStorage)])
    said = {row[0]: row[1] for row in rows_after(text, "###### 4.2.1.2.1")}
    assert said["Maximum PDU size that it announces"] == f"{assoc.acceptor.maximum_length} bytes"
    assert said["Implementation Class UID"] == str(assoc.acceptor.implementation_class_uid)
    assert said["Implementation Version Name"] == assoc.acceptor.implementation_version_name
    assert assoc.acceptor.asynchronous_operations == (1, 1)


@pytest.mark.parametrize("seg_type", SegType)
def test_the_sender_proposes_what_the_statement_says(text: str, seg_type: SegType, tmp_path: Path) -> None:
    rows = [row for row in rows_after(text, "###### 4.2.2.3.1") if row[0] == f"Segmentation, {seg_type}"]
    wanted = re.findall("`(.+?)`", str(rows))
    assert wanted == [word for word, form in FORMS.items() if form.type is seg_type and word != seg_type.lower()]
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(rows[0][1].rpartition(", ")[2]), UID("1.2.3")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(tmp_path / "seg.dcm", ds, enforce_file_format=True)
    requested: list[Association] = []
    with listening(requested) as pacs:
        send(tmp_path / "seg.dcm", pacs, "DICOMNODE", [FORMS[word].syntax for word in wanted])
        send(tmp_path / "seg.dcm", pacs, "DICOMNODE")
    said = [(row[1].rpartition(", ")[2], [row[2].rpartition(", ")[2]]) for row in rows]
    assert proposed_in(requested[0]) == said
    assert proposed_in(requested[1]) == [one for one, row in zip(said, rows, strict=True) if row[3] == "always"]
    policies = {row[0]: row[1] for row in rows_after(text, "###### 4.2.2.2.1")}
    assert policies["Maximum PDU size that it announces"] == f"{requested[0].requestor.maximum_length} bytes"


def proposed_in(assoc: Association) -> list[tuple[str, list[str]]]:
    """Return the contexts that were proposed: the class, and the syntaxes."""
    return [
        (str(context.abstract_syntax), [str(uid) for uid in context.transfer_syntax])
        for context in assoc.requestor.requested_contexts
    ]


def test_every_kind_of_object_that_can_be_made_is_described(text: str, made: tuple[Made, ...]) -> None:
    others = [(kind, None) for kind in ObjectKind if kind is not ObjectKind.SEG]
    assert [(one.kind, one.type) for one in made] == [*((ObjectKind.SEG, one) for one in SegType), *others]
    assert OF_COLOURS[1] == ColorSoftcopyPresentationStateStorage
    assert {row[2] for row in rows_after(text, "##### 4.2.2.1")} == {
        *(one.contents.sop_class_uid for one in made),
        OF_COLOURS[1],
    }
    assert re.findall(r"^##### 8\.1\.1\.\d+ (.+?):", text, flags=re.MULTILINE) == [one.title for one in made]


@pytest.mark.parametrize(
    ("attribute", "presence", "source", "value"),
    [
        ("Patient ID", "VNAP", "COPY", ""),
        ("Patient's Age", "ANAP", "COPY", ""),
        ("Study Instance UID", "ALWAYS", "COPY", ""),
        ("Frame of Reference UID", "ALWAYS", "COPY", ""),
        ("Specific Character Set", "ALWAYS", "FIXED", "ISO_IR 192"),
        ("Modality", "ALWAYS", "FIXED", "SEG"),
        ("Manufacturer", "ALWAYS", "FIXED", "dicomnode"),
        ("Device Serial Number", "ALWAYS", "CONFIG", ""),
        ("Device UID", "ALWAYS", "AUTO", ""),
        ("SOP Instance UID", "ALWAYS", "AUTO", ""),
        ("Content Date", "ALWAYS", "AUTO", ""),
        ("Lossy Image Compression", "ALWAYS", "COPY", ""),
        ("Lossy Image Compression Ratio", "ANAP", "COPY", ""),
        ("Segments Overlap", "ALWAYS", "AUTO", ""),
        (">> Segmented Property Type Modifier Code Sequence", "ANAP", "AUTO", ""),
        ("> Segment Algorithm Type", "ALWAYS", "FIXED", "SEMIAUTOMATIC"),
        ("> Segment Algorithm Name", "ALWAYS", "AUTO", ""),
        (">> Algorithm Family Code Sequence", "ALWAYS", "AUTO", ""),
        (">> Image Position (Patient)", "ALWAYS", "COPY", ""),
        (">>> Referenced SOP Instance UID", "ALWAYS", "COPY", ""),
    ],
)
def test_where_attributes_of_a_segmentation_come_from(
    text: str, attribute: str, presence: str, source: str, value: str
) -> None:
    part = text.partition("##### 8.1.1.1 ")[2].partition("\n##")[0]
    (row,) = {line for line in part.splitlines() if line.startswith(f"| {attribute} |")}
    assert [cell.strip() for cell in row.split("|")[5:8]] == [presence, source, value]


def test_no_result_has_private_attributes_or_such_as_its_iod_lacks(made: tuple[Made, ...]) -> None:
    assert [(one.contents.private, one.contents.extended) for one in made] == [(0, ())] * len(made)


def test_nothing_else_is_called_fixed_that_may_as_well_be_copied(made: tuple[Made, ...]) -> None:
    known = {"InstanceNumber", "PhotometricInterpretation", "PixelRepresentation", "SamplesPerPixel"}
    of_structure_sets = {"Modality", "SOPClassUID", "ReferencedSOPClassUID", "ContourGeometricType"}  # as their source
    for one in made:
        assert set(one.contents.alike) <= known | (of_structure_sets if one.kind is ObjectKind.RTSTRUCT else set())


def test_the_full_studies_have_no_value_in_common_but_what_images_must_have(
    studies: tuple[Study, Study, Study],
) -> None:
    first, second = (sources_of(study.images, "").values for study in studies[:2])
    common = {keyword for keyword in first.keys() & second.keys() if (first[keyword] & second[keyword]) - {""}}
    assert common <= {
        *("BitsAllocated", "BitsStored", "HighBit", "ImageType", "PhotometricInterpretation", "PixelRepresentation"),
        "SamplesPerPixel",
    }
    assert len(first) > 300


def test_the_bare_study_has_no_patient(studies: tuple[Study, Study, Study]) -> None:
    values = sources_of(studies[2].images, "").values
    assert [keyword for keyword in values if keyword.startswith(("Patient", "Study")) and any(values[keyword])] == [
        "StudyInstanceUID"
    ]


@pytest.mark.parametrize(
    ("title", "attribute", "presence", "source"),
    [
        ("Presentation state", "Rescale Intercept", "ALWAYS", "COPY"),
        ("Presentation state", "Rescale Slope", "ALWAYS", "COPY"),
        ("RT structure set", "> ROI Name", "ALWAYS", "COPY"),
        ("RT structure set", ">> Contour Data", "ALWAYS", "AUTO"),
        ("RT structure set", "Approval Status", "ALWAYS", "FIXED"),
        ("Structured report", "Verification Flag", "ALWAYS", "FIXED"),
        ("Secondary capture", "Burned In Annotation", "ALWAYS", "FIXED"),
        ("Segmentation, LABELMAP", "Segmentation Type", "ALWAYS", "FIXED"),
    ],
)
def test_where_attributes_of_other_results_come_from(
    text: str, title: str, attribute: str, presence: str, source: str
) -> None:
    (part,) = re.findall(rf"^##### 8\.1\.1\.\d+ {title}:.*?(?=^####)", text, flags=re.MULTILINE | re.DOTALL)
    (row,) = {line for line in part.splitlines() if line.startswith(f"| {attribute} |")}
    assert [cell.strip() for cell in row.split("|")[5:7]] == [presence, source]


def test_a_module_that_an_object_has_not_is_not_said_of_it(text: str) -> None:
    (part,) = re.findall(r"^##### 8\.1\.1\.\d+ Secondary capture:.*?(?=^####)", text, flags=re.MULTILINE | re.DOTALL)
    assert "**Image Plane**" not in part
    assert "| Pixel Spacing |" in part.partition("**SC Image**")[2]
