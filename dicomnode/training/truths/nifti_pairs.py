"""Find which NIfTI files are label maps, and of which images, by the names that are usual for them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dicomnode.domain import Exclusion
from dicomnode.errors import Reason

SUFFIXES = (".nii", ".nii.gz")
_FOLDER = re.compile(r"(labels?|masks?|gts?|segs?|segmentations?|annotations?)(tr|ts|val)?", re.IGNORECASE)
_LABEL_END = re.compile(r"[-_.](labels?|labelmap|masks?|msk|gt|seg|segmentation)$", re.IGNORECASE)
_IMAGE_END = re.compile(r"[-_.](0000|image|img)$", re.IGNORECASE)  # 0000: the first channel of nnU-Net


class NiftiPair(NamedTuple):
    """An image and the label maps on it."""

    image: Path
    labels: tuple[Path, ...]


def is_nifti(path: Path) -> bool:
    """Return whether `path` is called as NIfTI files are."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(path: Path) -> str:
    """Return the name of `path` without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def pairs_in(paths: Sequence[Path]) -> Iterator[NiftiPair | Exclusion]:
    """Yield the images among `paths` that have label maps, and what has no partner.

    A label map lies in a folder called labels, labelsTr, masks, segmentations and so on, or its name ends in _label,
    _mask, _seg or _gt. Its image has the same name without that, and may end in _image or _0000; it lies beside it, or
    of a folder of label maps in the one above, or beside that. Where none has, the only image in the folder above is
    meant.
    """
    images = [path for path in paths if not _is_label(path)]
    found: dict[Path, list[Path]] = defaultdict(list)
    for label in (path for path in paths if _is_label(path)):
        candidates = _images_of(label, images)
        if len(candidates) == 1:
            found[candidates[0]].append(label)
        else:
            named = "several images" if candidates else "no image"
            detail = f"{named} with its name; name the two as IMAGE=LABEL"
            yield Exclusion(what=str(label), reason=Reason.NO_IMAGES, detail=detail)
    for image in images:
        if image in found:
            yield NiftiPair(image, tuple(found[image]))
        else:
            detail = "there is no label map with its name"
            yield Exclusion(what=str(image), reason=Reason.NOT_SELECTED, detail=detail)


def _is_label(path: Path) -> bool:
    return bool(_FOLDER.fullmatch(path.parent.name) or _LABEL_END.search(stem_of(path)))


def _images_of(label: Path, images: Iterable[Path]) -> list[Path]:
    key, folder = _LABEL_END.sub("", stem_of(label)), label.parent
    if not _FOLDER.fullmatch(folder.name):
        return [one for one in images if one.parent == folder and _IMAGE_END.sub("", stem_of(one)) == key]
    near = [one for one in images if folder.parent in (one.parent, one.parent.parent) or one.parent == folder]
    named = [one for one in near if _IMAGE_END.sub("", stem_of(one)) == key]
    return named or [one for one in near if one.parent == folder.parent]
