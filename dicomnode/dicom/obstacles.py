"""Say which instances make no stack, by name: what is no image, and what is no image to segment."""

import re

from pydicom import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    EnhancedUSVolumeStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    NuclearMedicineImageStorage,
    ParametricMapStorage,
    PositronEmissionTomographyImageStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from dicomnode.dicom.mosaics import is_mosaic
from dicomnode.dicom.reading import numbers, text
from dicomnode.errors import Reason

LabelMapSegmentationStorage = UID("1.2.840.10008.5.1.4.1.1.66.7")  # Supplement 243; pydicom 3.0 has no name for it
_HeightMapSegmentationStorage = UID("1.2.840.10008.5.1.4.1.1.66.8")  # Supplement 240; likewise
#: planes through the body: they must say where they lie
CROSS_SECTIONAL = frozenset(
    {
        CTImageStorage,
        EnhancedCTImageStorage,
        EnhancedMRColorImageStorage,
        EnhancedMRImageStorage,
        EnhancedPETImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
        LegacyConvertedEnhancedPETImageStorage,
        MRImageStorage,
        PositronEmissionTomographyImageStorage,
    }
)
_OTHER_PIXELS = {
    _HeightMapSegmentationStorage: "its pixels are heights",
    ParametricMapStorage: "its pixels are measurements in floating point",
    VLWholeSlideMicroscopyImageStorage: "its frames are tiles of a slide",
}
_SCREEN_SAVES = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "DOSE_INFO", "CSA REPORT"})
# words of Image Type values 3 and on (PS3.3 C.8.3.1.1.1, C.8.16.1) and of what scanners write beyond them
_PROJECTIONS = re.compile(
    r"(?<![A-Z0-9])(PROJECTION|MIP|MINIP|MNIP|MAX_IP|MIN_IP|VOLUME_RENDER|SURFACE_RENDER|CURVED_MPR)(?![A-Z0-9])"
)
_TOMOGRAM = "RECON"  # of NM: RECON TOMO and RECON GATED TOMO (PS3.3 C.8.4.9.1.1)


def obstacle(ds: Dataset, sop_class_uid: str, what: str) -> tuple[Reason, str] | None:
    """Return why the instance `ds` makes no stack, or None where it may."""
    name = UID(sop_class_uid).name
    if text(ds, "Modality") == "SR":
        return Reason.NOT_A_PROMPT, f"{name}: a report that describes no region"
    if sop_class_uid in _OTHER_PIXELS:
        return Reason.UNSUPPORTED_IMAGE, f"{name}: {_OTHER_PIXELS[UID(sop_class_uid)]}"
    known = name != sop_class_uid
    if known and "Image Storage" not in name and sop_class_uid != EnhancedUSVolumeStorage:
        return Reason.NOT_AN_IMAGE, name
    if not known and not ds.get("Rows"):
        return Reason.NOT_AN_IMAGE, f"a class that is not known ({name}), without Rows"
    size = [(numbers(ds, keyword, 1, what) or (0.0,))[0] for keyword in ("Rows", "Columns")]
    if min(size) < 1:
        return Reason.INVALID_HEADER, f"{name} without Rows or Columns"
    return _by_type(ds, sop_class_uid, what)


def _by_type(ds: Dataset, sop_class_uid: str, what: str) -> tuple[Reason, str] | None:
    """Return why an image of the type of `ds` is not to be segmented, or None."""
    kinds = text(ds, "ImageType").upper().split("\\")
    if "LOCALIZER" in kinds:
        return Reason.LOCALIZER, "ImageType says LOCALIZER"
    if saved := _SCREEN_SAVES.intersection(kinds):
        return Reason.SCREEN_SAVE, f"ImageType says {', '.join(sorted(saved))}"
    if sop_class_uid in CROSS_SECTIONAL and (projected := [one for one in kinds[2:] if _PROJECTIONS.search(one)]):
        return Reason.PROJECTION, f"ImageType says {', '.join(projected)}: its pixels lie on no plane"
    reconstructed = any(one.startswith(_TOMOGRAM) for one in kinds[2:])
    if sop_class_uid == NuclearMedicineImageStorage and reconstructed and ds.get("NumberOfFrames") not in (None, "", 1):
        detail = "a reconstructed NM tomogram: where its frames lie hangs on a sign that is not told alike by all"
        return Reason.UNSUPPORTED_IMAGE, detail
    if is_mosaic(ds, sop_class_uid, what):
        return Reason.UNSUPPORTED_MOSAIC, "a Siemens mosaic: its planes are tiles of one image and have no names"
    return None
