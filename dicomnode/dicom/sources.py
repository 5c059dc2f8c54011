"""Re-read the headers of a stack's images: what a result copies, and what it refers to."""

from collections.abc import Iterable, Iterator

from pydicom import Dataset
from pydicom.valuerep import DA, TM

from dicomnode.dicom.heal import heal, is_valid
from dicomnode.dicom.reading import noted, read_dataset, text
from dicomnode.domain import Fact, Plane, Stack
from dicomnode.geometry import slab_depths

_COPIED_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_Pairs = tuple[tuple[str, str], ...]
# what dates an object's content, an acquisition or a structure set (PS3.3 C.7.6.1, C.8.8.5)
_DATES: _Pairs = (
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("StructureSetDate", "StructureSetTime"),
)
_COARSER_DATES: _Pairs = (("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"))
_NO_DATE = ("19000101", "000000")  # Content Date is type 1 in a result, and the clock is no source of it


def source_headers(stack: Stack) -> tuple[Dataset, ...]:
    """Return a header for each plane of `stack`: the first healed and whole, the others with what a reference needs.

    Positions, orientation and spacing are the source's own texts; slice thickness and spacing are what the stack shows.
    """
    whole = _read(stack.planes[0])
    with noted([]):
        first = _identified(heal(whole), stack.planes[0], stack)
        first.SliceThickness = stack.planes[0].thickness or round(float(slab_depths(stack)[0]), 6)
        _set_spacing_between_slices(first, stack)
        return first, *(_reference(plane, first, stack) for plane in stack.planes[1:])


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


def _read(plane: Plane) -> Dataset:
    ds, _ = read_dataset(plane.source, str(plane.source), pixels=False)
    return ds


def _identified(ds: Dataset, plane: Plane, stack: Stack) -> Dataset:
    """Give `ds` the identity that the stack has for it: the data set's own may be empty."""
    ds.SOPInstanceUID = plane.key.sop_instance_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = stack.study_uid, stack.series_uid
    ds.SOPClassUID = ds.get("SOPClassUID") or ds.file_meta.MediaStorageSOPClassUID
    return ds


def _reference(plane: Plane, first: Dataset, stack: Stack) -> Dataset:
    ds = _read(plane)
    reference = Dataset()
    for keyword in (*_COPIED_GEOMETRY, "FrameOfReferenceUID", *(name for pair in _DATES for name in pair)):
        if keyword in ds:
            reference[keyword] = ds[keyword]
    reference.SOPClassUID = ds.get("SOPClassUID") or first.SOPClassUID
    # the source's directions may drift by less than the tolerance of a stack; a result has one orientation
    reference.ImageOrientationPatient = first.ImageOrientationPatient
    return _identified(reference, plane, stack)


def _set_spacing_between_slices(ds: Dataset, stack: Stack) -> None:
    """State the distance between slices where there is one (PS3.3 C.7.6.16.2.1), and none where there is not."""
    if Fact.REGULAR in stack.facts:
        ds.SpacingBetweenSlices = round(float(stack.gaps().mean()), 6)
    elif "SpacingBetweenSlices" in ds:
        del ds.SpacingBetweenSlices
