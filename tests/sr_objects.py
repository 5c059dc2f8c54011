"""Structured reports as the programs of the world write them, on images of a test, readable at the call."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import highdicom as hd
import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    MammographyCADSRStorage,
    SegmentationStorage,
)

from dicomnode.dicom.reading import read_dataset

Coded = tuple[str, str, str]  # value, scheme, meaning
Points = Sequence[Sequence[float]] | NDArray[Any]

GROUP: Coded = ("125007", "DCM", "Measurement Group")
REPORT: Coded = ("126000", "DCM", "Imaging Measurement Report")
FINDING: Coded = ("121071", "DCM", "Finding")
FINDING_SITE: Coded = ("363698007", "SCT", "Finding Site")
COMMENT: Coded = ("121106", "DCM", "Comment")
TRACKING_ID: Coded = ("112039", "DCM", "Tracking Identifier")
TRACKING_UID: Coded = ("112040", "DCM", "Tracking Unique Identifier")
AREA: Coded = ("G-A166", "SRT", "Area")
LENGTH: Coded = ("G-D7FE", "SRT", "Length")
LONG_AXIS: Coded = ("G-A185", "SRT", "Long Axis")
SHORT_AXIS: Coded = ("G-A186", "SRT", "Short Axis")
OUTLINE: Coded = ("111041", "DCM", "Outline")
CENTER: Coded = ("111010", "DCM", "Center")
SINGLE_IMAGE_FINDING: Coded = ("111059", "DCM", "Single Image Finding")
RENDERING_INTENT: Coded = ("111056", "DCM", "Rendering Intent")
REFERENCED_SEGMENT: Coded = ("121191", "DCM", "Referenced Segment")
VOLUME_SURFACE: Coded = ("121231", "DCM", "Volume Surface")


def report(
    *content: Dataset,
    sop_class: UID = ComprehensiveSRStorage,
    title: Coded = REPORT,
    images: Iterable[tuple[str, str]] = (),
    **changes: Any,  # noqa: ANN401 - any element
) -> Dataset:
    """Return a report with `content` below its root; `images` are pairs of series UID and SOP Instance UID."""
    ds = item("CONTAINER", title, None, *content, **changes)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID("1.2.826.0.1.3680043.8.498.7.1")
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.7"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Test", "TEST-1", "", "O"
    ds.Modality, ds.ContinuityOfContent = "SR", "SEPARATE"
    ds.CompletionFlag, ds.VerificationFlag = "PARTIAL", "UNVERIFIED"
    evidence = _elements(
        StudyInstanceUID=ds.StudyInstanceUID,
        ReferencedSeriesSequence=[
            _elements(SeriesInstanceUID=series, ReferencedSOPSequence=[_named(CTImageStorage, uid)])
            for series, uid in images
        ],
    )
    ds.CurrentRequestedProcedureEvidenceSequence = [evidence]
    return ds


def item(
    value_type: str,
    name: Coded | None,
    relationship: str | None,
    *content: Dataset,
    **elements: Any,  # noqa: ANN401 - any element
) -> Dataset:
    """Return one content item with `content` below it."""
    ds = _elements(ValueType=value_type)
    if relationship:
        ds.RelationshipType = relationship
    if name:
        ds.ConceptNameCodeSequence = [coded(*name)]
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    if content:
        ds.ContentSequence = list(content)
    return ds


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence; too long values, which occur, are not refused."""
    ds = _elements(CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    ds.add_new("CodeValue", "SH", "")
    ds["CodeValue"].validation_mode = 0
    ds["CodeValue"].value = value
    return ds


def container(name: Coded, *content: Dataset) -> Dataset:
    return item("CONTAINER", name, "CONTAINS", *content, ContinuityOfContent="SEPARATE")


def code(name: Coded, value: Coded, *content: Dataset, relationship: str = "CONTAINS") -> Dataset:
    return item("CODE", name, relationship, *content, ConceptCodeSequence=[coded(*value)])


def comment(words: str) -> Dataset:
    return item("TEXT", COMMENT, "CONTAINS", TextValue=words)


def tracked(identifier: str, uid: str = "2.25.77") -> tuple[Dataset, Dataset]:
    """Return the two items that name what is tracked."""
    return (
        item("TEXT", TRACKING_ID, "HAS OBS CONTEXT", TextValue=identifier),
        item("UIDREF", TRACKING_UID, "HAS OBS CONTEXT", UID=uid),
    )


def image(uid: str, frame: int | None = None) -> Dataset:
    """Return the image that coordinates were drawn on."""
    named = _named(CTImageStorage, uid)
    if frame is not None:
        named.ReferencedFrameNumber = frame
    return item("IMAGE", None, "SELECTED FROM", ReferencedSOPSequence=[named])


def scoord(
    graphic_type: str, points: Points, *images: Dataset, name: Coded | None = None, relationship: str = "INFERRED FROM"
) -> Dataset:
    """Return coordinates on images, `points` x, y from the first pixel's corner as they stand in the file."""
    data = [float(value) for point in points for value in point]
    return item("SCOORD", name, relationship, *images, GraphicType=graphic_type, GraphicData=data)


def scoord3d(
    graphic_type: str,
    points: Points,
    frame_of_reference: str,
    *images: Dataset,
    name: Coded | None = None,
    relationship: str = "INFERRED FROM",
) -> Dataset:
    """Return coordinates in the patient, `points` x, y, z in mm."""
    data = [float(value) for point in points for value in point]
    elements = {"GraphicType": graphic_type, "GraphicData": data, "ReferencedFrameOfReferenceUID": frame_of_reference}
    return item("SCOORD3D", name, relationship, *images, **elements)


def measured(name: Coded, *graphics: Dataset) -> Dataset:
    """Return a measurement without a number, as viewers write it, inferred from `graphics`."""
    return item("NUM", name, "CONTAINS", *graphics, MeasuredValueSequence=[])


def segment(uid: str, number: int, name: Coded = REFERENCED_SEGMENT) -> Dataset:
    """Return the reference to a segment of a SEG."""
    named = _named(SegmentationStorage, uid)
    named.ReferencedSegmentNumber = number
    return item("IMAGE", name, "CONTAINS", ReferencedSOPSequence=[named])


def group(*content: Dataset) -> Dataset:
    return container(GROUP, *content)


def ohif(tool: str, label: str, *measurements: Dataset, uid: str = "2.25.77") -> Dataset:
    """Return a measurement group as the adapters of OHIF's cornerstone write it, `label` wrapped in a code."""
    finding = (code(FINDING, ("CORNERSTONEFREETEXT", "CORNERSTONEJS", label)),) if label else ()
    return group(*tracked(f"Cornerstone3DTools@^0.1.0:{tool}", uid), *finding, *measurements)


def ohif_report(*groups: Dataset, sop_class: UID = ComprehensiveSRStorage) -> Dataset:
    return report(container(("126010", "DCM", "Imaging Measurements"), *groups), sop_class=sop_class)


def dcmqi_report(uid: str, number: int = 1, *, site: Coded = ("T-62000", "SRT", "Liver")) -> Dataset:
    """Return a report on one segment of a SEG as dcmqi's tid1500writer writes it, in SNOMED's old codes."""
    measured_segment = group(
        *tracked("Measurements group 1"),
        code(FINDING, ("T-D0060", "SRT", "Organ")),
        segment(uid, number),
        code(("G-C0E3", "SRT", "Finding Site"), site, relationship="HAS CONCEPT MOD"),
        measured(("G-D705", "SRT", "Volume")),
    )
    return report(container(("126010", "DCM", "Imaging Measurements"), measured_segment), sop_class=EnhancedSRStorage)


def cad_report(*findings: Dataset, library: Sequence[str]) -> Dataset:
    """Return a mammography CAD report; its image library, item 1.1, has `library`, and findings point to 1.1.N."""
    images = [item("IMAGE", None, "CONTAINS", ReferencedSOPSequence=[_named(CTImageStorage, uid)]) for uid in library]
    return report(
        container(("111028", "DCM", "Image Library"), *images),
        code(("111017", "DCM", "CAD Processing and Findings Summary"), ("111242", "DCM", "All algorithms"), *findings),
        sop_class=MammographyCADSRStorage,
        title=("111036", "DCM", "Mammography CAD Report"),
    )


def cad_finding(value: Coded, *content: Dataset, shown: bool = True) -> Dataset:
    intent = ("111150", "DCM", "Presentation Required") if shown else ("111152", "DCM", "Not for Presentation")
    rendering = code(RENDERING_INTENT, intent, relationship="HAS CONCEPT MOD")
    return code(SINGLE_IMAGE_FINDING, value, rendering, *content, relationship="INFERRED FROM")


def pointing(place: Sequence[int]) -> Dataset:
    """Return a reference by the path of a content item."""
    return _elements(RelationshipType="SELECTED FROM", ReferencedContentItemIdentifier=list(place))


def by_highdicom(images: Sequence[Dataset], groups: Sequence[Any]) -> Dataset:
    """Return a Comprehensive 3D SR by highdicom of its measurement groups."""
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(name="Doe^Jane"),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=list(groups),
    )
    made = sr.Comprehensive3DSR(
        evidence=list(images),
        content=content[0],
        series_instance_uid=hd.UID(),
        series_number=7,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Builder",
    )
    assert made.SOPClassUID == Comprehensive3DSRStorage
    return made


def planar(region: Any, identifier: str = "Lesion 1", **more: Any) -> Any:  # noqa: ANN401 - highdicom's own types
    """Return a group of TID 1410 by highdicom on a lesion of the liver."""
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="2.25.1234", identifier=identifier),
        referenced_region=region,
        finding_type=codes.SCT.Lesion,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_sites=[sr.FindingSite(codes.SCT.Liver, laterality=codes.SCT.Right)],
        **more,
    )


def volumetric(identifier: str = "Lesion 1", **referenced: Any) -> Any:  # noqa: ANN401 - highdicom's own types
    """Return a group of TID 1411 by highdicom on a lesion of the liver."""
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="2.25.1234", identifier=identifier),
        finding_type=codes.SCT.Lesion,
        finding_sites=[sr.FindingSite(codes.SCT.Liver)],
        **referenced,
    )


def region_on(source: Dataset, graphic_type: str, points: Points) -> Any:  # noqa: ANN401 - highdicom's own types
    """Return highdicom's image region, `points` x, y from the first pixel's corner."""
    return sr.ImageRegion(
        graphic_type=graphic_type,
        graphic_data=np.array(points, dtype=float),
        source_image=sr.SourceImageForRegion(
            referenced_sop_class_uid=source.SOPClassUID, referenced_sop_instance_uid=source.SOPInstanceUID
        ),
    )


def region_in_space(source: Dataset, graphic_type: str, points: Points) -> Any:  # noqa: ANN401 - highdicom's own types
    return sr.ImageRegion3D(
        graphic_type=graphic_type,
        graphic_data=np.array(points, dtype=float),
        frame_of_reference_uid=source.FrameOfReferenceUID,
    )


def through_a_file(ds: Dataset) -> Dataset:
    """Return `ds` as the product reads it from a file."""
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return read_dataset(buffer, "report.dcm", pixels=False)[0]


def _named(sop_class: UID, uid: str) -> Dataset:
    return _elements(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid)


def _elements(**elements: Any) -> Dataset:  # noqa: ANN401 - any element
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds
