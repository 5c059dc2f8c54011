"""Finish an object: the equipment, dates and texts that all results have, its identity, and its bytes."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from highdicom import ContributingEquipment
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from dicomnode import __version__
from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.reading import PARSER_ERRORS, noted, numbers, text
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.segments import identify
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import IMPLEMENTATION_CLASS_UID, ObjectKind, SegType, Uid, WrittenObject
from dicomnode.errors import Reason, Refused

DRAFT = Uid("2.25.1")  # the UID of an object that has no identity yet
LONG_STRING = 64  # the length of LO, PS3.5 6.2
_SHORT_STRING = 16
_BYTE = 8  # bits
_FRAMES = 0x52009230  # Per-Frame Functional Groups Sequence; it and what is behind it grow with the frames
# what highdicom says of the scanner and of itself beyond what they are: by the clock, or no matter of a result
_NOT_OF_EQUIPMENT = (
    "ContributionDateTime",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
)
_CODE_STRING = 16  # the length of CS
_OF_NO_BODY_PART = frozenset({"SR", "RTSTRUCT"})  # PS3.3 A.35.13.3, C.8.8.1
_LARGEST_SERIES_NUMBER = 2**31 - 1
# Series of a kind stand together, behind their source's: its number x 1000, this, and the number of the stack.
_SERIES_NUMBERS = {
    ObjectKind.SEG: 0,
    ObjectKind.SR: 200,
    ObjectKind.RTSTRUCT: 400,
    ObjectKind.SC: 600,
    ObjectKind.PR: 800,
}


@contextmanager
def made_of(findings: Findings, kind: ObjectKind) -> Iterator[None]:
    """Refuse with INVALID_HEADER what no object of `kind` can be made of."""
    try:
        with noted([]):
            yield
    except PARSER_ERRORS as error:
        raise Refused(
            Reason.INVALID_HEADER,
            f"stack {findings.stack.key}",
            f"no {kind} can be made of its headers: {type(error).__name__}: {error}",
        ) from error


def series_number(findings: Findings, kind: ObjectKind) -> int:
    """Return a number that sorts behind the source series."""
    stack = findings.stack
    number = int((numbers(findings.source, "SeriesNumber", 1, f"stack {stack.key}") or (0.0,))[0])
    own = _SERIES_NUMBERS[kind] + int(stack.key.rpartition("/")[2])
    return min(max(number, 0) * 1000 + own, _LARGEST_SERIES_NUMBER)


def series_description(findings: Findings) -> str:
    """Return who made what, and for a plane that lies nowhere of which frame it is."""
    labels = ", ".join(mask.prompt.label for mask in findings.masks)
    frame = findings.stack.planes[0].key.frame
    alone = len(findings.stack.planes) == 1 and not findings.stack.frame_of_reference_uid
    where = f" frame {frame}" if frame and alone else ""
    return f"{findings.model.name} {labels}"[: LONG_STRING - len(where)] + where


def content_label(findings: Findings, kind: ObjectKind) -> str:
    """Return the code string that names an object by what made it and its kind, such as CLASSICAL_SEG."""
    end = f"_{kind}"
    return re.sub("[^A-Z0-9_ ]", "_", findings.model.name.upper())[: _CODE_STRING - len(end)] + end


def draft(findings: Findings, kind: ObjectKind) -> dict[str, Any]:
    """Return the arguments that highdicom's objects have in common: the series, and what made it; no identity yet."""
    return {
        "series_instance_uid": UID(DRAFT),
        "series_number": series_number(findings, kind),
        "series_description": series_description(findings),
        "sop_instance_uid": UID(DRAFT),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": __version__,
        "device_serial_number": "",
        "transfer_syntax_uid": ExplicitVRLittleEndian,
    }


def own_equipment() -> ContributingEquipment:
    """Return the item of Contributing Equipment Sequence that tells what dicomnode made (PS3.3 C.12.1)."""
    return ContributingEquipment(MANUFACTURER, codes.DCM.ProcessingEquipment, software_versions=__version__)


def device_uid(serial_number: str) -> Uid:
    """Return the UID of the dicomnode that has `serial_number`."""
    return uid_of("device", serial_number)


def complete(ds: Dataset, findings: Findings) -> None:
    """Add to `ds` what every result has and what is not copied for it, and replace what was taken from the clock."""
    of_body_part = () if ds.Modality in _OF_NO_BODY_PART else ("BodyPartExamined",)
    for keyword in ("TimezoneOffsetFromUTC", *of_body_part):
        if text(findings.source, keyword):
            ds[keyword] = findings.source[keyword]
    newest_date, newest_time = findings.newest
    date, time = DA(newest_date), TM(newest_time)
    ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
    if "ContentDate" in ds:
        ds.ContentDate, ds.ContentTime = date, time
    for item in ds.get("ContributingEquipmentSequence", ()):
        for keyword in _NOT_OF_EQUIPMENT:
            if keyword in item:
                del item[keyword]
    _set_compression(ds, findings)
    _set_device(ds, findings.device_serial_number)


def finish(
    ds: Dataset,
    kind: ObjectKind,
    findings: Findings,
    *,
    name: Callable[[Dataset, Uid], None] | None = None,
    alternative: SegType | None = None,
    beside: Uid | None = None,
) -> WrittenObject:
    """Return `ds` as an object whose UID is made from its content, and its series' from that.

    `name` gives it what other UIDs of its own it has; it is called twice, first with DRAFT. No such UID may stand in
    the functional groups of the frames, which may be many and are encoded once, or behind them. `beside` is the SOP
    Instance UID of the first object of the series, made of the same findings, where `ds` is a further one.
    """

    def give(uid: Uid) -> None:
        ds.SOPInstanceUID, ds.SeriesInstanceUID = UID(uid), UID(uid_of("series", beside or uid))
        if name:
            name(ds, uid)

    frames = _encoded_frames(ds)
    give(DRAFT)
    # headers are copied too, and may change under the same source UIDs: other bytes, another UID
    digest = hashlib.sha256(_encoded_head(ds))
    digest.update(frames)
    given = uid_of(kind, beside or identify(findings), digest.hexdigest())
    give(given)
    return WrittenObject(
        kind=kind,
        sop_instance_uid=given,
        sop_class_uid=Uid(str(ds.SOPClassUID)),
        content=_encoded_head(ds) + frames,
        alternative=alternative,
    )


def _encoded_frames(ds: Dataset) -> bytes:
    """Return what `ds` has of each frame, functional groups and pixels, encoded without a header."""
    frames = ds[_FRAMES:]
    if "PixelData" in frames and frames["PixelData"].VR not in {"OB", "OW"}:
        frames["PixelData"].VR = "OB" if ds.BitsAllocated <= _BYTE else "OW"  # PS3.5 8.1.2, A.2
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, frames, ds.get("SpecificCharacterSet", "ISO_IR 6"))
    return stream.getvalue()


def _encoded_head(ds: Dataset) -> bytes:
    """Return `ds` without what it has of each frame as a Part 10 file, Explicit VR Little Endian (PS3.10 7.1)."""
    head = ds[:_FRAMES]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"DICOMNODE_{__version__}"[:_SHORT_STRING]
    head.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, head, enforce_file_format=True)
    return buffer.getvalue()


def _set_compression(ds: Dataset, findings: Findings) -> None:
    """Say that `ds` is of images that lost something in compression where one of them did (PS3.3 C.7.6.1.1.5)."""
    if "LossyImageCompression" not in ds:
        return
    lossy = next((one.ds for one in findings.headers if text(one.ds, "LossyImageCompression") == "01"), Dataset())
    ds.LossyImageCompression = "01" if lossy else "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in ds:
            del ds[keyword]
        if text(lossy, keyword):
            ds[keyword] = lossy[keyword]


def _set_device(ds: Dataset, serial_number: str) -> None:
    """Say which device made `ds`, and its UID, which belongs to the serial number (PS3.3 C.7.5.1, C.7.5.2)."""
    ds.DeviceSerialNumber = serial_number
    ds.DeviceUID = device_uid(serial_number)
