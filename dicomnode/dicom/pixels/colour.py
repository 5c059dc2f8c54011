"""Turn what a colour image stores into 8-bit RGB."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from dicomnode.dicom.pixels.image_pixel import BYTE, ImagePixel
from dicomnode.dicom.reading import PARSER_ERRORS, noted
from dicomnode.errors import Reason, Refused

_ENTRIES_LIMIT = 1 << 16  # of a palette, PS3.3 C.7.6.3.1.5
_STUDIO_TO_RGB = np.array(  # Y 16..235 and chrominance 16..240 to 0..255, ITU-R BT.601
    [[1.1644, 1.1644, 1.1644], [0.0, -0.3918, 2.0172], [1.5960, -0.8130, 0.0]], np.float32
)


def rgb_of_native(colours: NDArray[Any], image: ImagePixel) -> NDArray[np.uint8]:
    """Return native `colours`, (row, column, 3) in the colour space that `image` names, as uint8 RGB."""
    whole = to_bytes(colours, image.stored)
    match image.photometric.removesuffix("_422"):
        case "YBR_FULL":
            return cast("NDArray[np.uint8]", convert_color_space(whole, "YBR_FULL", "RGB"))
        case "YBR_PARTIAL":
            rgb: NDArray[Any] = (whole - np.array([16, 128, 128], np.float32)) @ _STUDIO_TO_RGB
            return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)
        case _:
            return whole


def to_bytes(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return unsigned `values` of `bits` bits as uint8 over the full range: the upper 8 bits, where there are more."""
    if bits > BYTE:
        return (values >> (bits - BYTE)).astype(np.uint8)
    if bits < BYTE:
        return (values.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    return values.astype(np.uint8, copy=False)


class Palette:
    """The colours that the stored values of a PALETTE COLOR image stand for (PS3.3 C.7.6.3.1.5 and C.7.9)."""

    def __init__(self, ds: Dataset, what: str) -> None:
        try:
            with noted([]):
                count, self._first, _ = (int(number) for number in ds["RedPaletteColorLookupTableDescriptor"].value)
                ramp = np.arange(self._first, self._first + (count or _ENTRIES_LIMIT), dtype=np.int32)
                table = apply_color_lut(ramp, _little_endian(ds))[..., :3]
        except PARSER_ERRORS as error:
            raise Refused(Reason.INVALID_HEADER, what, f"its palette cannot be read: {error}") from error
        wide = table.dtype.itemsize > 1 and table.max(initial=0) > 255  # noqa: PLR2004 - some write bytes as words
        self._table = to_bytes(table, 2 * BYTE if wide else BYTE)

    def rgb(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colours, (row, column, 3) uint8, of the stored values, (row, column)."""
        entries = stored.astype(np.int32) - self._first
        return self._table[np.clip(entries, 0, len(self._table) - 1, out=entries)]


def _little_endian(ds: Dataset) -> Dataset:
    """Return the palette of `ds` with the words of its tables in little endian order, which pydicom takes them for."""
    if ds.original_encoding[1] is not False or "SegmentedRedPaletteColorLookupTableData" in ds:
        return ds
    palette = Dataset()
    palette["RedPaletteColorLookupTableDescriptor"] = ds["RedPaletteColorLookupTableDescriptor"]
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTableData"
        setattr(palette, keyword, np.frombuffer(ds[keyword].value, np.uint16).byteswap().tobytes())
    return palette
