"""Make studies that differ in everything that may differ, to see what of a header comes through into a result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import DataElement, Dataset, dcmread, dcmwrite
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import CTImageStorage, MRImageStorage

from dicomnode.dicom.conformity.modules import Module, modules_of
from dicomnode.dicom.phantom import Phantom, write_phantom
from dicomnode.dicom.uids import uid_of

# What a result may copy is in these modules of an image; the phantom's images have the others as it must be.
_FILLED = frozenset(
    {
        *("patient", "clinical-trial-subject", "general-study", "patient-study", "clinical-trial-study"),
        *("general-series", "clinical-trial-series", "general-equipment", "general-acquisition", "general-image"),
        *("frame-of-reference", "synchronization", "device", "specimen", "contrast-bolus", "ct-image", "sop-common"),
    }
)
# What would make the images others than they are, or cannot be made up by its VR alone.
_LEFT_ALONE = frozenset(
    {
        *("IconImageSequence", "PixelSpacingCalibrationType", "PixelPaddingRangeLimit", "TimezoneOffsetFromUTC"),
        *("MACParametersSequence", "DigitalSignaturesSequence", "EncryptedAttributesSequence", "QuadraticPhase"),
        *("OriginalAttributesSequence", "HL7StructuredDocumentReferenceSequence", "ContributingEquipmentSequence"),
        *("RealWorldValueMappingSequence", "PatientOrientation", "NumberOfFrames", "PresentationLUTShape"),
    }
)
_SCALED = frozenset({"ImagePositionPatient", "ContourData", "PixelSpacing", "SliceThickness"})
_POINTS = frozenset({"ImagePositionPatient", "ContourData", "ImageOrientationPatient"})
_SCALE = 1.25  # exact in binary: what it is applied to keeps its digits
_DEEPEST = 2  # sequences in each other that are made up
_CROPPED = 8  # pixels, of each axis
_FIRST, _LAST = 13, 17  # planes of the phantom, on which there is something of all its organs
_NEEDED = frozenset(  # what an image cannot be read without
    {
        *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
        *("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SamplesPerPixel", "Rows", "Columns"),
        *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
        *("RescaleSlope", "RescaleIntercept"),
    }
)
_TEXTS = frozenset({"CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
_KEPT = _NEEDED | _SCALED | {"ImageType"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """The files of a study: images, and the structure set drawn on them."""

    images: tuple[Path, ...]
    structure_set: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all of them."""
        return (*self.images, self.structure_set)


def write_studies(folder: Path) -> tuple[Study, Study, Study]:
    """Write into `folder` two studies of the phantom whose headers are full and alike in nothing, and a bare one.

    All attributes that a result may copy from a CT image have values in the first two; in the last one an image has no
    more than it can be read with.
    """
    phantom = write_phantom(folder / "phantom")
    planes = list(range(_FIRST, _LAST))
    return (
        _write(phantom, planes, folder / "first", _first),
        _write(phantom, planes[1:], folder / "second", _second),
        _write(phantom, planes, folder / "bare", _bare),
    )


def _write(phantom: Phantom, planes: list[int], folder: Path, change: Callable[[Dataset], None]) -> Study:
    folder.mkdir()
    return Study(
        images=tuple(_changed(phantom.images[index], folder, change) for index in planes),
        structure_set=_changed(phantom.structure_set, folder, change),
    )


def _changed(path: Path, folder: Path, change: Callable[[Dataset], None]) -> Path:
    ds = dcmread(path)
    change(ds)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    dcmwrite(folder / path.name, ds, enforce_file_format=True)
    return folder / path.name


def _first(ds: Dataset) -> None:
    _dress(ds, 1)
    ds.SpecificCharacterSet, ds.LossyImageCompression = "ISO_IR 100", "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        del ds[keyword]


def _second(ds: Dataset) -> None:
    """Make `ds` one of an MR study under other UIDs, cropped, with the patient turned a quarter and grown."""
    if "PixelData" in ds:
        ds.Modality, ds.RescaleSlope, ds.RescaleIntercept = "MR", "0.5", "-512"
        _crop(ds)
    ds.walk(_renamed)
    ds.walk(_moved)
    _dress(ds, 2)
    ds.SpecificCharacterSet, ds.LossyImageCompression = "ISO_IR 192", "01"


def _bare(ds: Dataset) -> None:
    if "PixelData" in ds:
        for element in list(ds):
            if element.keyword not in _NEEDED:
                del ds[element.tag]


def _dress(ds: Dataset, number: int) -> None:
    """Give `ds` a value, which `number` tells from others, of every attribute that it may have and does not need."""
    for element in _clothes(number):
        if element.keyword not in ds or ("PixelData" in ds and element.keyword not in _KEPT):
            ds[element.tag] = element
    ds.PatientSex, ds.TimezoneOffsetFromUTC = "MF"[number - 1], f"+0{number}00"
    if "StructureSetDate" in ds:  # the newest: it dates what is made
        ds.StructureSetDate, ds.StructureSetTime = f"2026020{number}", f"12000{number}"
    ds.private_block(0x0009, "A VENDOR", create=True).add_new(1, "LO", f"private {number}")


@cache
def _clothes(number: int) -> Dataset:
    """Return what `_dress` gives."""
    return _item([module for module in modules_of(CTImageStorage) if module.key in _FILLED], (), number)


def _values(modules: list[Module], path: tuple[str, ...], number: int) -> Iterator[tuple[str, Any]]:
    """Yield each attribute that `modules` have in the sequences of `path`, with a made-up value."""
    for module in modules:
        for one in module.attributes:
            tag = tag_for_keyword(one.keyword)
            if one.path == path and tag is not None and one.keyword not in _LEFT_ALONE:
                vr = dictionary_VR(tag)
                if vr == "SQ" and len(path) < _DEEPEST:
                    yield one.keyword, [_item([module], (*path, one.keyword), number)]
                elif (value := _value(vr, one.keyword, number)) is not None:
                    yield one.keyword, value


def _item(modules: list[Module], path: tuple[str, ...], number: int) -> Dataset:
    item = Dataset()
    for keyword, value in _values(modules, path, number):
        setattr(item, keyword, value)
    return item


def _value(vr: str, keyword: str, number: int) -> str | int | float | None:
    """Return a value of `vr`, None for bulk."""
    if vr in _TEXTS:
        return f"{keyword[:10].upper()} {number}"
    if vr in _NUMBERS:
        return number
    day = f"{sum(keyword.encode()) % 28 + 1:02}"  # it belongs to the keyword, for dates that differ
    values = {
        "AS": f"04{number}Y",
        "DA": f"20250{number}{day}",
        "DT": f"20250{number}{day}093000",
        "TM": f"0{number}00{day}",
        "UI": uid_of("variant", keyword, number),
    }
    return values.get(vr)


def _crop(ds: Dataset) -> None:
    pixels = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)[:-_CROPPED, :-_CROPPED]
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()


def _renamed(_: Dataset, element: DataElement) -> None:
    """Give what bears the phantom's UIDs others, in the same way everywhere, and make MR images of CT images."""
    if element.VR == "UI" and str(element.value).startswith("2.25."):
        element.value = uid_of("variant", str(element.value))
    elif element.value == CTImageStorage:
        element.value = MRImageStorage


def _moved(_: Dataset, element: DataElement) -> None:
    """Turn `element` a quarter about the patient's z axis where it has points or directions, and scale its lengths."""
    if element.keyword not in _SCALED | _POINTS:
        return
    values = np.atleast_1d(np.asarray(element.value, np.float64))
    if element.keyword in _SCALED:
        values = values * _SCALE
    if element.keyword in _POINTS:
        x, y, z = values.reshape(-1, 3).T
        values = np.column_stack([-y, x, z]).ravel()
    found = [round(float(value), 9) for value in values]
    element.value = found if len(found) > 1 else found[0]
