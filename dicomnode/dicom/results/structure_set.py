"""Write masks as an RT Structure Set (PS3.3 A.19.3), for planning systems."""

from collections.abc import Sequence

from highdicom import SOPClass
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from pydicom import Dataset
from pydicom.uid import UID, RTStructureSetStorage, SegmentationStorage
from pydicom.valuerep import DA, TM

from dicomnode.dicom.codes import ANATOMICAL, MORPHOLOGICALLY_ABNORMAL, is_gross_tumour
from dicomnode.dicom.reading import text
from dicomnode.dicom.results.contours import contours_of
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.finishing import (
    LONG_STRING,
    complete,
    draft,
    finish,
    made_of,
    own_equipment,
    series_description,
)
from dicomnode.dicom.results.segments import describe_segment, item_word
from dicomnode.dicom.results.sources import references_to
from dicomnode.domain import Annotation, AnnotationKind, Code, ObjectKind, Prompt, WrittenObject

_SHORT_STRING = 16  # the length of SH, PS3.5 6.2
_STUDY_CLASS = UID("1.2.840.10008.3.1.2.3.1")  # Detached Study Management, which is what all structure sets name here
# what of CID 7159, abnormalities, is a gross tumour volume to a planner
_TUMOURS = frozenset(
    {
        ("4147007", "SCT"),  # Mass
        ("14799000", "SCT"),  # Neoplasm, Secondary
        ("27925004", "SCT"),  # Nodule
        ("52988006", "SCT"),  # Lesion
        ("108369006", "SCT"),  # Neoplasm
        ("301766008", "SCT"),  # Lesion of Brain
        ("372087000", "SCT"),  # Neoplasm, Primary
        ("C113842", "NCIt"),  # Enhancing Lesion
        ("C81175", "NCIt"),  # Non-Enhancing Lesion
    }
)


def write_structure_set(findings: Findings) -> tuple[WrittenObject, ...]:
    """Return the structure set of `findings`, a region of interest for each mask.

    It is none where every mask is empty, or where the planes have no frame of reference: contours are places.
    """
    if not findings.stack.frame_of_reference_uid or findings.is_empty:
        return ()
    with made_of(findings, ObjectKind.RTSTRUCT):
        ds = _StructureSet(findings)
        complete(ds, findings)
        return (finish(ds, ObjectKind.RTSTRUCT, findings),)


class _StructureSet(SOPClass):
    """A structure set without an identity; its regions are numbered as the segments of a SEG are."""

    def __init__(self, findings: Findings) -> None:
        source, stack = findings.source, findings.stack
        super().__init__(
            **draft(findings, ObjectKind.RTSTRUCT),
            study_instance_uid=source.StudyInstanceUID,
            sop_class_uid=RTStructureSetStorage,
            modality="RTSTRUCT",
            patient_sex=source.PatientSex,
            patient_birth_date=source.PatientBirthDate,
        )
        self.SpecificCharacterSet = source.SpecificCharacterSet
        self.copy_patient_and_study_information(source)
        self._add_contributing_equipment([own_equipment()], source)
        self.OperatorsName = ""
        self.FrameOfReferenceUID = stack.frame_of_reference_uid
        self.PositionReferenceIndicator = text(source, "PositionReferenceIndicator")
        self.StructureSetLabel = findings.model.name[:_SHORT_STRING]
        self.StructureSetName = series_description(findings)
        self.StructureSetDate, self.StructureSetTime = DA(findings.newest[0]), TM(findings.newest[1])
        self.ReferencedFrameOfReferenceSequence = [_frame_of_reference(findings)]
        if findings.annotation.kind is AnnotationKind.RTSTRUCT:
            self.PredecessorStructureSetSequence = [_reference(findings.annotation)]
        self._add_regions(findings)
        self.ApprovalStatus = "UNAPPROVED"

    def _add_regions(self, findings: Findings) -> None:
        """Add each mask to the three sequences, in the same order: readers join them by number, or by order.

        A mask with nothing inside is in all three, without contours: left out of one, it would shift what is joined by
        order. ContourSequence may be absent, and has an item where it is not (PS3.3 C.8.8.6).
        """
        masks = findings.masks
        names = unique_names([mask.prompt.label for mask in masks])
        self.StructureSetROISequence, self.ROIContourSequence, self.RTROIObservationsSequence = [], [], []
        for number, (name, mask) in enumerate(zip(names, masks, strict=True), start=1):
            described = describe_segment(number, mask, findings.model)
            region = _region(number, name, mask.prompt, findings)
            region.ROIDerivationAlgorithmIdentificationSequence = described.SegmentationAlgorithmIdentificationSequence
            self.StructureSetROISequence.append(region)
            drawn = Dataset()
            drawn.ROIDisplayColor = _colour(described)
            if contours := [*contours_of(mask, findings.stack, findings.headers)]:
                drawn.ContourSequence = contours
            drawn.ReferencedROINumber = number
            self.ROIContourSequence.append(drawn)
            self.RTROIObservationsSequence.append(_observation(number, mask.prompt, described))


def unique_names(labels: Sequence[str]) -> list[str]:
    """Return `labels` as names of which no two are equal, in whatever case, each at most 64 characters."""
    names: list[str] = []
    for label in labels:
        name, count, taken = label[:LONG_STRING], 1, {name.casefold() for name in names}
        while name.casefold() in taken:
            count += 1
            name = f"{label[: LONG_STRING - len(f' ({count})')]} ({count})"
        names.append(name)
    return names


def _frame_of_reference(findings: Findings) -> Dataset:
    """Return what says which images the contours are drawn on: all those of the stack."""
    source, stack = findings.source, findings.stack
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = stack.series_uid
    series.ContourImageSequence = references_to(findings.headers)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = stack.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(annotation: Annotation) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = annotation.sop_class_uid
    reference.ReferencedSOPInstanceUID = annotation.sop_instance_uid
    return reference


def _region(number: int, name: str, prompt: Prompt, findings: Findings) -> Dataset:
    """Return what region of interest `number` is called and how it was made (PS3.3 C.8.8.5)."""
    model, annotation = findings.model, findings.annotation
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = findings.stack.frame_of_reference_uid
    region.ROIName = name
    region.ROIDescription = (
        f"prompt {prompt.source_kind} {prompt.source_uid} {item_word(prompt)} {prompt.source_item}, "
        f"tracking UID {prompt.tracking_uid}"
    )
    region.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
    region.ROIGenerationDescription = f"{model.name} {model.version}"[:LONG_STRING]
    if annotation.kind not in {AnnotationKind.RTSTRUCT, AnnotationKind.BOXES}:
        region.DefinitionSourceSequence = [_definition(annotation, prompt)]
    return region


def _definition(annotation: Annotation, prompt: Prompt) -> Dataset:
    """Return a reference to the object in which the region was marked; to the segment, where it is a SEG."""
    source = _reference(annotation)
    if UID(annotation.sop_class_uid) == SegmentationStorage and prompt.source_item.isdigit():
        source.ReferencedSegmentNumber = int(prompt.source_item)
    return source


def _colour(described: SegmentDescription) -> list[int]:
    """Return the colour of the segment in a SEG as red, green and blue, 0 to 255."""
    return [*CIELabColor.from_dicom_value(described.RecommendedDisplayCIELabValue).to_rgb(clip=True)]


def _observation(number: int, prompt: Prompt, described: SegmentDescription) -> Dataset:
    """Return what region of interest `number` is, in the codes of the segment (PS3.3 C.8.8.8)."""
    observation = Dataset()
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    observation.SegmentedPropertyCategoryCodeSequence = described.SegmentedPropertyCategoryCodeSequence
    observation.RTROIIdentificationCodeSequence = described.SegmentedPropertyTypeCodeSequence
    if "AnatomicRegionSequence" in described:
        observation.AnatomicRegionSequence = described.AnatomicRegionSequence
    observation.RTROIInterpretedType = interpreted_type(prompt)
    observation.ROIInterpreter = ""
    return observation


def interpreted_type(prompt: Prompt) -> str:
    """Return the RT ROI Interpreted Type of what `prompt` shows; '' where it is neither tumour nor organ."""
    if _same(prompt.category, MORPHOLOGICALLY_ABNORMAL):
        is_tumour = is_gross_tumour(prompt.label) or (prompt.type.value, prompt.type.scheme) in _TUMOURS
        return "GTV" if is_tumour else ""
    return "ORGAN" if _same(prompt.category, ANATOMICAL) else ""


def _same(one: Code, other: Code) -> bool:
    """Return whether two codes are one, whatever their meanings say (PS3.3 8.3)."""
    return (one.value, one.scheme) == (other.value, other.scheme)
