"""Re-read the headers of a stack's planes: what a result copies, and what it refers to."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DA, TM

from dicomnode.dicom.heal import heal, is_valid
from dicomnode.dicom.reading import noted, numbers, read_dataset, text
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import Fact, Plane, PlaneKey, Stack, Uid
from dicomnode.geometry import slab_depths

# element of a plane's geometry -> the functional group that states it in a multi-frame image (PS3.3 C.7.6.16)
_GEOMETRY = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}
# likewise of how a plane is shown, and of what its values are (PS3.3 C.11.1)
_WINDOW = dict.fromkeys(("WindowCenter", "WindowWidth", "VOILUTFunction"), "FrameVOILUTSequence")
_VALUES = {"RescaleType": "PixelValueTransformationSequence"}
_FRAMES = ("NumberOfFrames", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
# type 3: a PACS finds a result by the ID it knows the patient by (PS3.3 C.7.1.1)
_OTHER_IDENTIFIERS = ("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames")
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})  # which lose something always, whether it is said or not
_METHODS = {  # PS3.3 C.7.6.1.1.5.1
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
}
_Pairs = tuple[tuple[str, str], ...]
# what dates an object's content, an acquisition or a structure set (PS3.3 C.7.6.1, C.8.8.5)
_DATES: _Pairs = (
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("StructureSetDate", "StructureSetTime"),
)
_COARSER_DATES: _Pairs = (("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"))
_NO_DATE = ("19000101", "000000")  # Content Date is type 1 in a result, and the clock is no source of it


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SourceHeader:
    """The header of one plane, as if the plane were a single-frame image of its own.

    `ds` has a SOP Instance UID and SOP Class UID that stand for the plane; `key` and `sop_class_uid` are those of the
    image it is a plane of, and `frames` how many that image has.
    """

    key: PlaneKey
    sop_class_uid: UID
    frames: int
    ds: Dataset


def source_headers(stack: Stack) -> tuple[SourceHeader, ...]:
    """Return a header for each plane of `stack`: the first healed and whole, the others with what a reference needs.

    Positions, orientation and spacing are the source's own texts; slice thickness and spacing are what the stack shows.
    """
    headers: list[SourceHeader] = []
    thicknesses = _thicknesses(stack)
    with noted([]):
        for plane, image in _images(stack.planes):
            ds = _reference(image, plane.key.frame)
            if thickness := thicknesses[plane.key]:
                ds.SliceThickness = thickness
            if headers and "ImageOrientationPatient" in ds:
                # the source's directions may drift by less than the tolerance of a stack; a result has one orientation
                ds["ImageOrientationPatient"] = headers[0].ds["ImageOrientationPatient"]
            header = SourceHeader(
                key=plane.key,
                sop_class_uid=UID(image.get("SOPClassUID") or image.file_meta.MediaStorageSOPClassUID),
                frames=int(image.get("NumberOfFrames") or 1),
                ds=_identified(ds if headers else _whole(image, ds, stack), plane, stack),
            )
            headers.append(header)
    return tuple(headers)


def refer(seg: Dataset, headers: Sequence[SourceHeader]) -> None:
    """Make `seg`, which was made of `headers`, refer to the images that they stand for (PS3.3 10.3, C.12.4, C.12.2)."""
    by_uid = {header.ds.SOPInstanceUID: header for header in headers}
    for group in seg.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        if header := by_uid.get(image.ReferencedSOPInstanceUID):  # the segments of a plane share one item
            image.update(reference_to(header, [header]))
    seg.SourceImageSequence = references_to(headers)
    members = {header.key.sop_instance_uid: header for header in headers}
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [reference_to(one, ()) for one in members.values()]


def references_to(headers: Sequence[SourceHeader]) -> list[Dataset]:
    """Return a reference to each image that `headers` are planes of, and to its frames where they are not all."""
    members: dict[Uid, list[SourceHeader]] = {}
    for header in headers:
        members.setdefault(header.key.sop_instance_uid, []).append(header)
    return [
        reference_to(of_image[0], of_image if len(of_image) < of_image[0].frames else ())
        for of_image in members.values()
    ]


def reference_to(header: SourceHeader, members: Sequence[SourceHeader]) -> Dataset:
    """Return a reference to the image of `header`, and to the frames of `members` in it (PS3.3 10.3)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.sop_class_uid
    reference.ReferencedSOPInstanceUID = header.key.sop_instance_uid
    if frames := sorted(one.key.frame for one in members if one.key.frame is not None):
        reference.ReferencedFrameNumber = frames
    return reference


def newest_time(headers: Iterable[Dataset]) -> tuple[str, str]:
    """Return the newest (date, time) that dates a content in `headers`, or else their series or study.

    Where nothing at all does, it is the first day of 1900, as no date may be left out or made up from the clock.
    """
    known = tuple(headers)
    return max(_dates_in(known, _DATES), default=max(_dates_in(known, _COARSER_DATES), default=_NO_DATE))


def _dates_in(headers: Iterable[Dataset], pairs: _Pairs) -> Iterator[tuple[str, str]]:
    """Yield the valid dates of `pairs` in `headers`, each with its time."""
    for ds in headers:
        for date, time in pairs:
            day, hour = text(ds, date), text(ds, time)
            if day.isdigit() and is_valid(day, DA) and is_valid(hour, TM):
                yield day, hour or "000000"


def _images(planes: Sequence[Plane]) -> Iterator[tuple[Plane, Dataset]]:
    """Yield each plane with the header of its image; that of a multi-frame image is read once for all its planes."""
    known: dict[Uid, Dataset] = {}
    for plane in planes:
        ds = known.get(plane.key.sop_instance_uid)
        if ds is None:
            ds, _ = read_dataset(plane.source, str(plane.source), pixels=False)
        if plane.key.frame is not None:
            known[plane.key.sop_instance_uid] = ds
        yield plane, ds


def _reference(image: Dataset, frame: int | None) -> Dataset:
    """Return what a result needs of frame number `frame` of `image`: its place, size, dates, values, what it lost."""
    reference = Dataset()
    named = ("Rows", "Columns", "InstanceNumber", *_COMPRESSION, *(name for pair in _DATES for name in pair))
    for keyword in named:
        if keyword in image:
            reference[keyword] = image[keyword]
    _set_loss(reference, UID(image.file_meta.get("TransferSyntaxUID") or ""))
    for keyword, group in (_GEOMETRY | _WINDOW | _VALUES).items():
        for holder in _holders(image, frame, group):
            if keyword in holder and holder[keyword].VM:  # 0 is a value
                reference[keyword] = holder[keyword]
                break
    return reference


def _set_loss(reference: Dataset, syntax: UID) -> None:
    """Say that an image of the transfer `syntax` has lost something, and by which method, where it does not say so."""
    if syntax in _LOSSY:
        reference.add_new("LossyImageCompression", "CS", "01")
    lossy, method = (text(reference, f"LossyImageCompression{what}") for what in ("", "Method"))
    if lossy == "01" and not method and syntax in _METHODS:
        reference.add_new("LossyImageCompressionMethod", "CS", _METHODS[syntax])


def _holders(image: Dataset, frame: int | None, group: str) -> Iterator[Dataset]:
    """Yield what may state an element of the functional group `group` of a frame, the nearest first."""
    if frame is not None:
        for groups in (image.get("PerFrameFunctionalGroupsSequence") or ())[frame - 1 : frame]:
            yield from groups.get(group) or ()
        for groups in image.get("SharedFunctionalGroupsSequence") or ():
            yield from groups.get(group) or ()
    yield image


def _thicknesses(stack: Stack) -> dict[PlaneKey, float | None]:
    """Return each plane's slice thickness in mm; where it is not known, in a stack with a place, that of its slab."""
    placed = stack.frame_of_reference_uid is not None
    depths = [round(float(depth), 6) for depth in slab_depths(stack)] if placed else [None] * len(stack.planes)
    return {plane.key: plane.thickness or depth for plane, depth in zip(stack.planes, depths, strict=True)}


def _whole(image: Dataset, reference: Dataset, stack: Stack) -> Dataset:
    """Return the header of `image` without its frames and other names of the patient, healed, where `reference` is."""
    part = image[:]
    for keyword in (*_GEOMETRY, *_WINDOW, *_FRAMES, *_OTHER_IDENTIFIERS, "SliceThickness", "SpacingBetweenSlices"):
        if keyword in part:
            del part[keyword]
    whole = heal(deepcopy(part))  # else it shares its elements with the image
    whole.update(reference)
    if Fact.REGULAR in stack.facts:  # there is one distance between slices (PS3.3 C.7.6.16.2.1)
        whole.SpacingBetweenSlices = round(float(stack.gaps().mean()), 6)
    return whole


def _identified(ds: Dataset, plane: Plane, stack: Stack) -> Dataset:
    """Give `ds` an identity for `plane`, as a single-frame image with a place or without one, as `stack` has it."""
    ds.SOPInstanceUID = uid_of("plane", *plane.key)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = stack.study_uid, stack.series_uid
    if stack.frame_of_reference_uid:
        ds.SOPClassUID, ds.FrameOfReferenceUID = CTImageStorage, stack.frame_of_reference_uid
        return ds
    ds.SOPClassUID = SecondaryCaptureImageStorage
    absent = ["FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"]
    stated = numbers(ds, "PixelSpacing", 2, str(plane.source)) == plane.spacing
    if not stated or plane.thickness is None:  # readers want a spacing with a slice thickness, or neither
        absent.append("PixelSpacing")
    for keyword in absent:
        if keyword in ds:
            del ds[keyword]
    return ds
