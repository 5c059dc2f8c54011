"""All kinds of result together: what they are made of stays as it is, no clock plays a part, none tells too much."""

import datetime as dt
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag
from pydicom.uid import SecondaryCaptureImageStorage

from dicomnode.dicom.prompts.written import parse_box
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import Findings, findings_of
from dicomnode.dicom.results.objects import write_objects
from dicomnode.domain import SEG_ONLY, Box, JobOptions, Mask, ObjectKind, SegType, Uid, WrittenObject
from dicomnode.errors import Reason
from dicomnode.network.associations import Peer
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.offline import Wishes, segment_paths
from dicomnode.settings import Destination, Listener, Readiness, Settings
from dicomnode.settings import Node as NodeTable
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox, Loopback
from tests.folders import job_in, planes_of
from tests.reports import evidence_of, groups_of
from tests.values import mask

ALL = JobOptions(objects=tuple(ObjectKind), seg_types=tuple(SegType))


def probable(label: str, rows: slice, columns: slice, *planes: int) -> Mask:
    """Return a mask of this block of pixels on `planes`, with probabilities."""
    inside = np.zeros((32, 40), dtype=bool)
    inside[rows, columns] = True
    values = np.where(inside, np.uint8(200), np.uint8(10))
    return replace(mask(dict.fromkeys(planes, inside), label), probabilities=dict.fromkeys(planes, values))


MASKS = (
    probable("one", slice(5, 9), slice(6, 12), 1, 2),
    probable("other", slice(12, 16), slice(10, 20), 2, 3),
    probable("none", slice(0), slice(0), 2),
)


def found(folder: Path, images: Sequence[Dataset], drawn: Dataset) -> Findings:
    """Save everything into `folder`; return MASKS as what was found there."""
    save([*images, drawn], folder)
    job = job_in(folder)
    return findings_of(MASKS, planes_of(job.images), job.annotation, FillsTheBox().identity, "A-1")


def annotation_on(images: Sequence[Dataset]) -> Dataset:
    return rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]}, references=False)


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    """Return what was found on images with sequences of no stated length, which writers give one (PS3.5 7.5.2)."""
    images = ct_series(BodyPartExamined="CHEST", LossyImageCompression="01", LossyImageCompressionRatio=8)
    for image in images:
        procedure = Dataset()
        procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "1", "99X", "a procedure"
        procedure.is_undefined_length_sequence_item = True
        image.ProcedureCodeSequence = [procedure]
        image["ProcedureCodeSequence"].is_undefined_length = True
    return found(tmp_path, images, annotation_on(images))


def made_in(findings: Findings, kinds: Sequence[ObjectKind]) -> dict[str, WrittenObject]:
    """Return the objects of `kinds`, made in this order, by their UIDs."""
    return {one.sop_instance_uid: one for one in write_objects(findings, replace(ALL, objects=tuple(kinds))).objects}


def state_of(findings: Findings) -> list[bytes]:
    """Return all that writers are given, encoded: headers with their VRs and the forms of sequences, and arrays."""
    pixels = [plane.stored.tobytes() for plane in findings.stack.planes]
    for one in findings.masks:
        pixels += [array.tobytes() for array in (*one.planes.values(), *one.probabilities.values())]
    return [*map(encoded, [*(header.ds for header in findings.headers), findings.drawn]), *pixels]


def encoded(ds: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, ds, "ISO_IR 192")
    return stream.getvalue()


@pytest.mark.parametrize("kind", ObjectKind)
def test_a_writer_changes_nothing_of_what_it_is_given(findings: Findings, kind: ObjectKind) -> None:
    before = state_of(findings)
    assert {one.kind for one in made_in(findings, [kind]).values()} == {kind}
    assert state_of(findings) == before


def test_in_whatever_order_kinds_are_made_they_are_the_same_bytes_each_time(findings: Findings) -> None:
    first = made_in(findings, tuple(ObjectKind))
    check(tuple(first.values()), findings.masks, findings.stack)
    assert len(first) == 2 * len(SegType) + 1 + 3 + 1  # a SEG and an SR of each type, RTSTRUCT, a picture a plane, PR
    assert made_in(findings, tuple(ObjectKind)[::-1]) == first
    assert made_in(findings, tuple(ObjectKind)) == first


class _IsADateTime(type):
    """Lets a clock that is set stand in for the class, of which others have instances already."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL)


_REAL = dt.datetime


def set_clock(monkeypatch: pytest.MonkeyPatch, day: dt.datetime) -> list[object]:
    """Let all modules see `day` as now; return a list that grows with each look at the clock."""
    looks: list[object] = []

    class Set(_REAL, metaclass=_IsADateTime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:  # noqa: ANN401 - the real class
            looks.append(tz)
            return day.astimezone(tz) if tz else day

        today = utcnow = now

    known = [module for name, module in sys.modules.items() if name.startswith(("highdicom", "pydicom", "dicomnode"))]
    for module in (dt, *known):
        if getattr(module, "datetime", None) is _REAL:
            monkeypatch.setattr(module, "datetime", Set)
    return looks


def test_on_another_day_all_kinds_are_the_same_bytes(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for day in (_REAL(1999, 12, 31, 23, 59, 59), _REAL(2031, 7, 1, 8, 15, 30)):
        with monkeypatch.context() as patched:
            looks = set_clock(patched, day)
            made.append(made_in(findings, tuple(ObjectKind)))
        assert looks  # by highdicom: what it puts in from there is replaced
    assert made[0] == made[1]
    for one in made[0].values():
        dates = {str(element.value) for element in dcmread(BytesIO(one.content)).iterall() if element.VR == "DA"}
        assert dates <= {"20260102", ""}, one.kind


def test_other_weights_parameters_prompts_or_masks_are_other_uids_of_every_kind(findings: Findings) -> None:
    one, *others = findings.masks
    model, region = findings.model, one.prompt
    turned = {index: inside[::-1] for index, inside in one.planes.items()}
    boxed = replace(region, boxes={findings.stack.planes[1].key: Box(x0=5.5, y0=4.5, x1=11.5, y1=8.5)})
    variants = (
        findings,
        replace(findings, model=replace(model, source="other weights")),
        replace(findings, model=replace(model, parameters=(("precision", "bf16"),))),
        replace(findings, annotation=replace(findings.annotation, sop_instance_uid=Uid("1.5.9"))),
        replace(findings, masks=(replace(one, prompt=replace(region, source_item="2")), *others)),
        replace(findings, masks=(replace(one, prompt=boxed), *others)),
        replace(findings, masks=(replace(one, planes=turned, probabilities={}), *others)),
    )
    made = [write_objects(one, JobOptions(objects=tuple(ObjectKind))).objects for one in variants]
    uids = [(one.kind, one.sop_instance_uid) for objects in made for one in objects]
    series = [dcmread(BytesIO(one.content)).SeriesInstanceUID for objects in made for one in objects]
    assert len(set(uids)) == len(uids)
    assert len(set(series)) == len(variants) * len(ObjectKind)


# what tells of patient, study and visit (PS3.3 C.7.1, C.7.2)
_OF_PATIENT_AND_STUDY = frozenset(
    {
        *("PatientName", "PatientID", "IssuerOfPatientID", "PatientComments", "PatientSpeciesDescription"),
        *("PatientBreedDescription", "ResponsiblePerson", "ResponsibleOrganization", "DeidentificationMethod"),
        *("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar", "StrainDescription"),
        *("StrainNomenclature", "StrainAdditionalInformation", "StudyID", "StudyDescription", "AccessionNumber"),
        *("ReferringPhysicianName", "ConsultingPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
        *("RequestingService", "AdmittingDiagnosesDescription", "MedicalAlerts", "Allergies", "Occupation"),
        *("AdditionalPatientHistory", "ReasonForVisit", "AdmissionID", "ServiceEpisodeID", "ServiceEpisodeDescription"),
        *("PatientState", "TimezoneOffsetFromUTC"),
    }
)
_OF_NOBODY = frozenset(
    {
        *("ContainerIdentifier", "ContainerDescription", "PixelSpacingCalibrationDescription"),
        *("PositionReferenceIndicator", "RescaleType"),
        *(f"ContributingEquipmentSequence.{name}" for name in ("Manufacturer", "ManufacturerModelName", "StationName")),
        *(f"ContributingEquipmentSequence.{name}" for name in ("DeviceSerialNumber", "SoftwareVersions")),
    }
)


def tell_everything(ds: Dataset, who: str) -> None:
    """Give every text that DICOM knows to `ds`, each beginning with `who`, further names in items, a private one."""
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if vr in {"PN", "LO", "SH", "ST", "LT", "UT", "UC"} and keyword and not retired and BaseTag(tag).group > 2:
            ds.add_new(tag, vr, f"{who} {keyword}"[: 16 if vr == "SH" else 64])
    for keyword in ("OtherPatientIDsSequence", "RequestAttributesSequence", "OperatorIdentificationSequence"):
        item = Dataset()
        item.PatientID = item.RequestedProcedureID = item.InstitutionName = f"{who} item"
        setattr(ds, keyword, [item])
    ds.private_block(0x0029, f"{who} COMPANY", create=True).add_new(1, "LO", f"{who} private")


def texts_in(ds: Dataset, who: str, above: str = "") -> Iterator[str]:
    """Yield the keyword of each element that says what `who` said, behind those of the sequences that it is in."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from texts_in(item, who, f"{above}{element.keyword}.")
        elif element.VR not in {"OB", "OW"} and who in str(element.value):
            yield f"{above}{element.keyword}"


def test_of_images_patient_study_and_scanner_are_told_and_of_an_annotation_nothing(tmp_path: Path) -> None:
    images = ct_series()
    drawn = annotation_on(images)
    for image in images:
        tell_everything(image, "IMG")
    tell_everything(drawn, "ANN")
    drawn.StructureSetROISequence[0].ROIDescription = "ANN description"
    drawn.RTROIObservationsSequence[0].ROIInterpreter = "ANN^Person"
    drawn.RTROIObservationsSequence[0].ROIObservationDescription = "ANN observed"
    for one in made_in(found(tmp_path, images, drawn), tuple(ObjectKind)).values():
        ds = dcmread(BytesIO(one.content))
        told = {word for word in texts_in(ds, "IMG") if "ClinicalTrial" not in word}
        assert told - _OF_PATIENT_AND_STUDY - _OF_NOBODY == set(), one.kind
        assert {"PatientName", "PatientID"} <= told
        assert [*texts_in(ds, "ANN")] == [], one.kind
        assert [element.tag for element in ds.iterall() if element.tag.is_private] == [], one.kind


def test_where_all_that_is_asked_for_cannot_be_made_the_reason_is_told(tmp_path: Path) -> None:
    (image,) = ct_series(planes=1)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(image, keyword)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    save([image], tmp_path / "in")
    wishes = Wishes(
        output=tmp_path / "out",
        options=JobOptions(),
        profile=replace(SEG_ONLY, objects=(ObjectKind.RTSTRUCT,)),
        boxes=(parse_box(f"{image.SOPInstanceUID}@{image.SOPInstanceUID}:2,2,8,6"),),
    )
    report = segment_paths([tmp_path / "in"], FillsTheBox(), wishes)
    assert report.results == ()
    assert [(one.reason, one.detail) for one in report.refused] == [
        (Reason.NO_GEOMETRY, "no RTSTRUCT is made: the images do not say where in the patient they lie")
    ]


def test_the_report_of_each_type_refers_to_the_seg_of_that_type(findings: Findings) -> None:
    made = made_in(findings, (ObjectKind.SEG, ObjectKind.SR)).values()
    for seg_type in SegType:
        seg, report = (one for one in made if one.alternative is seg_type)
        ds, header = (dcmread(BytesIO(one.content), stop_before_pixels=True) for one in (report, seg))
        numbers = {item.SegmentLabel: item.SegmentNumber for item in header.SegmentSequence}
        named = [group.segment for group in groups_of(ds)]
        assert named == [(seg.sop_instance_uid, numbers[one.prompt.label]) for one in findings.masks]
        others = {one.sop_instance_uid for one in made if one.kind is ObjectKind.SEG} - {seg.sop_instance_uid}
        assert others.isdisjoint(evidence_of(ds))


def test_a_node_and_a_folder_give_the_same_bytes_of_every_kind(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, z) for z in (2.5, 5.0)]})
    paths = save([*images, drawn], tmp_path / "study")
    with Loopback(tmp_path / "pacs") as pacs:
        settings = Settings(
            node=NodeTable(data_dir=tmp_path / "data"),
            listener=Listener(host="127.0.0.1", port=0),
            readiness=Readiness(quiet_seconds=0.2),
            destinations=(
                Destination(
                    name="pacs", ae_title=pacs.peer.ae_title, host="127.0.0.1", port=pacs.peer.port, profile="all"
                ),
            ),
        )
        with Node(settings, load=FillsTheBox) as node:
            send_all(paths, Peer(ae_title="DICOMNODE", host="127.0.0.1", port=node.port), "SENDER")
            arrived = [dcmread(path) for path in pacs.wait_for(6, timeout=30)]
    wishes = Wishes(
        output=tmp_path / "out",
        options=settings.job_options(),
        profile=settings.profile("all"),
    )
    (result,) = segment_paths([tmp_path / "study"], FillsTheBox(), wishes).results
    by_folder = {one.sop_instance_uid: dcmread(one.path) for one in result.objects}
    assert {one.kind for one in result.objects} == set(ObjectKind)
    assert {ds.SOPInstanceUID: encoded(ds) for ds in arrived} == {uid: encoded(ds) for uid, ds in by_folder.items()}
    outbox = [path.read_bytes() for path in (tmp_path / "data" / "spool" / "outbox").rglob("*.dcm")]
    assert sorted(outbox) == sorted(one.path.read_bytes() for one in result.objects)
