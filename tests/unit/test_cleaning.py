"""Taking specks out of masks, and finding what belongs together."""

from pathlib import Path

import numpy as np

from dicomnode.domain import Exclusion
from dicomnode.training.truths.cleaning import cleaned
from dicomnode.training.truths.nifti_pairs import NiftiPair, pairs_in


def test_parts_of_fewer_than_100_voxels_and_on_a_plane_of_fewer_than_10_pixels_go() -> None:
    volume = np.zeros((3, 20, 20), np.bool_)
    volume[:, 2:8, 2:8] = True  # 108 voxels
    volume[:2, 12:17, 12:17] = True  # 50
    volume[2, 8, 8] = volume[2, 9, 9] = True  # of the first, by a corner
    volume[2, 2:8, 2:8] = False
    volume[0, 0, 10:] = volume[0, 1, 10:] = volume[0, 0, :10] = True  # 30
    volume[1, 3:9, 3:9] = True
    volume[2, 4:9, 4:8] = True
    found = cleaned(dict(enumerate(volume)))
    assert not found[0][12:, 12:].any()
    assert not found[0][0].any()
    assert found[2][8, 8]
    assert found[0].sum() == 36


def test_of_one_plane_alone_no_volume_is_asked_for_and_an_empty_plane_goes() -> None:
    plane = np.zeros((10, 10), np.bool_)
    plane[:2, :5] = True
    assert cleaned({4: plane})[4].sum() == 10
    plane[1, 4] = False
    assert cleaned({4: plane}) == {}


def found_in(*names: str) -> tuple[list[NiftiPair], list[Exclusion]]:
    every = list(pairs_in([Path(name) for name in names]))
    pairs = [one for one in every if isinstance(one, NiftiPair)]
    return pairs, [one for one in every if isinstance(one, Exclusion)]


def test_images_and_label_maps_are_paired_as_they_are_usually_called() -> None:
    for image, label in (
        ("a/imagesTr/one_0000.nii.gz", "a/labelsTr/one.nii.gz"),
        ("a/one.nii", "a/one_seg.nii.gz"),
        ("a/one_image.nii.gz", "a/one-label.nii.gz"),
        ("a/one.nii.gz", "a/masks/one.nii.gz"),
    ):
        pairs, left_out = found_in(image, label, "a/other.nii.gz")
        assert pairs == [NiftiPair(Path(image), (Path(label),))]
        assert [Path(one.what).name for one in left_out] == ["other.nii.gz"]


def test_several_masks_in_a_folder_of_their_own_are_of_the_only_image_above() -> None:
    pairs, left_out = found_in("s1/ct.nii.gz", "s1/segmentations/liver.nii.gz", "s1/segmentations/spleen.nii.gz")
    assert [len(pair.labels) for pair in pairs] == [2]
    assert not left_out


def test_a_label_map_without_an_image_is_named_with_what_helps() -> None:
    _, left_out = found_in("a/CT_mask.nii.gz", "b/CT.nii.gz")
    assert "name the two as IMAGE=LABEL" in left_out[0].detail
