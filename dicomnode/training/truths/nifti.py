"""Read cases from NIfTI files: an image, and label maps or masks on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its usual name

from dicomnode.errors import Reason, Refused
from dicomnode.inference.windows import window_of
from dicomnode.training.truths.arrays import masks_of_labels, stack_of_voxels
from dicomnode.training.truths.case import Case, Masks
from dicomnode.training.truths.nifti_pairs import stem_of

_SAME = 1e-3  # of a voxel's side, or between unit vectors
_VOLUME = 3  # axes
# how planes are shown whose normal is nearest to left, posterior or superior: columns, rows and planes go to
_SHOWN = {0: "PIR", 1: "LIP", 2: "LPS"}
_THICKER = 1.5  # times the other two sides of a voxel: planes were acquired across the longest; else they are axial


def case_of_nifti(image_path: Path, label_paths: Sequence[Path], modality: str, window: str) -> Case:
    """Return the case of the image and of the label maps on it, by their places in the patient.

    Planes are those that were acquired, where voxels are thicker that way, else axial; they are turned as a viewer
    shows them. A label map on another grid gives each voxel of the image its nearest label. Refuses with UNREADABLE,
    INVALID_HEADER, or FOR_MISMATCH what lies elsewhere.
    """
    image = _read(image_path)
    shown = _SHOWN[_across(image)]
    stack = stack_of_voxels(sitk.GetArrayFromImage(sitk.DICOMOrient(image, shown)), modality, image_path)
    masks: dict[str, Masks] = {}
    for path in label_paths:
        labels = sitk.GetArrayFromImage(sitk.DICOMOrient(_on_grid(_read(path), image, path), shown))
        masks |= masks_of_labels(labels, stem_of(path) if len(label_paths) > 1 else "", path)
    return Case(name=str(image_path), group=str(image_path), stack=stack, window=window_of(stack, window), masks=masks)


def _read(path: Path) -> sitk.Image:
    """Return the volume in the file at `path`; a single plane becomes a volume of one."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1].strip()
        raise Refused(Reason.UNREADABLE, str(path), f"SimpleITK does not read it: {why}") from error
    if image.GetDimension() == _VOLUME - 1:
        image = sitk.JoinSeries(image)
    if image.GetDimension() != _VOLUME or image.GetNumberOfComponentsPerPixel() != 1:
        detail = (
            f"{image.GetDimension()} axes, {image.GetNumberOfComponentsPerPixel()} numbers a voxel: 3 and 1 are read"
        )
        raise Refused(Reason.INVALID_HEADER, str(path), detail)
    return image


def _across(image: sitk.Image) -> int:
    """Return the patient's axis (0 left, 1 posterior, 2 superior) that the planes of `image` are stacked along."""
    spacing = np.array(image.GetSpacing())
    nearest = np.abs(np.array(image.GetDirection()).reshape(_VOLUME, _VOLUME)).argmax(axis=0)
    thickest = int(spacing.argmax())
    if image.GetSize()[_VOLUME - 1] == 1:
        return int(nearest[_VOLUME - 1])
    others = np.delete(spacing, thickest)
    return int(nearest[thickest]) if spacing[thickest] >= _THICKER * others.max() else _VOLUME - 1


def _on_grid(labels: sitk.Image, image: sitk.Image, path: Path) -> sitk.Image:
    """Return `labels` on the grid of `image`."""
    same = labels.GetSize() == image.GetSize() and all(
        np.allclose(one, other, rtol=0, atol=_SAME * min(image.GetSpacing()))
        for one, other in (
            (labels.GetOrigin(), image.GetOrigin()),
            (labels.GetSpacing(), image.GetSpacing()),
            (labels.GetDirection(), image.GetDirection()),
        )
    )
    if same:
        return labels
    carried = sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, labels.GetPixelID())
    if sitk.GetArrayViewFromImage(labels).any() and not sitk.GetArrayViewFromImage(carried).any():
        raise Refused(Reason.FOR_MISMATCH, str(path), "nothing of it lies in the image")
    return carried
