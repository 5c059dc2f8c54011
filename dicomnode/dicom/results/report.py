"""Write measurements of masks as a structured report (PS3.16 TID 1500 in Comprehensive 3D SR, PS3.3 A.35.13)."""

from collections.abc import Sequence

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.finishing import (
    complete,
    device_uid,
    draft,
    finish,
    made_of,
    own_equipment,
)
from dicomnode.dicom.results.report_groups import groups_of
from dicomnode.dicom.results.written_segs import WrittenSeg, open_seg
from dicomnode.domain import AnnotationKind, ObjectKind, SegType, WrittenObject

_PROCEDURES = {  # PS3.16 CID 100
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "PT": codes.cid100.PETUnspecifiedBodyRegion,
    "NM": codes.cid100.NMUnspecifiedBodyRegion,
}


def write_report(findings: Findings, segs: Sequence[WrittenObject], seg_type: SegType) -> WrittenObject:
    """Return the report on `findings`, which refers to `segs`, all SEGs of `seg_type` that were written of them.

    Without SEGs it says of each segment that nothing was found, and goes with any type.
    """
    with made_of(findings, ObjectKind.SR):
        opened = tuple(map(open_seg, segs))
        report = sr.Comprehensive3DSR(
            **draft(findings, ObjectKind.SR),
            evidence=[*_evidence(findings, opened)],
            content=_content(findings, opened),
            is_complete=True,
            is_final=False,
            is_verified=False,
            contributing_equipment=[own_equipment()],
        )
        _restore_class(report, findings)
        complete(report, findings)
        return finish(report, ObjectKind.SR, findings, alternative=seg_type if segs else None)


def _content(findings: Findings, segs: Sequence[WrittenSeg]) -> sr.MeasurementReport:
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(findings)),
        procedure_reported=_PROCEDURES.get(findings.stack.modality, codes.cid100.ImagingProcedure),
        imaging_measurements=[*groups_of(findings, segs)],
        title=codes.cid7021.ImagingMeasurementReport,
    )


def _observer(findings: Findings) -> sr.ObserverContext:
    """Return who observed: this device; no person did (PS3.16 TID 1002)."""
    serial_number = findings.device_serial_number
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(serial_number),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER,
        serial_number=serial_number,
    )
    return sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _evidence(findings: Findings, segs: Sequence[WrittenSeg]) -> list[Dataset]:
    """Return a header for each object that the report was made of: images, SEGs and annotation (PS3.3 C.17.2.3).

    The first is whole: the patient and the study are copied from it, for which highdicom must know its class: that of
    the stand-in.
    """
    stack, drawn = findings.stack, findings.annotation
    images = {header.key.sop_instance_uid: header.sop_class_uid for header in findings.headers}
    named = [_named(sop_class, uid, stack.series_uid, stack.study_uid) for uid, sop_class in images.items()]
    whole = findings.source[:]
    whole.update(named[0])
    whole["SOPClassUID"] = findings.source["SOPClassUID"]
    named += [_named(seg.sop_class_uid, seg.sop_instance_uid, seg.series_uid, stack.study_uid) for seg in segs]
    if drawn.kind is not AnnotationKind.BOXES:
        named.append(_named(drawn.sop_class_uid, drawn.sop_instance_uid, drawn.series_uid, drawn.study_uid))
    return [whole, *named[1:]]


def _named(sop_class_uid: str, sop_instance_uid: str, series_uid: str, study_uid: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class_uid), UID(sop_instance_uid)
    ds.SeriesInstanceUID, ds.StudyInstanceUID = UID(series_uid), UID(study_uid)
    return ds


def _restore_class(report: Dataset, findings: Findings) -> None:
    """Name the first image by the class that it has itself, which may be one that is retired."""
    first = findings.headers[0]
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in report.get(keyword, ()):
            for series in study.ReferencedSeriesSequence:
                for item in series.ReferencedSOPSequence:
                    if item.ReferencedSOPInstanceUID == first.key.sop_instance_uid:
                        item.ReferencedSOPClassUID = first.sop_class_uid
