"""The coded concepts that name a segment's property; generic ones, for anatomy is never invented."""

import re

from dicomnode.domain import Code

MORPHOLOGICALLY_ABNORMAL = Code(value="49755003", scheme="SCT", meaning="Morphologically Abnormal Structure")
LESION = Code(value="52988006", scheme="SCT", meaning="Lesion")
TISSUE = Code(value="85756007", scheme="SCT", meaning="Tissue")

_TARGET = re.compile(r"[GCP]TV\b|[GCP]TV[_\d-]", re.IGNORECASE)


def codes_for(name: str, interpreted_type: str) -> tuple[Code, Code]:
    """Return the property category and type of a region called `name` (PS3.16 CID 7150, 7151).

    A gross tumour volume is a lesion, by its RT ROI Interpreted Type or, where that is empty, by its name.
    """
    target = interpreted_type or (match[0][:3].upper() if (match := _TARGET.match(name)) else "")
    if target == "GTV":
        return MORPHOLOGICALLY_ABNORMAL, LESION
    return TISSUE, TISSUE
