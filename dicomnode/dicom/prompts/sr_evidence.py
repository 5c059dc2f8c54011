"""Say what a structured report is, and which series it lists as its evidence (PS3.3 C.17.2)."""

from collections.abc import Collection, Iterator

from pydicom import Dataset
from pydicom.uid import UID

from dicomnode.dicom.reading import first_item, items, text
from dicomnode.domain import Uid

_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


def evidence_of(ds: Dataset, named: Collection[Uid]) -> list[Uid]:
    """Return the listed series of images that hold one of `named`; where none does, all of them."""
    listed = list(_listed(ds))
    return [uid for uid, members in listed if members.intersection(named)] or [uid for uid, _ in listed]


def what_it_is(ds: Dataset) -> str:
    """Return the kind of report in words, with its title."""
    if "EncapsulatedDocument" in ds or "OsiriX ROI" in text(ds, "SeriesDescription"):
        return "an OsiriX ROI SR, whose regions only that program can read"
    title = text(first_item(ds, "ConceptNameCodeSequence"), "CodeMeaning")
    name = UID(text(ds, "SOPClassUID")).name
    return f"{name} {title!r}" if title else name


def _listed(ds: Dataset) -> Iterator[tuple[Uid, set[str]]]:
    """Yield each listed series that has images, and which."""
    for study in (study for keyword in _EVIDENCE for study in items(ds, keyword)):
        for series in items(study, "ReferencedSeriesSequence"):
            images = filter(_is_image, items(series, "ReferencedSOPSequence"))
            members = {text(one, "ReferencedSOPInstanceUID") for one in images}
            uid = text(series, "SeriesInstanceUID")
            if uid and members:
                yield Uid(uid), members


def _is_image(named: Dataset) -> bool:
    """Return whether `named` is an image by its class, not a segmentation or another report; unknown ones may be."""
    name = UID(text(named, "ReferencedSOPClassUID")).name
    return "Image Storage" in name or "Storage" not in name
