"""What is read: of each storage class, each transfer syntax and each character set."""

from enum import StrEnum

from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.uid import UID

from dicomnode.dicom.conformity.modules import modules_of
from dicomnode.dicom.obstacles import CROSS_SECTIONAL, obstacle
from dicomnode.dicom.pixels.pixel_file import has_decoder
from dicomnode.dicom.prompts.references import KINDS


class Use(StrEnum):
    """What an instance of a class is to dicomnode."""

    PLACED = "images that must say where they lie"
    IMAGE = "images"
    ANNOTATION = "annotations"
    NONE = "kept, not used"


def use_of(sop_class_uid: str) -> Use:
    """Return what instances of a class are good for, as far as their class alone tells."""
    if sop_class_uid in KINDS:
        return Use.ANNOTATION
    ds = Dataset()
    if any("Rows" in module.keywords for module in modules_of(sop_class_uid)):
        ds.Rows = ds.Columns = 1
    if obstacle(ds, sop_class_uid, "an instance"):
        return Use.NONE
    return Use.PLACED if sop_class_uid in CROSS_SECTIONAL else Use.IMAGE


def reads_pixels(transfer_syntax_uid: str) -> bool:
    """Return whether the pixels of a transfer syntax can be read."""
    return has_decoder(UID(transfer_syntax_uid))


def character_sets() -> tuple[str, ...]:
    """Return the defined terms of Specific Character Set that texts are decoded by (PS3.3 C.12.1.1.2)."""
    return tuple(term for term in python_encoding if term.startswith(("ISO_IR", "ISO 2022 IR", "GB")))
