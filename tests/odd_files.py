"""What must become of each broken or odd file of pydicom, by the end of its path; all others are understood."""

from collections.abc import Mapping
from fnmatch import fnmatch

from tests.endurance import UNDERSTOOD

#: fate -> ends of paths, as patterns; the first that fits counts
FATES: Mapping[str, tuple[str, ...]] = {
    "NOT_DICOM": (
        *("LICENSE", "FileInfo.txt", "crayons.icc", "test1.json", "test_PN.json", "zipMR.gz", "no_meta.dcm"),
        *("JLSL_RGB_ILV?.dcm", "JLSN_RGB_ILV0.dcm"),  # data sets that begin with neither group 2 nor group 8
    ),
    "NO_GEOMETRY": ("emri_small*.dcm",),  # Enhanced MR without functional groups
    "TRUNCATED": (
        *("chrJapMulti.dcm", "chrJapMultiExplicitIR6.dcm", "chrKoreanMulti.dcm"),  # one pixel for all rows and columns
        *("MR_truncated.dcm", "rtplan_truncated.dcm"),
    ),
    "INVALID_HEADER": (
        *("chrSQEncoding.dcm", "chrSQEncoding1.dcm", "UN_sequence.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm"),
        *("JPEG2000-embedded-sequence-delimiter.dcm", "TINY_ALPHA/*/IM0000??"),
    ),
    "NOT_AN_IMAGE": (
        *("ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "badVR.dcm", "rtdose*.dcm", "rtplan.dcm"),
        *("waveform_ecg.dcm", "DICOMDIR", "DICOMDIR-*"),
    ),
    "NO_DECODER": ("JPEG-lossy.dcm", "JPGExtended.dcm"),
    "LOCALIZER": ("98892001/CT2N/6293", "98892001/CT2N/6924"),
    "PROJECTION": ("98892003/MR700/????",),
    "MISSING_UID": ("empty_charset_LEI.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"),
    "NOT_A_PROMPT": ("reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "test-SR.dcm"),
}


def fate_of(name: str) -> str:
    """Return what must become of the file at the path `name`."""
    ends = ((fate, end) for fate, patterns in FATES.items() for end in patterns)
    return next((fate for fate, end in ends if fnmatch(name, f"*/{end}")), UNDERSTOOD)
