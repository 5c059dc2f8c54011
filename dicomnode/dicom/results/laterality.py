"""Say which side of a paired body part a picture or presentation state shows (Laterality, PS3.3 C.7.3.1)."""

from pydicom import Dataset

from dicomnode.dicom.reading import text

# values of Body Part Examined that there is one of (PS3.16 L): of others the side must be said, or that it is not known
_UNPAIRED = (
    *("BRAIN", "CEREBELLUM", "FACE", "HEAD", "HEADNECK", "JAW", "LARYNX", "MAXILLA", "MOUTH", "NECK", "NOSE"),
    *("PHARYNX", "SKULL", "THYROID", "TONGUE", "TRACHEA", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV"),
    *("AORTA", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "ESOPHAGUS", "HEART", "MEDIASTINUM", "STERNUM", "THYMUS"),
    *("ABDOMEN", "ABDOMENPELVIS", "COLON", "DUODENUM", "GALLBLADDER", "ILEUM", "JEJUNUM", "LIVER", "PANCREAS"),
    *("SPLEEN", "STOMACH", "BLADDER", "CERVIX", "PELVIS", "PENIS", "PROSTATE", "RECTUM", "URETHRA", "UTERUS"),
    *("VAGINA", "VULVA", "BACK", "COCCYX", "CSPINE", "CTSPINE", "LSPINE", "LSSPINE", "SPINE", "SSPINE", "TLSPINE"),
    *("TSPINE", "WHOLEBODY"),
)


def set_laterality(ds: Dataset, source: Dataset) -> None:
    """Give `ds`, which has the body part of `source`, the side that the source states, or say that it is not known."""
    if text(ds, "BodyPartExamined") in _UNPAIRED:
        return
    stated = text(source, "Laterality") or text(source, "ImageLaterality")
    ds.Laterality = stated if stated in {"L", "R"} else ""
