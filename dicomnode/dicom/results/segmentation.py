"""Write masks as DICOM Segmentation objects (PS3.3 A.51)."""

from collections.abc import Sequence
from contextlib import closing
from copy import deepcopy
from itertools import pairwise

import numpy as np
from highdicom.seg import Segmentation, SegmentationFractionalTypeValues
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.reading import text
from dicomnode.dicom.results.findings import Findings, parts_of
from dicomnode.dicom.results.finishing import (
    LONG_STRING,
    complete,
    content_label,
    draft,
    finish,
    made_of,
    own_equipment,
)
from dicomnode.dicom.results.seg_pixels import SegFrame, frames_content
from dicomnode.dicom.results.seg_types import overlap
from dicomnode.dicom.results.segments import describe_segment, item_word
from dicomnode.dicom.results.sources import SourceHeader, refer
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import Mask, ObjectKind, SegType, Uid, WrittenObject

_SIDES = 2  # of a plane: the way along its rows, and along its columns
_MOST_PROBABLE = 255


def write_segs(findings: Findings, seg_type: SegType) -> tuple[WrittenObject, ...]:
    """Return the SEGs of `findings` on the source planes: none where every mask is empty, else one for each space.

    The masks must be possible in `seg_type`, see `seg_types`.
    """
    return tuple(_write(part, seg_type) for part in parts_of(findings))


def _write(findings: Findings, seg_type: SegType) -> WrittenObject:
    with made_of(findings, ObjectKind.SEG):
        seg = _header(findings, seg_type)
        with closing(seg._db_con):  # noqa: SLF001 - highdicom's index, which it leaves open
            frames = _frames(seg, findings.headers)
            _fill(seg, frames, findings, seg_type)
            _set_organization(seg, frames)
            complete(seg, findings)
            _complete(seg, findings.source)
            headers = [findings.headers[frame.plane].ds for frame in frames]
            _restore_texts(seg, findings.source, headers)
            _set_thicknesses(seg, headers)
            refer(seg, findings.headers)
            return finish(seg, ObjectKind.SEG, findings, name=_name, alternative=seg_type)


def _header(findings: Findings, seg_type: SegType) -> Segmentation:
    """Return the SEG with frames of one pixel, which say where something is found: highdicom copies pixels often."""
    masks, model = findings.masks, findings.model
    used = sorted({index for mask in masks for index, inside in mask.planes.items() if inside.any()})
    return Segmentation(
        **draft(findings, ObjectKind.SEG),
        source_images=_source_images(findings.headers, used),
        pixel_array=_occurrence(masks, used, seg_type),
        segmentation_type=seg_type.value,
        segment_descriptions=[describe_segment(number, mask, model) for number, mask in enumerate(masks, start=1)],
        fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=_MOST_PROBABLE,
        content_label=content_label(findings, ObjectKind.SEG),
        content_description=_content_description(masks),
        content_creator_name=MANUFACTURER.upper(),
        contributing_equipment=[own_equipment()],
    )


def _source_images(headers: Sequence[SourceHeader], used: Sequence[int]) -> list[Dataset]:
    """Return the headers of the planes `used`, as of images of one pixel, the first of them with the whole header."""
    images = [headers[index].ds[:] for index in used]
    images[0] = headers[0].ds[:]
    images[0].update(headers[used[0]].ds)
    for image in images:  # a slice shares its elements with the header, so they are replaced and not changed
        for keyword in ("Rows", "Columns"):
            image.add_new(keyword, "US", 1)
    return images


def _occurrence(masks: Sequence[Mask], used: Sequence[int], seg_type: SegType) -> NDArray[np.uint8]:
    """Return whether the masks have a voxel on the planes `used`, (plane, 1, 1, segment) uint8, 0 or 1.

    In a label map it is (plane, 1, 1): there is a frame for all segments.
    """
    if seg_type is SegType.LABELMAP:
        return np.ones((len(used), 1, 1), dtype=np.uint8)
    found = [[index in mask.planes and mask.planes[index].any() for mask in masks] for index in used]
    return np.array(found, dtype=np.uint8)[:, np.newaxis, np.newaxis, :]


def _content_description(masks: Sequence[Mask]) -> str:
    prompts = [mask.prompt for mask in masks]
    regions = ",".join(prompt.source_item for prompt in prompts)
    first = prompts[0]
    return f"prompt {first.source_kind} ...{first.source_uid[-20:]} {item_word(first)} {regions}"[:LONG_STRING]


def _frames(seg: Segmentation, headers: Sequence[SourceHeader]) -> tuple[SegFrame, ...]:
    """Return what each frame of `seg` shows, as its functional groups name it."""
    planes = {header.ds.SOPInstanceUID: index for index, header in enumerate(headers)}
    shared = seg.SharedFunctionalGroupsSequence[0]
    frames = []
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        named = group.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        frames.append(SegFrame(planes[source], named[0].ReferencedSegmentNumber - 1 if named else None))
    return tuple(frames)


def _fill(seg: Segmentation, frames: Sequence[SegFrame], findings: Findings, seg_type: SegType) -> None:
    """Give `seg` the pixels of the masks, and say whether they overlap."""
    _, seg.Rows, seg.Columns = findings.stack.shape
    seg.PixelData = frames_content(frames, findings.masks, seg_type, seg.BitsAllocated)
    seg.SegmentsOverlap = "YES" if overlap(findings.masks) else "NO"


def _set_organization(seg: Segmentation, frames: Sequence[SegFrame]) -> None:
    """Call `seg` 3D only where no plane lies between its frames, which then are as far apart as its slices.

    PS3.3 C.7.6.16.2.1: readers of 3D images go by Spacing Between Slices, which is that of the source.
    """
    apart = (abs(one.plane - other.plane) for one, other in pairwise(frames))
    if "DimensionOrganizationType" in seg and any(distance != 1 for distance in apart):
        del seg.DimensionOrganizationType


def _complete(seg: Segmentation, source: Dataset) -> None:
    """Add what highdicom does not copy."""
    seg.BurnedInAnnotation = "NO"
    if "FrameOfReferenceUID" not in seg:  # type 2C where rows and columns have no other direction (PS3.3 C.7.6.1.1.1)
        seg.PatientOrientation = source.PatientOrientation if len(_directions(source)) == _SIDES else ""


def _directions(source: Dataset) -> list[str]:
    """Return which way the rows and the columns of `source` go, as far as it says so."""
    return [direction for direction in text(source, "PatientOrientation").split("\\") if direction]


def _restore_texts(seg: Segmentation, source: Dataset, headers: Sequence[Dataset]) -> None:
    """Give positions, orientation and spacing the source's own decimal texts: not a digit is rounded.

    `headers` are those of the planes that the frames show.
    """
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared:
        shared.PixelMeasuresSequence[0]["PixelSpacing"] = source["PixelSpacing"]
    if "PlaneOrientationSequence" not in shared:
        return
    shared.PlaneOrientationSequence[0]["ImageOrientationPatient"] = source["ImageOrientationPatient"]
    for group, header in zip(seg.PerFrameFunctionalGroupsSequence, headers, strict=True):
        group.PlanePositionSequence[0]["ImagePositionPatient"] = header["ImagePositionPatient"]


def _set_thicknesses(seg: Segmentation, headers: Sequence[Dataset]) -> None:
    """Give each frame measures of its own where thicknesses differ: a group is shared or not (PS3.3 C.7.6.16.1.1)."""
    if len({header.get("SliceThickness") for header in headers}) == 1:
        return
    shared = seg.SharedFunctionalGroupsSequence[0]
    (measures,) = shared.PixelMeasuresSequence
    del shared.PixelMeasuresSequence
    for group, header in zip(seg.PerFrameFunctionalGroupsSequence, headers, strict=True):
        own = deepcopy(measures)
        own.SliceThickness = header.get("SliceThickness")
        group.PixelMeasuresSequence = [own]


def _name(seg: Dataset, seg_uid: Uid) -> None:
    """Give the dimensions of `seg` a UID of their own."""
    dimension = uid_of("dimension", seg_uid)
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimension
    for index in seg.DimensionIndexSequence:
        index.DimensionOrganizationUID = dimension
