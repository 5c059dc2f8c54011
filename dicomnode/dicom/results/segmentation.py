"""Write masks as DICOM Segmentation objects (PS3.3 A.51)."""

from collections.abc import Sequence
from contextlib import closing
from copy import deepcopy

import highdicom as hd
import numpy as np
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicomnode import __version__
from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.reading import text
from dicomnode.dicom.results.findings import Findings, parts_of
from dicomnode.dicom.results.finishing import (
    DRAFT,
    LONG_STRING,
    complete,
    content_label,
    finish,
    made_of,
    own_equipment,
    series_description,
    series_number,
)
from dicomnode.dicom.results.segments import describe_segment, item_word
from dicomnode.dicom.results.sources import SourceHeader, refer
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import Mask, ObjectKind, SegType, Stack, Uid, WrittenObject

_SIDES = 2  # of a plane: the way along its rows, and along its columns


def write_segs(findings: Findings, seg_type: SegType) -> tuple[WrittenObject, ...]:
    """Return the SEGs of `findings` on the source planes: none where every mask is empty, else one for each space."""
    return tuple(_write(part, seg_type) for part in parts_of(findings))


def _write(findings: Findings, seg_type: SegType) -> WrittenObject:
    with made_of(findings, ObjectKind.SEG):
        seg = _segmentation(findings)
        with closing(seg._db_con):  # noqa: SLF001 - highdicom's index, which it leaves open
            complete(seg, findings)
            _complete(seg, findings.source)
            _restore_texts(seg, findings.headers)
            _set_thicknesses(seg, findings.headers)
            refer(seg, findings.headers)
            return finish(seg, ObjectKind.SEG, findings, name=_name, alternative=seg_type)


def _segmentation(findings: Findings) -> Segmentation:
    masks, model = findings.masks, findings.model
    used = sorted({index for mask in masks for index, inside in mask.planes.items() if inside.any()})
    return Segmentation(
        source_images=_source_images(findings.headers, used),
        pixel_array=_pixels(masks, findings.stack, used),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[describe_segment(number, mask, model) for number, mask in enumerate(masks, start=1)],
        series_instance_uid=UID(DRAFT),
        series_number=series_number(findings, ObjectKind.SEG),
        sop_instance_uid=UID(DRAFT),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="",
        content_label=content_label(findings, ObjectKind.SEG),
        content_description=_content_description(masks),
        content_creator_name=MANUFACTURER.upper(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=series_description(findings),
        contributing_equipment=[own_equipment()],
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


def _content_description(masks: Sequence[Mask]) -> str:
    prompts = [mask.prompt for mask in masks]
    regions = ",".join(prompt.source_item for prompt in prompts)
    first = prompts[0]
    return f"prompt {first.source_kind} ...{first.source_uid[-20:]} {item_word(first)} {regions}"[:LONG_STRING]


def _complete(seg: Segmentation, source: Dataset) -> None:
    """Add what highdicom does not copy."""
    seg.BurnedInAnnotation = "NO"
    if "FrameOfReferenceUID" not in seg:  # type 2C where rows and columns have no other direction (PS3.3 C.7.6.1.1.1)
        seg.PatientOrientation = source.PatientOrientation if len(_directions(source)) == _SIDES else ""


def _directions(source: Dataset) -> list[str]:
    """Return which way the rows and the columns of `source` go, as far as it says so."""
    return [direction for direction in text(source, "PatientOrientation").split("\\") if direction]


def _name(seg: Dataset, seg_uid: Uid) -> None:
    """Give the dimensions of `seg` a UID of their own."""
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
