"""Find segments in SEGs that were just written, for objects that refer to them."""

from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

from dicomnode.domain import PlaneKey, WrittenObject


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WrittenSeg:
    """A SEG as others refer to it; `header` is all of it but its pixels."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    header: Dataset = field(repr=False)

    def lists(self, tracking_uid: str) -> bool:
        """Return whether it has the segment that is tracked by `tracking_uid`, which may have no frame."""
        return tracking_uid in self._numbers()

    def number_of(self, tracking_uid: str) -> int:
        """Return the number of that segment."""
        return self._numbers()[tracking_uid]

    def lies_on(self, key: PlaneKey) -> bool:
        """Return whether the plane `key` is among its sources; an image without frame numbers is whole."""
        return any(
            image.ReferencedSOPInstanceUID == key.sop_instance_uid and _names(image, key.frame)
            for image in self.header.SourceImageSequence
        )

    def _numbers(self) -> dict[str, int]:
        """Return the segments' numbers by what tracks them; the background of a label map is tracked by nothing."""
        segments = self.header.SegmentSequence
        return {item.TrackingUID: int(item.SegmentNumber) for item in segments if "TrackingUID" in item}


def open_seg(seg: WrittenObject) -> WrittenSeg:
    """Return `seg` as others refer to it."""
    header = dcmread(BytesIO(seg.content), stop_before_pixels=True)
    return WrittenSeg(
        sop_class_uid=seg.sop_class_uid,
        sop_instance_uid=seg.sop_instance_uid,
        series_uid=header.SeriesInstanceUID,
        header=header,
    )


def _names(image: Dataset, frame: int | None) -> bool:
    """Return whether the reference `image` names `frame`: by its number, or as part of the whole."""
    named = image.get("ReferencedFrameNumber")
    return named is None or frame in (named if isinstance(named, MultiValue) else [named])
