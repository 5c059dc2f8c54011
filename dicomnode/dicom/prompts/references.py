"""Which kinds of object prompts are read from, and what an object of each refers to."""

from collections.abc import Callable, Mapping

from pydicom import Dataset
from pydicom.uid import (
    UID,
    ChestCADSRStorage,
    ColonCADSRStorage,
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MammographyCADSRStorage,
    PseudoColorSoftcopyPresentationStateStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from dicomnode.dicom.prompts.gsps import references_of_gsps
from dicomnode.dicom.prompts.region import References
from dicomnode.dicom.prompts.rtstruct import references_of_rtstruct
from dicomnode.dicom.prompts.seg_references import references_of_seg
from dicomnode.dicom.prompts.sr_references import references_of_sr
from dicomnode.domain import AnnotationKind

ReferencesOf = Callable[[Dataset, str], References]

KINDS: Mapping[UID, AnnotationKind] = {
    RTStructureSetStorage: AnnotationKind.RTSTRUCT,
    SegmentationStorage: AnnotationKind.SEG,
    LabelMapSegmentationStorage: AnnotationKind.SEG,
    ChestCADSRStorage: AnnotationKind.SR,
    ColonCADSRStorage: AnnotationKind.SR,
    Comprehensive3DSRStorage: AnnotationKind.SR,
    ComprehensiveSRStorage: AnnotationKind.SR,
    EnhancedSRStorage: AnnotationKind.SR,
    ExtensibleSRStorage: AnnotationKind.SR,
    MammographyCADSRStorage: AnnotationKind.SR,
    ColorSoftcopyPresentationStateStorage: AnnotationKind.PR,
    GrayscaleSoftcopyPresentationStateStorage: AnnotationKind.PR,
    PseudoColorSoftcopyPresentationStateStorage: AnnotationKind.PR,
}
REFERENCES: Mapping[AnnotationKind, ReferencesOf] = {
    AnnotationKind.RTSTRUCT: references_of_rtstruct,
    AnnotationKind.SEG: references_of_seg,
    AnnotationKind.SR: references_of_sr,
    AnnotationKind.PR: references_of_gsps,
}
