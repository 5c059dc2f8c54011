"""Find segments in SEGs that were just written, for objects that refer to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

from dicomnode.domain import PlaneKey, WrittenObject


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenSeg:
    """A SEG as others refer to it.

    `numbers` are those of its segments by what tracks them, also of those without a frame; `sources` are the images
    that it was made of, each with the numbers of its frames, None of a whole one.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    numbers: Mapping[str, int]
    sources: Mapping[str, frozenset[int] | None] = field(repr=False)

    def lies_on(self, key: PlaneKey) -> bool:
        """Return whether the plane `key` is among its sources."""
        frames = self.sources.get(key.sop_instance_uid, frozenset())
        return frames is None or key.frame in frames


def open_seg(seg: WrittenObject) -> WrittenSeg:
    """Return `seg` as others refer to it; the background of a label map is tracked by nothing."""
    header = dcmread(BytesIO(seg.content), stop_before_pixels=True)
    segments = header.SegmentSequence
    return WrittenSeg(
        sop_class_uid=seg.sop_class_uid,
        sop_instance_uid=seg.sop_instance_uid,
        series_uid=header.SeriesInstanceUID,
        numbers={item.TrackingUID: int(item.SegmentNumber) for item in segments if "TrackingUID" in item},
        sources={image.ReferencedSOPInstanceUID: _frames(image) for image in header.SourceImageSequence},
    )


def _frames(image: Dataset) -> frozenset[int] | None:
    """Return the frames that the reference `image` names, None where it names the whole."""
    named = image.get("ReferencedFrameNumber")
    return None if named is None else frozenset(map(int, named if isinstance(named, MultiValue) else [named]))
