"""Say what a segmentation refers to, segment by segment: the evidence for which images it means."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from pydicom import Dataset

from dicomnode.dicom.prompts.region import References
from dicomnode.dicom.prompts.seg_descriptions import segments_of
from dicomnode.dicom.prompts.seg_frames import SegFrame, frames_of, planes_named
from dicomnode.dicom.reading import PARSER_ERRORS, items, numbers, text
from dicomnode.domain import Reference, RegionFacts, Uid, Vector
from dicomnode.errors import Reason, Refused

_MOST_SAMPLES = 200


def references_of_seg(ds: Dataset, what: str) -> References:
    """Return which images the segmentation `ds` was made from, its series and frame of reference, and places in it.

    Where no frame names an image, those that the object lists count once each. Refuses with NOT_A_PROMPT the
    segmentation of a whole slide, INVALID_HEADER and LIMIT.
    """
    frames, _ = frames_of(ds, what)
    try:
        return _references(ds, frames, what)
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"{type(error).__name__}: {error}") from error


def _references(ds: Dataset, frames: Sequence[SegFrame], what: str) -> References:
    series = items(ds, "ReferencedSeriesSequence")
    named = Counter(source for frame in frames for source in frame.sources)
    listed = Counter(plane for one in series for plane in planes_named(items(one, "ReferencedInstanceSequence")))
    made_from = Counter(planes_named(items(ds, "SourceImageSequence")))
    frame_of_reference = Uid(text(ds, "FrameOfReferenceUID")) or None
    uids = tuple(dict.fromkeys(Uid(uid) for one in series if (uid := text(one, "SeriesInstanceUID"))))
    samples = tuple(_samples(ds, frames, what))
    whole = RegionFacts(
        references=tuple(Reference(*one) for one in named.items()),
        series=uids,
        frame_of_reference=frame_of_reference,
        samples=samples,
    )
    return References(
        planes=dict(named or listed or made_from),
        series=uids,
        frames_of_reference=(frame_of_reference,) if frame_of_reference else (),
        samples=samples,
        regions=tuple(_by_segment(ds, frames, whole, what)),
        listed=tuple(dict.fromkeys(plane.sop_instance_uid for plane in (*listed, *made_from))),
    )


def _by_segment(ds: Dataset, frames: Sequence[SegFrame], whole: RegionFacts, what: str) -> Iterator[RegionFacts]:
    """Yield what each segment refers to, where its frames say which segment and which images they are of."""
    if not whole.references or any(frame.segment is None for frame in frames):
        yield whole
        return
    for number, item in dict(segments_of(ds, what)).items():
        own = [frame for frame in frames if frame.segment == number]
        named = Counter(source for frame in own for source in frame.sources)
        title = f"segment {number} {text(item, 'SegmentLabel')!r}"
        references = tuple(Reference(*one) for one in named.items())
        samples = tuple(_samples(ds, own, what))
        yield replace(whole, item=str(number), what=title, references=references, samples=samples)


def _samples(ds: Dataset, frames: Sequence[SegFrame], what: str) -> Iterator[Vector]:
    """Yield the middles of some frames, in patient mm."""
    rows, columns = ((numbers(ds, keyword, 1, what) or (1.0,))[0] for keyword in ("Rows", "Columns"))
    middle = np.array([[(columns - 1) / 2, (rows - 1) / 2]])
    grids = [frame.grid for frame in frames if frame.grid]
    for grid in grids[:: max(1, -(-len(grids) // _MOST_SAMPLES))]:
        x, y, z = (float(value) for value in grid.to_patient(middle)[0])
        yield x, y, z
