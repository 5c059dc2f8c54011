"""What stands and what is to be seen in pictures of results, and that two builds are the same bytes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.pictures import write_pictures
from dicomnode.dicom.results.presentation import write_presentation_states
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.domain import Box, JobOptions, Mask, ObjectKind, SegType, Stack, WrittenObject
from dicomnode.errors import Reason, Refused
from dicomnode.pipeline import Tools, run
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, stack_of
from tests.multiframe import enhanced, film
from tests.shown import block, boxed, findings_with, found, pictures_of, read, rewritten, saved
from tests.validation import errors_of

SQUARE = block(slice(5, 9), slice(6, 12))
GREEN, YELLOW = (0, 255, 0), (255, 210, 0)
FACTOR = 13  # 40 columns become 520


def pixels(picture: Dataset) -> NDArray[np.uint8]:
    """Return the part of `picture` that shows a plane of 32 rows, (row, column, 3)."""
    return np.asarray(picture.pixel_array[: 32 * FACTOR])


def of_colour(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray((picture == colour).all(axis=-1))


def test_each_plane_with_a_box_or_a_mask_is_a_picture_in_one_series(tmp_path: Path) -> None:
    images = ct_series()
    stack = stack_of(images, tmp_path / "images")
    box = Box(x0=4.5, y0=3.5, x1=20.5, y1=21.5)
    masks = boxed(stack, {1: SQUARE, 3: SQUARE}, boxes={1: box, 2: box})
    pictures = pictures_of(findings_with(stack, tmp_path, masks))
    named = [picture.SourceImageSequence[0].ReferencedSOPInstanceUID for picture in pictures]
    assert named == [images[index].SOPInstanceUID for index in (1, 2, 3)]
    assert [picture.InstanceNumber for picture in pictures] == [1, 2, 3]
    assert len({picture.SeriesInstanceUID for picture in pictures}) == 1
    assert len({picture.SOPInstanceUID for picture in pictures}) == 3
    assert len({picture.pixel_array.shape for picture in pictures}) == 1


def test_a_picture_says_what_it_is_and_lies_nowhere(tmp_path: Path) -> None:
    (picture,) = pictures_of(found(ct_series(spacing=(0.5, 0.26)), tmp_path, ({1: SQUARE}, "organ")))
    assert picture.SOPClassUID == SecondaryCaptureImageStorage
    assert (picture.Modality, picture.ConversionType, picture.BurnedInAnnotation) == ("OT", "DI", "YES")
    assert picture.ImageType == ["DERIVED", "SECONDARY"]
    assert picture.PatientOrientation == ["L", "P"]
    assert picture.PixelSpacing == [round(0.5 / FACTOR, 14), 0.02]
    assert picture.SeriesNumber == 2601
    assert picture.SeriesDescription == "fills the box organ"
    assert "visual check" in picture.DerivationDescription
    assert picture.ContentDate == picture.DateOfSecondaryCapture == "20260102"
    assert not {"ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"} & {
        element.keyword for element in picture
    }
    assert any(item.Manufacturer == "dicomnode" for item in picture.ContributingEquipmentSequence)


def test_the_outline_goes_round_the_mask_and_hides_nothing_in_it(tmp_path: Path) -> None:
    holed = SQUARE & ~block(slice(6, 7), slice(8, 9))
    stack = stack_of(ct_series(), tmp_path / "images")
    (picture,) = pictures_of(findings_with(stack, tmp_path, boxed(stack, {1: holed}, boxes={})))
    shown = pixels(picture)
    drawn = of_colour(shown, GREEN)
    inside = holed.repeat(FACTOR, axis=0).repeat(FACTOR, axis=1)
    assert not (drawn & inside).any()
    assert (shown[inside][:, 0] == shown[inside][:, 1]).all()
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max()) == (5 * FACTOR - 2, 9 * FACTOR + 1)
    assert (columns.min(), columns.max()) == (6 * FACTOR - 2, 12 * FACTOR + 1)
    assert drawn[6 * FACTOR : 7 * FACTOR, 8 * FACTOR].all()  # the hole has a line, within it
    assert not drawn[6 * FACTOR + 3, 8 * FACTOR + 3]


def test_an_outline_in_another_mask_is_to_be_seen(tmp_path: Path) -> None:
    liver, lesion = block(slice(3, 28), slice(3, 35)), SQUARE
    stack = stack_of(ct_series(), tmp_path / "images")
    masks = [
        boxed(stack, {1: liver}, "liver", boxes={}),
        boxed(stack, {1: lesion}, "lesion", colour=(255, 0, 255), boxes={}),
    ]
    (picture,) = pictures_of(findings_with(stack, tmp_path, *masks))
    drawn = of_colour(pixels(picture), (255, 0, 255))
    assert np.count_nonzero(drawn) == 2 * 2 * FACTOR * (4 + 6)  # lines of 2 pixels, without corners


def test_boxes_have_a_colour_of_their_own_and_are_whole_at_the_edge_of_the_image(tmp_path: Path) -> None:
    stack = stack_of(ct_series(), tmp_path / "images")
    box = Box(x0=-0.5, y0=3.5, x1=20.5, y1=31.5)
    (picture,) = pictures_of(findings_with(stack, tmp_path, boxed(stack, {1: SQUARE}, boxes={1: box})))
    rows, columns = np.nonzero(of_colour(pixels(picture), YELLOW))
    assert (rows.min(), rows.max()) == (4 * FACTOR - 2, 32 * FACTOR - 1)
    assert (columns.min(), columns.max()) == (0, 21 * FACTOR + 1)


@pytest.mark.parametrize(("kind", "greys"), [("MONOCHROME2", [0, 127, 255]), ("MONOCHROME1", [255, 127, 0])])
def test_greys_are_those_of_the_window_in_the_header(tmp_path: Path, kind: str, greys: list[int]) -> None:
    images = ct_series(WindowCenter=["-14.5", "40"], WindowWidth=["21", "400"])  # from -25 to -5 HU
    for image in images:
        image.PhotometricInterpretation = kind
        stored = np.full((32, 40), 900, np.int16)
        stored[0, :3] = 999, 1009, 1019  # -25, -15 and -5 HU
        image.PixelData = stored.tobytes()
    (picture,) = pictures_of(found(images, tmp_path, ({1: SQUARE}, "organ")))
    assert pixels(picture)[0, ::FACTOR][:3, 0].tolist() == greys


def test_a_window_of_nothing_is_not_believed(tmp_path: Path) -> None:
    (picture,) = pictures_of(found(ct_series(WindowCenter="0", WindowWidth="1"), tmp_path, ({1: SQUARE}, "organ")))
    assert len(np.unique(pixels(picture)[..., 0])) > 3


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
def test_what_is_small_and_bright_is_not_white_all_over(tmp_path: Path, kind: str) -> None:
    source = film(1, colour=False)
    source.PhotometricInterpretation = kind
    stored = np.random.default_rng(1).integers(0, 100, (32, 40)).astype(np.int16)
    stored[5:7, 6:10] = np.linspace(5000, 9000, 8).reshape(2, 4)
    source.PixelData = stored.tobytes()
    (picture,) = pictures_of(found([source], tmp_path, ({0: block(slice(5, 7), slice(6, 10))}, "lesion")))
    assert len(np.unique(pixels(picture)[5 * FACTOR : 7 * FACTOR, 6 * FACTOR : 10 * FACTOR, 0])) >= 7


def test_colours_of_a_film_stay_and_its_frames_are_named(tmp_path: Path) -> None:
    source = film(3, colour=True)
    pictures = pictures_of(found([source], tmp_path, ({0: SQUARE, 2: SQUARE}, "organ")))
    named = [
        (one.SourceImageSequence[0].ReferencedSOPInstanceUID, one.SourceImageSequence[0].ReferencedFrameNumber)
        for one in pictures
    ]
    assert named == [(source.SOPInstanceUID, 1), (source.SOPInstanceUID, 3)]
    assert "PixelSpacing" not in pictures[0]
    assert pictures[0].PatientOrientation == ""
    assert len({picture.SeriesInstanceUID for picture in pictures}) == 1
    stored = np.frombuffer(source.PixelData, np.uint8).reshape(3, 32, 40, 3)
    assert np.array_equal(pixels(pictures[1])[::FACTOR, ::FACTOR][12:], stored[2][12:])


def test_frames_of_an_enhanced_image_are_shown_by_their_own_windows(tmp_path: Path) -> None:
    images = ct_series()
    source = enhanced(images)
    for number, group in enumerate(source.PerFrameFunctionalGroupsSequence):
        window = Dataset()
        window.WindowCenter, window.WindowWidth = "0", "100" if number == 1 else "200"
        group.FrameVOILUTSequence = [window]
    one, other = pictures_of(found([source], tmp_path, ({1: SQUARE, 2: SQUARE}, "organ")))
    assert one.SourceImageSequence[0].ReferencedFrameNumber == 2
    assert pixels(one)[-1, -1, 0] < pixels(other)[-1, -1, 0]


def test_pixels_that_are_not_square_keep_their_proportions_where_no_spacing_is_known(tmp_path: Path) -> None:
    source = film(1, colour=False)
    source.PixelAspectRatio = [2, 1]
    (picture,) = pictures_of(found([source], tmp_path, ({0: SQUARE}, "organ")))
    assert picture.PixelAspectRatio == [2, 1]


def test_a_large_image_is_not_enlarged_and_its_words_are_large(tmp_path: Path) -> None:
    images = ct_series(planes=1, shape=(600, 1200))
    inside = block(slice(100, 200), slice(100, 300), (600, 1200))
    (picture,) = pictures_of(found(images, tmp_path, ({0: inside}, "organ")))
    assert picture.Columns == 1200
    assert 3 * 30 < picture.Rows - 600 < 3 * 60
    assert np.count_nonzero(of_colour(picture.pixel_array[:600], GREEN)) == 2 * 2 * (100 + 200)


def test_a_warning_and_the_plane_are_burned_in_below(tmp_path: Path) -> None:
    one, other = pictures_of(found(ct_series(), tmp_path, ({1: SQUARE, 2: SQUARE}, "organ")))
    strips = [picture.pixel_array[32 * FACTOR :].astype(int) for picture in (one, other)]
    (band,) = {int(np.count_nonzero(of_colour(strip[:, -1], (110, 0, 0)))) for strip in strips}
    warning, words = (slice(0, band), slice(band, 2 * band))
    assert np.array_equal(strips[0][warning], strips[1][warning])
    written = np.flatnonzero((strips[0][warning].min(axis=-1) > 200).any(axis=0))
    assert len(written) > 100  # columns: some forty letters
    assert not np.array_equal(strips[0][words], strips[1][words])


def test_nothing_of_the_patient_is_burned_in(tmp_path: Path) -> None:
    images = ct_series()
    (first,) = pictures_of(found(images, tmp_path / "first", ({1: SQUARE}, "organ")))
    for image in images:
        image.PatientName, image.PatientID, image.PatientBirthDate = "Other^Name", "OTHER", "19700101"
    (second,) = pictures_of(found(images, tmp_path / "second", ({1: SQUARE}, "organ")))
    assert first.PixelData == second.PixelData
    assert (first.SOPInstanceUID, first.SeriesInstanceUID) != (second.SOPInstanceUID, second.SeriesInstanceUID)
    assert second.PatientName == "Other^Name"


def test_what_the_letters_cannot_write_is_named_by_its_number(tmp_path: Path) -> None:
    stack = stack_of(ct_series(), tmp_path / "images")
    written = [
        pictures_of(findings_with(stack, tmp_path, boxed(stack, {1: SQUARE}, label)))[0].PixelData
        for label in ("肝臓", "печень", "Lésion", "Lesion")
    ]
    assert written[0] == written[1] != written[2] == written[3]


def test_two_builds_of_pictures_are_the_same_bytes(tmp_path: Path) -> None:
    images = ct_series()
    first = write_pictures(found(images, tmp_path / "a", ({1: SQUARE, 2: SQUARE}, "organ")))
    second = write_pictures(found(images[::-1], tmp_path / "b", ({1: SQUARE, 2: SQUARE}, "organ")))
    assert [one.content for one in first] == [one.content for one in second]
    other = write_pictures(found(images, tmp_path / "c", ({1: SQUARE, 2: ~SQUARE}, "organ")))
    assert not {one.sop_instance_uid for one in first} & {one.sop_instance_uid for one in other}


@pytest.mark.parametrize("kinds", [("SC",), ("PR",), ("SEG", "SC", "PR")])
def test_a_job_makes_the_kinds_that_it_is_asked_for(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (2.5, 5.0)]})], tmp_path)
    options = JobOptions(objects=tuple(ObjectKind(kind) for kind in kinds))
    with Decoders() as decoders:
        outcome = run(job_in(tmp_path, options), Tools(runtime=FillsTheBox(), decoders=decoders))
    counts = {"SEG": 1, "SC": 2, "PR": 1}
    assert [one.kind for one in outcome.objects] == [kind for kind in kinds for _ in range(counts[kind])]
    save([read(one) for one in outcome.objects], tmp_path)
    assert job_in(tmp_path).images.planes[0].image.modality == "CT"  # what dicomnode made is no image or prompt to it


def test_what_is_made_after_pictures_is_what_is_made_before(tmp_path: Path) -> None:
    images = ct_series()
    for image, lossy in zip(images, ("00", "01", "00", "00", "00"), strict=True):
        image.LossyImageCompression = lossy
    images[1].LossyImageCompressionRatio = 9.5
    findings = found(images, tmp_path, ({1: SQUARE}, "organ"))
    before = write_segs(findings, SegType.BINARY)
    write_pictures(findings)
    assert write_segs(findings, SegType.BINARY) == before


def test_masks_without_a_voxel_make_no_picture(tmp_path: Path) -> None:
    stack = stack_of(ct_series(), tmp_path / "images")
    box = Box(x0=4.5, y0=3.5, x1=20.5, y1=21.5)
    assert write_pictures(findings_with(stack, tmp_path, boxed(stack, {}, boxes={1: box}))) == ()


@pytest.mark.peer
def test_dciodvfy_finds_nothing_wrong_in_pictures_of_a_film(tmp_path: Path) -> None:
    written = write_pictures(found([film(2, colour=True)], tmp_path, ({0: SQUARE, 1: SQUARE}, "organ")))
    assert [errors_of(saved(one, tmp_path)) for one in written] == [[], []]


@pytest.mark.peer
def test_dciodvfy_finds_nothing_wrong_in_a_picture_of_an_image_that_lost_information(tmp_path: Path) -> None:
    images = ct_series(
        shape=(31, 41),
        LossyImageCompression="01",
        LossyImageCompressionRatio="7",
        LossyImageCompressionMethod="ISO_10918_1",
    )
    inside = block(slice(5, 9), slice(6, 12), (31, 41))
    (written,) = write_pictures(found(images, tmp_path, ({1: inside}, "organ")))
    assert errors_of(saved(written, tmp_path)) == []
    assert (read(written).LossyImageCompression, read(written).LossyImageCompressionRatio) == ("01", 7)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("part", "side", "written"),
    [("KNEE", "L", "L"), ("KNEE", "", ""), ("KNEE", "B", ""), ("CHEST", "", None), ("CHEST", "L", None), ("", "", "")],
)
def test_the_side_of_a_paired_part_is_the_sources_or_not_known(
    tmp_path: Path, part: str, side: str, written: str | None
) -> None:
    images = ct_series(BodyPartExamined=part, Laterality=side)
    findings = found(images, tmp_path, ({1: SQUARE}, "organ"))
    for made in (*write_pictures(findings), *write_presentation_states(findings)):
        assert read(made).get("Laterality") == written
        assert errors_of(saved(made, tmp_path)) == []


def paint(row: slice, column: slice, colour: tuple[int, int, int]) -> Callable[[Dataset], None]:
    def tamper(ds: Dataset) -> None:
        picture = ds.pixel_array.copy()
        picture[row, column] = colour
        ds.PixelData = picture.tobytes()

    return tamper


def flip(ds: Dataset) -> None:
    ds.PixelData = np.ascontiguousarray(ds.pixel_array[:, ::-1]).tobytes()


def show_another_plane(ds: Dataset) -> None:
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID += "1"


def name_another_plane(ds: Dataset) -> None:
    uid = ds.SourceImageSequence[0].ReferencedSOPInstanceUID
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID = f"{uid[:-1]}5"


def leave_the_series(ds: Dataset) -> None:
    ds.SeriesInstanceUID = "1.2.3"


def lose_pixels(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


def lose_columns(ds: Dataset) -> None:
    ds.Columns -= 1


@pytest.fixture
def images() -> list[Dataset]:
    """Return a series of which no plane is like another."""
    series = ct_series()
    for number, image in enumerate(series):
        image.PixelData = np.random.default_rng(number).integers(900, 1300, (32, 40), np.int16).tobytes()
    return series


@pytest.mark.parametrize(
    "tamper",
    [
        paint(slice(5 * FACTOR, 6 * FACTOR), slice(8 * FACTOR, 9 * FACTOR), GREEN),  # in the mask
        paint(slice(20 * FACTOR, 21 * FACTOR), slice(30 * FACTOR, 31 * FACTOR), GREEN),  # far from it
        paint(slice(5 * FACTOR, 6 * FACTOR), slice(5 * FACTOR, 6 * FACTOR), (9, 9, 9)),  # a part of its line
        paint(slice(None), slice(None), (128, 128, 127)),
        flip,
        show_another_plane,
        name_another_plane,
        leave_the_series,
        lose_pixels,
        lose_columns,
    ],
)
def test_a_picture_that_shows_something_else_is_refused(
    tmp_path: Path, images: list[Dataset], tamper: Callable[[Dataset], None]
) -> None:
    stack = stack_of(images, tmp_path / "images")
    findings = findings_with(stack, tmp_path, boxed(stack, {1: SQUARE, 2: SQUARE}, boxes={}))
    first, second = write_pictures(findings)
    ds = read(first)
    tamper(ds)
    refuse(findings.masks, stack, rewritten(first, ds), second)


def test_a_picture_too_few_or_too_many_is_refused(tmp_path: Path) -> None:
    findings = found(ct_series(), tmp_path, ({1: SQUARE, 2: SQUARE}, "organ"))
    first, second = write_pictures(findings)
    refuse(findings.masks, findings.stack, first)
    refuse(findings.masks, findings.stack, first, second, first)


def refuse(masks: Sequence[Mask], stack: Stack, *objects: WrittenObject) -> None:
    with pytest.raises(Refused) as refused:
        check(objects, masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK
