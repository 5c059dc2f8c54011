"""Write masks as DICOM Segmentation objects (PS3.3 A.51)."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian, SegmentationStorage
from pydicom.valuerep import DA, TM

from dicomnode import __version__
from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.reading import PARSER_ERRORS, noted, numbers, read_dataset, text
from dicomnode.dicom.segments import describe_segment, identify, item_word
from dicomnode.dicom.sources import SourceHeader, newest_time, refer, source_headers
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import (
    IMPLEMENTATION_CLASS_UID,
    Annotation,
    AnnotationKind,
    Mask,
    ModelIdentity,
    ObjectKind,
    Stack,
    Uid,
    WrittenObject,
)
from dicomnode.errors import Reason, Refused

_CODE_STRING = _SHORT_STRING = 16  # the lengths of CS, SH and LO, PS3.5 6.2
_LONG_STRING = 64
_SIDES = 2  # of a plane: the way along its rows, and along its columns
_LARGEST_SERIES_NUMBER = 2**31 - 1


def write_objects(
    masks: Sequence[Mask], stack: Stack, annotation: Annotation, model: ModelIdentity, device_serial_number: str
) -> tuple[WrittenObject, ...]:
    """Return the objects that carry `masks`: none where every mask is empty, else one SEG on the source planes.

    Planes without frame of reference lie nowhere, not even beside each other: each of them has a SEG of its own.
    `device_serial_number` is that of this node, as the site has it.
    """
    parts = [(masks, stack)] if stack.frame_of_reference_uid else _plane_by_plane(masks, stack)
    return tuple(
        _write(of_part, part, annotation, model, device_serial_number)
        for of_part, part in parts
        if any(mask.voxels for mask in of_part)
    )


def _plane_by_plane(masks: Sequence[Mask], stack: Stack) -> Iterator[tuple[list[Mask], Stack]]:
    """Yield each plane of `stack` as a stack of its own, with the masks that have that plane."""
    for index, plane in enumerate(stack.planes):
        here = [replace(mask, planes={0: mask.planes[index]}, quality={}) for mask in masks if index in mask.planes]
        yield here, replace(stack, planes=(plane,))


def _write(
    masks: Sequence[Mask], stack: Stack, annotation: Annotation, model: ModelIdentity, device_serial_number: str
) -> WrittenObject:
    draft_uid = identify(masks, stack, annotation, model)
    try:
        with noted([]):
            headers = source_headers(stack)
            seg = _segmentation(masks, stack, headers, draft_uid, model)
            with closing(seg._db_con):  # noqa: SLF001 - highdicom's index, which it leaves open
                _complete(seg, headers[0].ds, newest_time((*(one.ds for one in headers), _header(annotation))))
                _set_device(seg, device_serial_number)
                _restore_texts(seg, headers)
                _set_thicknesses(seg, headers)
                refer(seg, headers)
                _give_lengths(seg)
                _name(seg, draft_uid)
                # headers are copied too, and may change under the same source UIDs: other bytes, another UID
                seg_uid = uid_of("SEG", hashlib.sha256(_encoded(seg)).hexdigest())
                _name(seg, seg_uid)
                content = _encoded(seg)
    except PARSER_ERRORS as error:
        raise Refused(
            Reason.INVALID_HEADER, f"stack {stack.key}", f"no SEG can be made of its headers: {error}"
        ) from error
    return WrittenObject(
        kind=ObjectKind.SEG, sop_instance_uid=seg_uid, sop_class_uid=Uid(SegmentationStorage), content=content
    )


def _header(annotation: Annotation) -> Dataset:
    """Return the header of `annotation`, an empty one of boxes that a user wrote."""
    if annotation.kind is AnnotationKind.BOXES:
        return Dataset()
    ds, _ = read_dataset(annotation.path, str(annotation.path), pixels=False)
    return ds


def _segmentation(
    masks: Sequence[Mask], stack: Stack, headers: Sequence[SourceHeader], seg_uid: Uid, model: ModelIdentity
) -> Segmentation:
    used = sorted({index for mask in masks for index, inside in mask.planes.items() if inside.any()})
    return Segmentation(
        source_images=_source_images(headers, used),
        pixel_array=_pixels(masks, stack, used),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[describe_segment(number, mask, model) for number, mask in enumerate(masks, start=1)],
        series_instance_uid=uid_of("series", seg_uid),
        series_number=_series_number(headers[0].ds, stack),
        sop_instance_uid=seg_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="",
        content_label=re.sub("[^A-Z0-9_ ]", "_", model.name.upper())[: _CODE_STRING - 4] + "_SEG",
        content_description=_content_description(masks),
        content_creator_name=MANUFACTURER.upper(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=_series_description(masks, stack, model),
        contributing_equipment=[
            hd.ContributingEquipment(MANUFACTURER, codes.DCM.ProcessingEquipment, software_versions=__version__)
        ],
    )


def _source_images(headers: Sequence[SourceHeader], used: Sequence[int]) -> list[Dataset]:
    """Return the headers of the planes `used`, on which the frames lie, the first of them with the whole header."""
    images = [headers[index].ds for index in used]
    images[0] = headers[0].ds[:]
    images[0].update(headers[used[0]].ds)
    return images


def _pixels(masks: Sequence[Mask], stack: Stack, used: Sequence[int]) -> NDArray[np.uint8]:
    """Return the masks on the planes `used`, (plane, row, column, segment) uint8, 0 or 1."""
    _, rows, columns = stack.shape
    pixels = np.zeros((len(used), rows, columns, len(masks)), dtype=np.uint8)
    for segment, mask in enumerate(masks):
        for position, index in enumerate(used):
            if index in mask.planes:
                pixels[position, :, :, segment] = mask.planes[index]
    return pixels


def _series_number(source: Dataset, stack: Stack) -> int:
    """Return a number that sorts behind the source series: source x 1000 + stack number."""
    number = int((numbers(source, "SeriesNumber", 1, f"stack {stack.key}") or (0.0,))[0])
    return min(max(number, 0) * 1000 + int(stack.key.rpartition("/")[2]), _LARGEST_SERIES_NUMBER)


def _series_description(masks: Sequence[Mask], stack: Stack, model: ModelIdentity) -> str:
    """Return who made what, and for a plane that lies nowhere of which frame it is."""
    labels = ", ".join(mask.prompt.label for mask in masks)
    frame = stack.planes[0].key.frame
    where = f" frame {frame}" if frame and not stack.frame_of_reference_uid else ""
    return f"{model.name} {labels}"[: _LONG_STRING - len(where)] + where


def _content_description(masks: Sequence[Mask]) -> str:
    prompts = [mask.prompt for mask in masks]
    regions = ",".join(prompt.source_item for prompt in prompts)
    first = prompts[0]
    return f"prompt {first.source_kind} ...{first.source_uid[-20:]} {item_word(first)} {regions}"[:_LONG_STRING]


def _complete(seg: Segmentation, source: Dataset, newest: tuple[str, str]) -> None:
    """Add what highdicom does not copy, and replace what it takes from the clock."""
    seg.BurnedInAnnotation = "NO"
    for keyword in ("BodyPartExamined", "TimezoneOffsetFromUTC"):
        if text(source, keyword):
            seg[keyword] = source[keyword]
    if "FrameOfReferenceUID" not in seg:  # type 2C where rows and columns have no other direction (PS3.3 C.7.6.1.1.1)
        seg.PatientOrientation = source.PatientOrientation if len(_directions(source)) == _SIDES else ""
    date, time = DA(newest[0]), TM(newest[1])
    seg.InstanceCreationDate, seg.InstanceCreationTime = date, time
    seg.ContentDate, seg.ContentTime = date, time
    for item in seg.ContributingEquipmentSequence:
        if "ContributionDateTime" in item:
            del item.ContributionDateTime


def _directions(source: Dataset) -> list[str]:
    """Return which way the rows and the columns of `source` go, as far as it says so."""
    return [direction for direction in text(source, "PatientOrientation").split("\\") if direction]


def _set_device(seg: Segmentation, serial_number: str) -> None:
    """Say which device made `seg`, and its UID, which belongs to the serial number (PS3.3 C.7.5.1, C.7.5.2)."""
    seg.DeviceSerialNumber = serial_number
    seg.DeviceUID = uid_of("device", serial_number)


def _name(seg: Segmentation, seg_uid: Uid) -> None:
    """Give `seg` its UID, and every other UID that is its own: of its series and of its dimensions."""
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = UID(seg_uid)
    seg.SeriesInstanceUID = UID(uid_of("series", seg_uid))
    dimension = uid_of("dimension", seg_uid)
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimension
    for index in seg.DimensionIndexSequence:
        index.DimensionOrganizationUID = dimension


def _restore_texts(seg: Segmentation, headers: Sequence[SourceHeader]) -> None:
    """Give positions, orientation and spacing the source's own decimal texts: not a digit is rounded."""
    by_uid = {header.ds.SOPInstanceUID: header.ds for header in headers}
    first, shared = headers[0].ds, seg.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared:
        shared.PixelMeasuresSequence[0]["PixelSpacing"] = first["PixelSpacing"]
    if "PlaneOrientationSequence" not in shared:
        return
    shared.PlaneOrientationSequence[0]["ImageOrientationPatient"] = first["ImageOrientationPatient"]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        frame.PlanePositionSequence[0]["ImagePositionPatient"] = by_uid[source]["ImagePositionPatient"]


def _set_thicknesses(seg: Segmentation, headers: Sequence[SourceHeader]) -> None:
    """Give each frame measures of its own where thicknesses differ: a group is shared or not (PS3.3 C.7.6.16.1.1)."""
    thickness_of = {header.ds.SOPInstanceUID: header.ds.get("SliceThickness") for header in headers}
    found = [
        (frame, thickness_of[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID])
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]
    if len({thickness for _, thickness in found}) == 1:
        return
    shared = seg.SharedFunctionalGroupsSequence[0]
    (measures,) = shared.PixelMeasuresSequence
    del shared.PixelMeasuresSequence
    for frame, thickness in found:
        own = deepcopy(measures)
        own.SliceThickness = thickness
        frame.PixelMeasuresSequence = [own]


def _give_lengths(ds: Dataset) -> None:
    """Let sequences and items in `ds` be written with their lengths, whichever way their source did (PS3.5 7.5.2)."""
    ds.is_undefined_length_sequence_item = False
    for tag in [one.tag for one in ds.values() if one.VR in {"SQ", None}]:  # None is not known yet
        element = ds[tag]
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                _give_lengths(item)


def _encoded(seg: Segmentation) -> bytes:
    seg.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    seg.file_meta.ImplementationVersionName = f"DICOMNODE_{__version__}"[:_SHORT_STRING]
    buffer = BytesIO()
    dcmwrite(buffer, seg, enforce_file_format=True)
    return buffer.getvalue()
