"""Finished objects as a job gives them, made without our writers."""

from collections.abc import Iterable
from contextlib import closing
from io import BytesIO

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicomnode.domain import ObjectKind, Outcome, SegType, Uid, WrittenObject
from dicomnode.queue.steps import do_job
from dicomnode.store.desk import Desk
from tests.builders import ct_series
from tests.rows import ready_job


def seg_by_highdicom(seg_type: SegType, number: int, images: Iterable[Dataset] | None = None) -> WrittenObject:
    """Return a SEG of a block on `images`, called 2.25.`number`."""
    sources = list(images or ct_series(planes=3))
    mask = np.zeros((len(sources), int(sources[0].Rows), int(sources[0].Columns)), np.uint8)
    mask[:, 4:9, 6:13] = 1
    algorithm = hd.AlgorithmIdentificationSequence("a test", codes.DCM.ArtificialIntelligence, "1")
    described = hd.seg.SegmentDescription(1, "block", codes.SCT.Tissue, codes.SCT.Liver, "AUTOMATIC", algorithm)
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask,
        segmentation_type=seg_type.value,
        segment_descriptions=[described],
        series_instance_uid=UID(f"2.25.{number}1"),
        series_number=1,
        sop_instance_uid=UID(f"2.25.{number}"),
        instance_number=1,
        manufacturer="a test",
        manufacturer_model_name="a test",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    buffer = BytesIO()
    with closing(seg._db_con):  # noqa: SLF001 - its index, which it leaves open
        seg.save_as(buffer, enforce_file_format=True)
    return WrittenObject(
        kind=ObjectKind.SEG,
        sop_instance_uid=Uid(f"2.25.{number}"),
        sop_class_uid=Uid(str(seg.SOPClassUID)),
        content=buffer.getvalue(),
        alternative=seg_type,
    )


def hand_over(desk: Desk, *objects: WrittenObject) -> None:
    """Let a job give `objects`."""
    ready_job(desk.database)
    do_job(desk, lambda _job: Outcome(objects=objects, segments=(), exclusions=()), 3, "j1")
