"""Results of masks that a test makes up."""

from collections.abc import Sequence

from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.domain import Annotation, Mask, ModelIdentity, SegType, Stack, WrittenObject


def segs_of(
    masks: Sequence[Mask],
    stack: Stack,
    annotation: Annotation,
    model: ModelIdentity,
    device_serial_number: str = "1",
    *,
    seg_type: SegType = SegType.BINARY,
) -> tuple[WrittenObject, ...]:
    """Return the SEGs of `masks`, which must be possible in `seg_type`."""
    return write_segs(findings_of(masks, stack, annotation, model, device_serial_number), seg_type)
