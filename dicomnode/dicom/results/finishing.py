"""Finish an object: the equipment, dates and texts that all results have, its identity, and its bytes."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO

from highdicom import ContributingEquipment
from pydicom import Dataset, FileMetaDataset, dcmwrite
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
    where = f" frame {frame}" if frame and not findings.stack.frame_of_reference_uid else ""
    return f"{findings.model.name} {labels}"[: LONG_STRING - len(where)] + where


def own_equipment() -> ContributingEquipment:
    """Return the item of Contributing Equipment Sequence that tells what dicomnode made (PS3.3 C.12.1)."""
    return ContributingEquipment(MANUFACTURER, codes.DCM.ProcessingEquipment, software_versions=__version__)


def device_uid(serial_number: str) -> Uid:
    """Return the UID of the dicomnode that has `serial_number`."""
    return uid_of("device", serial_number)


def complete(ds: Dataset, findings: Findings) -> None:
    """Add to `ds` what every result has and what is not copied for it, and replace what was taken from the clock."""
    for keyword in ("BodyPartExamined", "TimezoneOffsetFromUTC"):
        if text(findings.source, keyword):
            ds[keyword] = findings.source[keyword]
    date, time = DA(findings.newest[0]), TM(findings.newest[1])
    ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
    if "ContentDate" in ds:
        ds.ContentDate, ds.ContentTime = date, time
    for item in ds.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    _set_device(ds, findings.device_serial_number)


def finish(
    ds: Dataset,
    kind: ObjectKind,
    findings: Findings,
    *,
    name: Callable[[Dataset, Uid], None] | None = None,
    alternative: SegType | None = None,
) -> WrittenObject:
    """Return `ds` as an object whose UID is made from its content, and its series' from that.

    `name` gives it what other UIDs of its own it has; it is called twice, first with DRAFT.
    """

    def give(uid: Uid) -> None:
        ds.SOPInstanceUID, ds.SeriesInstanceUID = UID(uid), UID(uid_of("series", uid))
        if name:
            name(ds, uid)

    give_lengths(ds)
    give(DRAFT)
    # headers are copied too, and may change under the same source UIDs: other bytes, another UID
    given = uid_of(kind, identify(findings), _digest(ds))
    give(given)
    return WrittenObject(
        kind=kind,
        sop_instance_uid=given,
        sop_class_uid=Uid(str(ds.SOPClassUID)),
        content=encoded(ds),
        alternative=alternative,
    )


def give_lengths(ds: Dataset) -> None:
    """Let sequences and items in `ds` be written with their lengths, whichever way their source did (PS3.5 7.5.2)."""
    ds.is_undefined_length_sequence_item = False
    for tag in [one.tag for one in ds.values() if one.VR in {"SQ", None}]:  # None is not known yet
        element = ds[tag]
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                give_lengths(item)


def encoded(ds: Dataset) -> bytes:
    """Return `ds` as a Part 10 file, Explicit VR Little Endian (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"DICOMNODE_{__version__}"[:_SHORT_STRING]
    ds.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def _digest(ds: Dataset) -> str:
    """Return the sha256 of `ds`; its pixels are not encoded for that."""
    if "PixelData" not in ds:
        return hashlib.sha256(encoded(ds)).hexdigest()
    pixels = ds["PixelData"]
    del ds.PixelData
    digest = hashlib.sha256(encoded(ds))
    ds["PixelData"] = pixels
    digest.update(pixels.value)
    return digest.hexdigest()


def _set_device(ds: Dataset, serial_number: str) -> None:
    """Say which device made `ds`, and its UID, which belongs to the serial number (PS3.3 C.7.5.1, C.7.5.2)."""
    ds.DeviceSerialNumber = serial_number
    ds.DeviceUID = device_uid(serial_number)
