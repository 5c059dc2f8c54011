"""Read cases in the format of the MedSAM challenge: `imgs` and `gts` in one .npz file."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused
from dicomnode.inference.windows import WHITE, Window, window_of
from dicomnode.training.truths.arrays import masks_of_labels, stack_of_voxels
from dicomnode.training.truths.case import Case

SUFFIX = ".npz"
_IMAGES, _LABELS = "imgs", "gts"
_PLANE, _VOLUME = 2, 3  # axes
_RGB = 3


def case_of_npz(path: Path, modality: str, window: str) -> Case:
    """Return the case in the file at `path`.

    `imgs` is (plane, row, column), (row, column) or (row, column, 3), `gts` the same without colours: 0 outside, 1 and
    more the labels. Bytes are grey levels already; other numbers go through `window`. Of a file called
    2DBox_MR_name.npz, 3DBox_CT_name.npz or CT_name.npz that is the modality where none is given. Refuses with
    UNREADABLE or INVALID_HEADER.
    """
    images, labels = _arrays(path)
    stack = stack_of_voxels(images, modality or _modality_in(path.stem), path)
    grey = images.dtype == np.uint8
    return Case(
        name=str(path),
        group=str(path),
        stack=stack,
        window=Window(0.0, WHITE, "as it is") if grey else window_of(stack, window),
        masks=masks_of_labels(labels, "", path),
    )


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images, (plane, row, column) or (plane, row, column, 3), and their labels, (plane, row, column)."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            images, labels = _content(content, path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(Reason.UNREADABLE, str(path), f"it is no .npz file that can be read: {error}") from error
    if labels.ndim == _PLANE:
        images, labels = images[None], labels[None]
    colours = images.ndim == _VOLUME + 1 and images.shape[-1] == _RGB
    if labels.ndim != _VOLUME or images.shape[:_VOLUME] != labels.shape or not (colours or images.ndim == _VOLUME):
        detail = f"{_IMAGES} is {images.shape} and {_LABELS} is {labels.shape}: they are no planes and their labels"
        raise Refused(Reason.INVALID_HEADER, str(path), detail)
    if colours and images.dtype != np.uint8:
        raise Refused(Reason.INVALID_HEADER, str(path), f"colours are uint8, and here they are {images.dtype}")
    return images, labels


def _content(content: Mapping[str, NDArray[Any]], path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    for name in (_IMAGES, _LABELS):
        if name not in content:
            detail = f"it has {', '.join(content) or 'nothing'}, and no {name}"
            raise Refused(Reason.INVALID_HEADER, str(path), detail)
    return content[_IMAGES], content[_LABELS]


def _modality_in(stem: str) -> str:
    parts = stem.split("_")
    named = parts[1] if len(parts) > 1 and parts[0] in ("2DBox", "3DBox") else parts[0]
    return named if named in ("CT", "MR", "PET", "US") else ""
