"""Truth of real files, compared with what others made of the same."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own usage

from dicomnode.training.truths.case import Case
from dicomnode.training.truths.gathering import cases_in
from dicomnode.training.wishes import Sight

pytestmark = pytest.mark.data


@pytest.mark.parametrize("modality", ["CT", "MR_T1", "PET"])
def test_contours_are_filled_as_others_filled_them(modality: str, data_dir: Path) -> None:
    folder = data_dir / "ibsi_sts"
    (case,) = (one for one in cases_in([str(folder / "dicom/STS_002" / modality)], Sight()) if isinstance(one, Case))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"nifti/STS_002/{modality}_mask.nii.gz"))) > 0
    ((_, planes),) = case.masks.items()
    found = np.zeros_like(truth)
    for index, mask in planes.items():
        found[index] = mask
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.999


def test_a_lesion_of_a_challenge_file_is_read_as_it_is(data_dir: Path) -> None:
    folder = data_dir / "acc_recist_ct/data/RECIST_train_npz"
    path = min(folder.glob("*.npz"))
    (case,) = (one for one in cases_in([str(path)], Sight()) if isinstance(one, Case))
    with np.load(path) as content:
        labels, images = content["gts"], content["imgs"]
    assert (case.stack.modality, case.window[:2]) == ("CT", (0.0, 255.0))
    assert sorted(case.masks["label 1"]) == np.flatnonzero((labels == 1).any(axis=(1, 2))).tolist()
    assert all((plane.stored == image).all() for plane, image in zip(case.stack.planes, images, strict=True))
