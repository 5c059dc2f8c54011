"""Say what one received instance is: an image, an annotation, or neither and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset
from pydicom.uid import (
    UID,
    MediaStorageDirectoryStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from dicomnode.dicom.reading import PARSER_ERRORS, numbers, read_dataset, text
from dicomnode.domain import (
    Annotation,
    AnnotationKind,
    Exclusion,
    ImageInstance,
    Instance,
    OtherInstance,
    Uid,
    parse_uid,
)
from dicomnode.errors import Reason, Refused

MANUFACTURER = "dicomnode"
LabelMapSegmentationStorage = UID("1.2.840.10008.5.1.4.1.1.66.7")  # Supplement 243; pydicom 3.0 has no name for it
_GEOMETRY = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_WITH_PIXELS_BUT_NO_IMAGE = {RTDoseStorage, SegmentationStorage, LabelMapSegmentationStorage}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fallback:
    """The study and series UID of images whose own are empty."""

    series_uid: Uid
    study_uid: Uid


def describe(source: Path | BinaryIO, *, path: Path, sha256: str, fallback: Fallback | None = None) -> Instance:
    """Return what the instance in `source` is, from its header; `path` is where it lies and names it in errors.

    Refuses what cannot be read, and what has no SOP Class, SOP Instance, Study or Series Instance UID (MISSING_UID).
    What has an identity is never refused here: where its header is no good, an OtherInstance says why.
    """
    what = str(path)
    ds, notes = read_dataset(source, what, pixels=False)
    identity = {**_identity(ds, what, fallback), "sha256": sha256, "path": path}
    if fallback and not text(ds, "SeriesInstanceUID"):
        notes = (*notes, f"{Reason.MISSING_UID}: study and series UID derived from the SOP Instance UIDs of its folder")
    try:
        return _usable(ds, identity, notes, what)
    except Refused as error:
        return OtherInstance(**identity, exclusion=Exclusion.of(error))
    except PARSER_ERRORS as error:
        return _other(identity, Reason.INVALID_HEADER, f"{type(error).__name__}: {error}")


def is_own(ds: Dataset) -> bool:
    """Return whether dicomnode made `ds`: its Contributing Equipment says so (PS3.3 C.12.1)."""
    try:
        return any(item.get("Manufacturer") == MANUFACTURER for item in ds.get("ContributingEquipmentSequence") or ())
    except PARSER_ERRORS:
        return False


def identity_of_file(path: Path) -> str:
    """Return the SOP Instance UID of the file at `path`, from the data set or the file meta information, or ''."""
    try:
        ds, _ = read_dataset(path, str(path), pixels=False)
    except Refused:
        return ""
    meta = getattr(ds, "file_meta", None) or Dataset()
    return text(ds, "SOPInstanceUID") or text(meta, "MediaStorageSOPInstanceUID")


def items(ds: Dataset, keyword: str) -> Iterator[Dataset]:
    """Yield the items of the sequence `keyword`, none where it is absent, empty or no sequence."""
    value = ds.get(keyword)
    if value is not None and not isinstance(value, str | bytes):
        yield from value


def _usable(ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...], what: str) -> Instance:
    if is_own(ds):
        return _other(identity, Reason.OWN_RESULT, "dicomnode made it")
    if identity["sop_class_uid"] == RTStructureSetStorage:
        return _structure_set(ds, identity, notes)
    if obstacle := _obstacle(ds, identity["sop_class_uid"], what):
        return _other(identity, *obstacle)
    return _image(ds, identity, notes, what)


def _identity(ds: Dataset, what: str, fallback: Fallback | None) -> dict[str, Any]:
    meta = getattr(ds, "file_meta", None) or Dataset()
    names = {
        "SOPClassUID": text(ds, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID"),
        "SOPInstanceUID": text(ds, "SOPInstanceUID") or text(meta, "MediaStorageSOPInstanceUID"),
        "StudyInstanceUID": text(ds, "StudyInstanceUID") or (fallback and fallback.study_uid),
        "SeriesInstanceUID": text(ds, "SeriesInstanceUID") or (fallback and fallback.series_uid),
    }
    if names["SOPClassUID"] == MediaStorageDirectoryStorage:
        raise Refused(Reason.NOT_AN_IMAGE, what, "it is a DICOMDIR")
    if missing := [name for name, value in names.items() if not value]:
        raise Refused(Reason.MISSING_UID, what, f"{', '.join(missing)} missing or empty")
    return {
        "sop_class_uid": parse_uid(names["SOPClassUID"], f"{what}, SOPClassUID"),
        "sop_instance_uid": parse_uid(names["SOPInstanceUID"], f"{what}, SOPInstanceUID"),
        "study_uid": parse_uid(names["StudyInstanceUID"], f"{what}, StudyInstanceUID"),
        "series_uid": parse_uid(names["SeriesInstanceUID"], f"{what}, SeriesInstanceUID"),
    }


def _other(identity: dict[str, Any], reason: Reason, detail: str) -> OtherInstance:
    exclusion = Exclusion(what=str(identity["path"]), reason=reason, detail=detail)
    return OtherInstance(**identity, exclusion=exclusion)


def _obstacle(ds: Dataset, sop_class_uid: str, what: str) -> tuple[Reason, str] | None:
    """Return why `ds` is not an image this version makes stacks of, or None."""
    name = UID(sop_class_uid).name
    if sop_class_uid in (SegmentationStorage, LabelMapSegmentationStorage) or text(ds, "Modality") == "SR":
        return Reason.NOT_A_PROMPT, f"{name} is not read as an annotation by this version"
    if sop_class_uid in _WITH_PIXELS_BUT_NO_IMAGE or ("Image Storage" not in name and not ds.get("Rows")):
        return Reason.NOT_AN_IMAGE, name
    if not ds.get("Rows") or not ds.get("Columns"):
        return Reason.INVALID_HEADER, f"{name} without Rows or Columns"
    if "LOCALIZER" in text(ds, "ImageType"):
        return Reason.LOCALIZER, "ImageType says LOCALIZER"
    return _limit(ds, name, what)


def _limit(ds: Dataset, name: str, what: str) -> tuple[Reason, str] | None:
    """Return which kind of image `ds` is that this version does not read, or None."""
    frames = (numbers(ds, "NumberOfFrames", 1, what) or (1.0,))[0]
    if frames != 1 or ds.get("SharedFunctionalGroupsSequence"):
        return Reason.UNSUPPORTED_MULTIFRAME, f"{name} with {frames:.0f} frames is not read by this version"
    if (numbers(ds, "SamplesPerPixel", 1, what) or (1.0,))[0] != 1:
        return Reason.UNSUPPORTED_IMAGE, "colour images are not read by this version"
    absent = [keyword for keyword in _GEOMETRY if not ds.get(keyword)]
    if absent:
        return Reason.NO_GEOMETRY, f"{', '.join(absent)} missing or empty"
    return None


def _image(ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...], what: str) -> ImageInstance:
    position = numbers(ds, "ImagePositionPatient", 3, what)
    orientation = numbers(ds, "ImageOrientationPatient", 6, what)
    spacing = numbers(ds, "PixelSpacing", 2, what)
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        raise Refused(Reason.INVALID_HEADER, what, f"PixelSpacing is {spacing}: two positive numbers are wanted")
    _check_orientation(orientation, what)
    return ImageInstance(
        **identity,
        modality=text(ds, "Modality"),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        position=(position[0], position[1], position[2]),
        orientation=(
            *(orientation[0], orientation[1], orientation[2]),
            *(orientation[3], orientation[4], orientation[5]),
        ),
        spacing=(spacing[0], spacing[1]),
        frame_of_reference_uid=parse_uid(ds.FrameOfReferenceUID, f"{what}, FrameOfReferenceUID"),
        notes=notes,
    )


def _check_orientation(orientation: tuple[float, ...], what: str) -> None:
    """Refuse direction cosines that are not two unit vectors at a right angle within 1e-3 (PS3.3 C.7.6.2.1.1)."""
    row, column = orientation[:3], orientation[3:]
    lengths = [sum(value * value for value in vector) ** 0.5 for vector in (row, column)]
    product = sum(a * b for a, b in zip(row, column, strict=True))
    if any(abs(length - 1) > 1e-3 for length in lengths) or abs(product) > 1e-3:  # noqa: PLR2004
        detail = f"ImageOrientationPatient {orientation}: two unit vectors at a right angle within 0.001 are wanted"
        raise Refused(Reason.INVALID_HEADER, what, detail)


def _structure_set(ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...]) -> Annotation:
    if "ROIContourSequence" not in ds:  # type 1 (PS3.3 C.8.8.6): a file may be cut off between two elements
        raise Refused(Reason.INVALID_HEADER, str(identity["path"]), "a structure set without ROIContourSequence")
    referenced = _referenced_images(ds)
    series = tuple(dict.fromkeys(Uid(str(item.get("SeriesInstanceUID"))) for item in _referenced_series(ds)))
    frames = dict.fromkeys(
        Uid(str(item.get("ReferencedFrameOfReferenceUID") or "")) for item in items(ds, "StructureSetROISequence")
    )
    return Annotation(
        **identity,
        kind=AnnotationKind.RTSTRUCT,
        referenced_images=referenced,
        referenced_series=series,
        frames_of_reference=tuple(uid for uid in frames if uid),
        notes=notes,
    )


def _referenced_images(ds: Dataset) -> dict[Uid, int]:
    """Count how many contours name each image; where none does, the images that the series lists count once."""
    contours = (contour for roi in items(ds, "ROIContourSequence") for contour in items(roi, "ContourSequence"))
    counts = Counter(_uid_of(image) for contour in contours for image in items(contour, "ContourImageSequence"))
    listed = Counter(
        _uid_of(image) for series in _referenced_series(ds) for image in items(series, "ContourImageSequence")
    )
    return dict(counts or listed)


def _referenced_series(ds: Dataset) -> Iterator[Dataset]:
    for frame in items(ds, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame, "RTReferencedStudySequence"):
            yield from items(study, "RTReferencedSeriesSequence")


def _uid_of(image: Dataset) -> Uid:
    return Uid(str(image.get("ReferencedSOPInstanceUID") or ""))
