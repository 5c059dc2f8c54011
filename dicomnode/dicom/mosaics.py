"""Tell a mosaic, one MR image whose pixels are the planes of a volume as tiles, by its header."""

from pydicom import Dataset
from pydicom.uid import MRImageStorage

from dicomnode.dicom.reading import numbers, text
from dicomnode.dicom.tags import private_value
from dicomnode.errors import Refused

_TILES = (0x0019, "SIEMENS MR HEADER", 0x0A)  # Number of images in mosaic
_WIDEST_MM = 600.0  # both ways: the bores of scanners are up to 700 mm, their fields of view up to 550 mm wide


def is_mosaic(ds: Dataset, sop_class_uid: str, what: str) -> bool:
    """Return whether `ds` is a mosaic: it says so, its private header does, or its size gives it away."""
    named = "MOSAIC" in text(ds, "ImageType").upper().split("\\")
    return named or _private_tiles(ds) > 1 or (sop_class_uid == MRImageStorage and _is_too_large(ds, what))


def _private_tiles(ds: Dataset) -> int:
    """Return how many planes a Siemens header says that the image is a mosaic of, 0 where it says nothing."""
    value = private_value(ds, *_TILES)
    return int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value or 0))


def _is_too_large(ds: Dataset, what: str) -> bool:
    """Return whether the image is wider and higher than any scanner sees, and whole multiples of what was acquired.

    The pixels of a mosaic are those of a tile, so all of it is many times as large as the field of view. Multiples
    alone would be interpolation (PS3.3 C.8.3.1, Acquisition Matrix: rows and columns of frequency, then of phase).
    """
    try:
        spacing = numbers(ds, "PixelSpacing", 2, what)
        acquired = sorted(int(value) for value in numbers(ds, "AcquisitionMatrix", 4, what) or () if value > 0)
    except Refused:  # what is wrong with them is told where they are needed
        return False
    size = sorted((int(ds.Rows), int(ds.Columns)))
    if spacing is None or len(acquired) != len(size):
        return False
    whole = all(pixels % part == 0 for pixels, part in zip(size, acquired, strict=True))
    return whole and min(ds.Rows * spacing[0], ds.Columns * spacing[1]) > _WIDEST_MM
