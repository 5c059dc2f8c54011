"""Small images of every kind of pixel storage, and their frames compressed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.uid import SecondaryCaptureImageStorage as SecondaryCapture

from dicomnode.dicom.pixels.image_pixel import ImagePixel

_UID = "1.2.826.0.1.3680043.8.498.7"


def image(pixels: NDArray[Any], **changes: Any) -> Dataset:  # noqa: ANN401 - any element
    """Return an image of `pixels`, ([frame,] row, column[, 3]) integers; `changes` are elements to set."""
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    shape = pixels.shape[:-1] if colour else pixels.shape
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = SecondaryCapture
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID(_UID)
    ds.Rows, ds.Columns = shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    if len(shape) == 3:
        ds.NumberOfFrames = shape[0]
    bits = pixels.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def write(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write `ds`, whose pixel data are as `syntax` wants them, and return the path."""
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    if "PixelData" in ds:
        ds.PixelData += b"\0" * (len(ds.PixelData) % 2)
        ds["PixelData"].VR = "OW"
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    ds.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return path


def write_encoded(ds: Dataset, path: Path, syntax: str, frames: Sequence[bytes], **options: Any) -> Path:  # noqa: ANN401 - pydicom's
    """Write `ds` with the compressed `frames` for pixels; `options` are those of pydicom's `encapsulate`."""
    ds.PixelData = encapsulate(list(frames), **options)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds["PixelData"].VR = "OB"
    ds.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return path


def stored(rows: int, columns: int, *, bits: int = 16, signed: bool = False) -> ImagePixel:
    """Return the description of a monochrome frame all of whose bits are stored."""
    return ImagePixel(
        rows=rows,
        columns=columns,
        samples=1,
        frames=1,
        allocated=bits,
        stored=bits,
        high=bits - 1,
        signed=signed,
        photometric="MONOCHROME2",
        planar=False,
    )


def texture(shape: tuple[int, ...], dtype: str = "u2") -> NDArray[Any]:
    """Return numbers over the range of `dtype` that differ from their neighbours, the same each time."""
    limits = np.iinfo(dtype)
    return np.random.default_rng(7).integers(limits.min, limits.max, shape, dtype, endpoint=True)
