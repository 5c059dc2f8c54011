"""Read coded concepts out of annotations (PS3.3 8.8)."""

from pydicom import Dataset

from dicomnode.dicom.reading import text
from dicomnode.domain import Code

SCHEME_LENGTH, MEANING_LENGTH = 16, 64  # characters of SH and LO (PS3.5 6.2)


def code_in(item: Dataset) -> Code | None:
    """Return the code of a code sequence's `item`, None where it is none or its scheme is too long to be written again.

    A meaning is cut to what may be written: it is for people, and the value says the same. A value of any length can
    be written, a longer one as Long Code Value (PS3.3 8.8), and some viewers state such as Code Value.
    """
    value = text(item, "CodeValue") or text(item, "LongCodeValue") or text(item, "URNCodeValue")
    scheme, meaning = text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning")
    if not value or not scheme or len(scheme) > SCHEME_LENGTH:
        return None
    return Code(value=value, scheme=scheme, meaning=(meaning or value)[:MEANING_LENGTH].rstrip())
