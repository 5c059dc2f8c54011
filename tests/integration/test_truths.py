"""Truth of every kind of file: the same structure is the same, however it is written, and bad files do not stop it."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own usage
from numpy.typing import NDArray

from dicomnode.domain import Exclusion
from dicomnode.errors import Refused, SettingsError
from dicomnode.inference.transforms import to_network
from dicomnode.inference.windows import to_byte_range
from dicomnode.training.truths.case import Case
from dicomnode.training.truths.gathering import cases_in, divide, gather
from dicomnode.training.truths.prepared import PreparedCase, PreparedPlanes, check_prepared, prepare
from dicomnode.training.wishes import Sight
from tests.builders import FRAME_OF_REFERENCE, ct_series, rtstruct, save, square
from tests.segs import frame, grid, seg, segment
from tests.truth_cases import case_of, drawn_case

BOX = (slice(8, 20), slice(10, 30))  # rows, columns


def found_in(*sources: Path | str) -> tuple[list[Case], list[Exclusion]]:
    every = list(cases_in(map(str, sources), Sight()))
    return [one for one in every if isinstance(one, Case)], [one for one in every if isinstance(one, Exclusion)]


def in_box(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[BOX] = True
    return mask


def test_a_structure_set_and_a_segmentation_of_the_same_have_the_same_mask(tmp_path: Path) -> None:
    images = ct_series(planes=5, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0), origin=(3.0, -20.0, 40.0))
    mask = in_box((images[0].Rows, images[0].Columns))
    contours = []
    for image in images:
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        contours.append([(x, y + u, z - v) for u, v in ((9.6, 7.6), (29.4, 7.6), (29.4, 19.4), (9.6, 19.4))])
    frames = [
        frame(1, at=grid(image.ImagePositionPatient, orientation=image.ImageOrientationPatient)) for image in images
    ]
    segmentation = seg(
        np.stack([mask] * 5).astype(np.uint8),
        frames,
        segments=[segment(1, "Liver")],
        FrameOfReferenceUID=FRAME_OF_REFERENCE,
    )
    save([*images, rtstruct(images, {"Liver": contours}), segmentation], tmp_path)
    (case,), left_out = found_in(tmp_path)
    assert [one for one in left_out if one.reason.refuses] == []
    assert (case.group, case.stack.modality, case.window.text) == ("TEST-1", "CT", "40/400")
    assert sorted(case.masks) == ["Liver", "Liver (2)"]
    for planes in case.masks.values():
        assert sorted(planes) == [0, 1, 2, 3, 4]
        assert all((one == mask).all() for one in planes.values())


def test_contours_across_the_planes_are_no_mask_and_what_dicomnode_has_no_mask_of_is_named(tmp_path: Path) -> None:
    images = ct_series(planes=5)
    across = [(10.0, 5.0, 0.0), (20.0, 5.0, 0.0), (20.0, 5.0, 10.0), (10.0, 5.0, 10.0)]
    save([*images, rtstruct(images, {"flat": [square(5, 5, 20, 20, 2.5)], "across": [across]})], tmp_path)
    (case,), left_out = found_in(tmp_path)
    assert list(case.masks) == ["flat"]
    assert [one.detail for one in left_out] == ["1 contours run across the planes"]


@pytest.fixture
def volume() -> tuple[sitk.Image, sitk.Image]:
    """Return an image in LPS with voxels thicker along the patient's axis, and its label map of two structures."""
    generator = np.random.default_rng(0)
    image = sitk.GetImageFromArray(generator.integers(-900, 900, (6, 32, 40)).astype(np.int16))
    labels = np.zeros((6, 32, 40), np.uint8)
    labels[1:5, 8:20, 10:30] = 1
    labels[2:6, 22:30, 5:20] = 7
    marked = sitk.GetImageFromArray(labels)
    for one in (image, marked):
        one.SetSpacing((1.0, 1.0, 3.0))
        one.SetOrigin((-12.0, 7.0, 90.0))
    return image, marked


@pytest.mark.parametrize(("image_axes", "label_axes"), [("LPS", "LPS"), ("RAS", "RAS"), ("SRP", "LAI"), ("PIR", "RAS")])
def test_a_nifti_pair_gives_the_same_case_in_whatever_order_its_voxels_lie(
    volume: tuple[sitk.Image, sitk.Image], image_axes: str, label_axes: str, tmp_path: Path
) -> None:
    image, labels = volume
    sitk.WriteImage(sitk.DICOMOrient(image, image_axes), str(tmp_path / "one.nii.gz"))
    sitk.WriteImage(sitk.DICOMOrient(labels, label_axes), str(tmp_path / "one_seg.nii.gz"))
    (case,), _ = found_in(tmp_path)
    shown = np.stack([plane.stored for plane in case.stack.planes])
    assert case.stack.modality == "CT"
    assert (shown == sitk.GetArrayFromImage(image)).all()
    assert {name: sorted(planes) for name, planes in case.masks.items()} == {
        "label 1": [1, 2, 3, 4],
        "label 7": [2, 3, 4, 5],
    }
    assert (case.masks["label 7"][5] == (sitk.GetArrayFromImage(labels)[5] == 7)).all()


def test_planes_are_those_across_which_voxels_are_thickest_as_a_viewer_shows_them(
    volume: tuple[sitk.Image, sitk.Image], tmp_path: Path
) -> None:
    image = volume[0]
    image.SetSpacing((4.0, 1.0, 1.0))  # sagittal planes
    for one, name in ((image, "one.nii"), (volume[1], "one_seg.nii")):
        one.SetSpacing((4.0, 1.0, 1.0))
        sitk.WriteImage(one, str(tmp_path / name))
    (case,), _ = found_in(tmp_path)
    voxels = sitk.GetArrayFromImage(image)  # superior, posterior, left
    shown = np.stack([plane.stored for plane in case.stack.planes])
    assert (shown == voxels[::-1, :, ::-1].transpose(2, 0, 1)).all()  # head up, front on the left


def test_a_label_map_on_a_coarser_grid_is_carried_by_its_place_and_one_elsewhere_is_refused(
    volume: tuple[sitk.Image, sitk.Image], tmp_path: Path
) -> None:
    image, labels = volume
    sitk.WriteImage(image, str(tmp_path / "image.nii"))
    coarse = sitk.Shrink(labels, [2, 2, 1])
    sitk.WriteImage(coarse, str(tmp_path / "coarse.nii"))
    coarse.SetOrigin((500.0, 500.0, 500.0))
    sitk.WriteImage(coarse, str(tmp_path / "far.nii"))
    (case,), left_out = found_in(*(f"{tmp_path}/image.nii={tmp_path}/{name}.nii" for name in ("coarse", "far")))
    carried, drawn = case.masks["label 1"][2], sitk.GetArrayFromImage(labels)[2] == 1
    assert 2 * (carried & drawn).sum() / (carried.sum() + drawn.sum()) > 0.9
    assert [one.reason for one in left_out] == ["FOR_MISMATCH"]


def test_challenge_files_of_each_form_are_read_and_bad_ones_named_while_the_rest_goes_on(tmp_path: Path) -> None:
    labels = in_box((32, 40)).astype(np.uint8) * 3
    grey = np.arange(32 * 40, dtype=np.uint8).reshape(32, 40)
    for name, images, truth in (
        ("2DBox_US_grey", grey, labels),
        ("2DBox_Endoscopy_rgb", np.stack([grey, grey[::-1], grey], axis=-1), labels),
        ("3DBox_CT_volume", np.stack([grey] * 3), np.stack([labels] * 3)),
        ("odd", np.stack([grey] * 3), labels[:, :20]),
        ("fractions", grey, labels / 4),
    ):
        np.savez(tmp_path / f"{name}.npz", imgs=images, gts=truth)
    np.savez(tmp_path / "bare.npz", imgs=grey)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "odd.npz").read_bytes()[:300])
    (tmp_path / "one.nii.gz").write_bytes(b"no image")
    (tmp_path / "one_seg.nii.gz").write_bytes(b"no labels")
    cases, left_out = found_in(tmp_path)
    assert [(case.stack.modality, case.stack.shape, list(case.masks)) for case in cases] == [
        ("OT", (1, 32, 40), ["label 3"]),
        ("US", (1, 32, 40), ["label 3"]),
        ("CT", (3, 32, 40), ["label 3"]),
    ]
    told = {Path(one.what).name: one.detail for one in left_out}
    assert sorted(told) == ["bare.npz", "cut.npz", "fractions.npz", "odd.npz", "one.nii.gz"]
    assert "no gts" in told["bare.npz"]
    assert "no label map" in told["fractions.npz"]


def test_a_prepared_plane_is_what_the_product_shows_its_network(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    mask = np.zeros((50, 100), np.bool_)
    mask[10:30, 20:60] = True
    case = case_of(generator.integers(0, 999, (3, 50, 100)).astype(np.uint16), {"one": {0: mask, 2: mask}})
    prepared = prepare(case, tmp_path)
    opened = PreparedPlanes(tmp_path, prepared)
    image = to_byte_range(case.stack.planes[2].shown(), case.window)
    assert np.abs(opened.plane(1).square - to_network(image, reference=False)[0]).max() < 1e-5
    assert (prepared.planes, prepared.objects, prepared.height, prepared.width) == (2, 2, 128, 256)
    rows, columns = np.nonzero(opened.plane(1).masks[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        26,
        76,
        51,
        153,
    )  # centres in 25.6-76.8, 51.2-153.6


def test_a_prepared_case_that_was_changed_is_refused_by_name(tmp_path: Path) -> None:
    prepared = prepare(drawn_case(0, 1, 2, 64), tmp_path)
    check_prepared(tmp_path, prepared)
    content = bytearray((tmp_path / "squares.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "squares.npy").write_bytes(content)
    with pytest.raises(Refused, match=rf"{tmp_path}.*damaged: it is not what was read of case 0"):
        check_prepared(tmp_path, prepared)
    (tmp_path / "masks.npy").unlink()
    with pytest.raises(Refused, match=r"what was read of case 0 is gone: .*masks\.npy"):
        check_prepared(tmp_path, prepared)


def test_prepared_planes_travel_without_their_pixels(tmp_path: Path) -> None:
    opened = PreparedPlanes(tmp_path, prepare(drawn_case(0, 1, 2, 64), tmp_path))
    travelled = pickle.dumps(opened)
    assert len(travelled) < 1000
    arrived = pickle.loads(travelled)  # noqa: S301 - made here
    assert (arrived.plane(0).square == opened.plane(0).square).all()


def some(*groups: str) -> Iterable[PreparedCase]:
    for number, group in enumerate(groups):
        yield PreparedCase(
            name=f"case {number}",
            group=group,
            modality="CT",
            window="40/400",
            height=256,
            width=256,
            planes=1,
            labels={"liver": 1},
            sha256=str(number),
        )


def test_a_split_is_by_patient_drawn_by_the_seed_and_of_about_the_share() -> None:
    cases = list(some(*"aabbccddeeffgghhiijj"))
    train, validation = divide(cases, 0.2, 0)
    assert (len(train), len(validation)) == (16, 4)
    assert not {case.group for case in train} & {case.group for case in validation}
    assert divide(cases, 0.2, 0) == (train, validation)
    assert any(divide(cases, 0.2, seed) != (train, validation) for seed in range(1, 4))
    assert len(divide(cases, 0.01, 0)[1]) == 2
    with pytest.raises(SettingsError, match="2 cases of one patient or file cannot be divided"):
        divide(list(some("a", "a")), 0.2, 0)


def test_the_same_case_twice_is_taken_once_and_one_of_specks_not_at_all(tmp_path: Path) -> None:
    speck = np.zeros((20, 20), np.bool_)
    speck[:3, :3] = True
    cases = [
        drawn_case(0, 1, 2, 64),
        drawn_case(0, 1, 2, 64),
        case_of(np.eye(20)[None].astype(np.uint16), {"speck": {0: speck}}),
    ]
    found, left_out = gather(cases, tmp_path, lambda _: None)
    assert len(found) == 1
    assert [one.reason for one in left_out] == ["DUPLICATE_INSTANCE", "EMPTY_RESULT"]
