"""Say what one received instance is: an image, an annotation, or neither and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from dicomnode.dicom.frames import constant_tags, frames_of, without
from dicomnode.dicom.obstacles import obstacle
from dicomnode.dicom.prompts.references import KINDS, REFERENCES
from dicomnode.dicom.reading import PARSER_ERRORS, items, noted, read_dataset, text
from dicomnode.dicom.uids import derived_frame_of_reference
from dicomnode.domain import (
    Annotation,
    Exclusion,
    ImageInstance,
    Instance,
    OtherInstance,
    Reference,
    Uid,
    parse_uid,
)
from dicomnode.errors import Reason, Refused

MANUFACTURER = "dicomnode"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fallback:
    """The study and series UID of images whose own are empty."""

    series_uid: Uid
    study_uid: Uid


def describe(source: Path | BinaryIO, *, path: Path, digest: str, fallback: Fallback | None = None) -> Instance:
    """Return what the instance in `source` is, from its header; `path` is where it lies and names it in errors.

    Refuses what cannot be read, and what has no SOP Class, SOP Instance, Study or Series Instance UID (MISSING_UID).
    What has an identity is never refused here: where its header is no good, an OtherInstance says why.
    """
    what = str(path)
    ds, notes = read_dataset(source, what, pixels=False)
    identity = {**_identity(ds, what, fallback), "digest": digest, "path": path}
    if fallback and not text(ds, "SeriesInstanceUID"):
        notes = (*notes, f"{Reason.MISSING_UID}: study and series UID derived from the SOP Instance UIDs of its folder")
    try:
        with noted([]):  # elements are decoded when they are asked for, and odd ones warn then
            return _usable(ds, identity, notes, what)
    except Refused as error:
        return OtherInstance(**identity, exclusion=Exclusion.of(error))
    except PARSER_ERRORS as error:
        return _other(identity, Reason.INVALID_HEADER, f"{type(error).__name__}: {error}")


def is_own(ds: Dataset) -> bool:
    """Return whether dicomnode made `ds`: its Contributing Equipment says so (PS3.3 C.12.1)."""
    try:
        return any(item.get("Manufacturer") == MANUFACTURER for item in items(ds, "ContributingEquipmentSequence"))
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


def _usable(ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...], what: str) -> Instance:
    if identity["sop_class_uid"] in KINDS:
        return _annotation(ds, identity, notes, what)
    if is_own(ds):
        return _other(identity, Reason.OWN_RESULT, "dicomnode made it")
    if hindrance := obstacle(ds, identity["sop_class_uid"], what):
        return _other(identity, *hindrance)
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


def _image(ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...], what: str) -> ImageInstance:
    frames = frames_of(ds, identity["sop_class_uid"], what)
    frame_of_reference = None
    if frames[0].place:
        frame_of_reference, notes = _frame_of_reference(ds, identity, notes, what)
    tags = constant_tags(frames)
    return ImageInstance(
        **identity,
        modality=text(ds, "Modality"),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        frame_of_reference_uid=frame_of_reference,
        frames=tuple(without(frame, tags) for frame in frames),
        tags=tags,
        notes=notes,
    )


def _frame_of_reference(
    ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...], what: str
) -> tuple[Uid, tuple[str, ...]]:
    """Return the frame of reference that positions count in; where none is stated, the series is one of its own."""
    stated = text(ds, "FrameOfReferenceUID")
    if stated:
        return parse_uid(stated, f"{what}, FrameOfReferenceUID"), notes
    derived = derived_frame_of_reference(identity["series_uid"])
    return derived, (*notes, "no FrameOfReferenceUID: one is derived from the Series Instance UID")


def _annotation(ds: Dataset, identity: dict[str, Any], notes: tuple[str, ...], what: str) -> Annotation:
    kind = KINDS[UID(identity["sop_class_uid"])]
    found = REFERENCES[kind](ds, what)
    return Annotation(
        **identity,
        kind=kind,
        references=tuple(Reference(plane, count) for plane, count in found.planes.items()),
        referenced_series=found.series,
        frames_of_reference=found.frames_of_reference,
        samples=found.samples,
        objects=found.objects,
        regions=found.regions,
        listed=found.listed,
        own=is_own(ds),
        notes=notes,
    )
