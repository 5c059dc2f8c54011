"""Tell the keywords of DICOM's data dictionary from other words (PS3.6)."""

from pydicom.datadict import tag_for_keyword


def is_keyword(word: str) -> bool:
    """Return whether `word` is the keyword of an element."""
    return tag_for_keyword(word) is not None
