"""What presentation states draw over which images, how they show those, and that two builds are the same bytes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from highdicom.color import CIELabColor
from pydicom import Dataset
from pydicom.uid import ColorSoftcopyPresentationStateStorage, GrayscaleSoftcopyPresentationStateStorage

from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.pictures import write_pictures
from dicomnode.dicom.results.presentation import write_presentation_states
from dicomnode.domain import Box
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, save
from tests.conftest import require_program
from tests.folders import stack_of
from tests.multiframe import enhanced, film
from tests.shown import (
    block,
    boxed,
    findings_with,
    found,
    lines_by_dcmtk,
    read,
    rewritten,
    run,
    saved,
    shown_by_dcmtk,
    state_of,
)
from tests.validation import errors_of

SQUARE = block(slice(5, 9), slice(6, 12))
SQUARE_LINE = [6, 5, 12, 5, 12, 9, 6, 9, 6, 5]  # x, y from the image's outer corner


def layer(state: Dataset, name: str) -> list[Dataset]:
    return [one for one in state.GraphicAnnotationSequence if one.GraphicLayer == name]


def references(holder: Dataset) -> list[tuple[str, list[int] | None]]:
    """Return the SOP Instance UIDs and frame numbers that `holder` refers to."""
    found_here = []
    for image in holder.ReferencedImageSequence:
        frames = image.get("ReferencedFrameNumber")
        found_here.append((image.ReferencedSOPInstanceUID, None if frames is None else np.atleast_1d(frames).tolist()))
    return found_here


def test_outlines_and_boxes_lie_on_the_images_they_belong_to(tmp_path: Path) -> None:
    images = ct_series()
    stack = stack_of(images, tmp_path / "images")
    box = Box(x0=4.25, y0=3.5, x1=20.5, y1=21.5)
    masks = boxed(stack, {1: SQUARE, 3: SQUARE}, boxes={1: box, 2: box})
    state = state_of(findings_with(stack, tmp_path, masks))
    outlines, boxes = layer(state, "MASK 1"), layer(state, "BOXES")
    assert [references(one) for one in outlines] == [[(images[index].SOPInstanceUID, None)] for index in (1, 3)]
    assert [references(one) for one in boxes] == [[(images[index].SOPInstanceUID, None)] for index in (1, 2)]
    (line,) = outlines[0].GraphicObjectSequence
    assert line.GraphicData == SQUARE_LINE
    assert (line.GraphicType, line.GraphicAnnotationUnits, line.GraphicFilled) == ("POLYLINE", "PIXEL", "N")
    assert boxes[0].GraphicObjectSequence[0].GraphicData == [4.75, 4, 21, 4, 21, 22, 4.75, 22, 4.75, 4]
    assert references(state.ReferencedSeriesSequence[0]) == [
        (images[index].SOPInstanceUID, None) for index in (1, 2, 3)
    ]
    assert state.ReferencedSeriesSequence[0].SeriesInstanceUID == images[0].SeriesInstanceUID


def test_each_mask_has_a_layer_in_its_colour_and_its_label(tmp_path: Path) -> None:
    stack = stack_of(ct_series(), tmp_path / "images")
    red = boxed(stack, {1: SQUARE}, "lésion", colour=(255, 0, 0))
    state = state_of(findings_with(stack, tmp_path, red, boxed(stack, {2: SQUARE}, "node")))
    layers = {one.GraphicLayer: one for one in state.GraphicLayerSequence}
    assert [*layers] == ["BOXES", "MASK 1", "MASK 2", "NOTES"]
    assert [one.GraphicLayerOrder for one in layers.values()] == [1, 2, 3, 4]
    assert layers["MASK 1"].GraphicLayerDescription == "lésion"
    colour = tuple(layers["MASK 1"].GraphicLayerRecommendedDisplayCIELabValue)
    assert colour == tuple(CIELabColor.from_rgb(255, 0, 0).value)
    assert {layer.GraphicLayerRecommendedDisplayGrayscaleValue for layer in layers.values()} == {0xFFFF}
    assert [one.TextObjectSequence[0].UnformattedTextValue for one in layer(state, "MASK 1")] == ["lésion"]
    (note,) = layer(state, "NOTES")
    assert "ReferencedImageSequence" not in note  # it is on all images
    assert note.TextObjectSequence[0].UnformattedTextValue.endswith("For visual check only - not for diagnosis")
    assert "fills the box 1" in note.TextObjectSequence[0].UnformattedTextValue


def test_a_state_says_what_it_is(tmp_path: Path) -> None:
    state = state_of(found(ct_series(spacing=(0.5, 0.26)), tmp_path, ({1: SQUARE}, "organ")))
    assert state.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    assert (state.Modality, state.ContentLabel, state.SeriesNumber) == ("PR", "FILLS THE BOX_PR", 2801)
    assert state.SeriesDescription == "fills the box organ"
    assert state.PresentationCreationDate == "20260102"
    assert any(item.Manufacturer == "dicomnode" for item in state.ContributingEquipmentSequence)
    (area,) = state.DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == [0.5, 0.26]
    assert "PresentationPixelAspectRatio" not in area


def test_frames_of_a_film_are_named_and_its_colours_stay(tmp_path: Path) -> None:
    source = film(4, colour=True)
    state = state_of(found([source], tmp_path, ({0: SQUARE, 2: SQUARE}, "organ")))
    assert state.SOPClassUID == ColorSoftcopyPresentationStateStorage
    assert references(state.ReferencedSeriesSequence[0]) == [(source.SOPInstanceUID, [1, 3])]
    assert [references(one) for one in layer(state, "MASK 1")] == [
        [(source.SOPInstanceUID, [1])],
        [(source.SOPInstanceUID, [3])],
    ]
    assert "SoftcopyVOILUTSequence" not in state
    assert state.ICCProfile[36:40] == b"acsp"


def test_a_hole_has_a_line_of_its_own(tmp_path: Path) -> None:
    holed = SQUARE & ~block(slice(6, 7), slice(8, 9))
    (annotation,) = layer(state_of(found(ct_series(), tmp_path, ({1: holed}, "organ"))), "MASK 1")
    assert [len(one.GraphicData) // 2 for one in annotation.GraphicObjectSequence] == [5, 5]


def test_a_very_long_outline_is_drawn_in_parts_that_fit_into_an_element(tmp_path: Path) -> None:
    rows, columns = np.indices((256, 256))
    combs = (columns == 0) | (rows % 4 == 0) | ((columns % 2 == 0) & (rows % 4 != 3))
    findings = found(ct_series(planes=1, shape=(256, 256)), tmp_path, ({0: combs}, "organ"))
    (annotation,) = layer(state_of(findings), "MASK 1")
    lengths = [len(line.GraphicData) // 2 for line in annotation.GraphicObjectSequence]
    assert (len(lengths), max(lengths)) == (5, 8000)
    assert {line["GraphicData"].VR for line in annotation.GraphicObjectSequence} == {"FL"}


def test_values_rescaled_in_one_way_are_shown_by_the_windows_of_their_headers(tmp_path: Path) -> None:
    images = ct_series(WindowCenter="40", WindowWidth="400")
    images[2].WindowWidth = "350"
    state = state_of(found(images, tmp_path, ({1: SQUARE, 2: SQUARE, 3: SQUARE}, "organ")))
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, -1024, "HU")
    windows = [(one.WindowCenter, one.WindowWidth, references(one)) for one in state.SoftcopyVOILUTSequence]
    one, two, three = ((images[index].SOPInstanceUID, None) for index in (1, 2, 3))
    assert windows == [(40, 400, [one, three]), (40, 350, [two])]


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("slopes", [(1, 1, 1), (1, 2, 0.5)])
def test_dcmtk_shows_the_greys_of_the_pictures_and_reads_the_same_lines(
    tmp_path: Path, kind: str, slopes: tuple[float, ...]
) -> None:
    images = ct_series(planes=3, PhotometricInterpretation=kind, Modality="CT" if slopes[0] == slopes[1] else "PT")
    for number, image in enumerate(images):
        image.PixelData = np.random.default_rng(number).integers(900, 1300, (32, 40), np.int16).tobytes()
        image.RescaleSlope = slopes[number]
    findings = found(images, tmp_path, ({0: SQUARE, 1: SQUARE, 2: SQUARE}, "organ"))
    (written,) = write_presentation_states(findings)
    state = saved(written, tmp_path)
    for image, picture in zip(images, write_pictures(findings), strict=True):
        (path,) = save([image], tmp_path / "one")
        greys, words = shown_by_dcmtk(path, state, tmp_path)
        factor = read(picture).Columns // 40
        ours = read(picture).pixel_array[: 32 * factor : factor, ::factor]
        free = (ours[..., 0] == ours[..., 1]) & (ours[..., 1] == ours[..., 2])
        assert np.max(np.abs(ours[..., 0].astype(int) - greys)[free]) <= 1
        assert np.count_nonzero(free) > 1200
        assert lines_by_dcmtk(words, "MASK 1") == [[*zip(SQUARE_LINE[::2], SQUARE_LINE[1::2], strict=True)]]


@pytest.mark.peer
def test_dcmtk_finds_the_graphics_of_one_frame_on_that(tmp_path: Path) -> None:
    source = enhanced(ct_series())
    (written,) = write_presentation_states(found([source], tmp_path, ({0: SQUARE, 3: ~SQUARE}, "organ")))
    (path,) = save([source], tmp_path / "one")
    _, words = shown_by_dcmtk(path, saved(written, tmp_path), tmp_path)
    assert lines_by_dcmtk(words, "MASK 1") == [[*zip(SQUARE_LINE[::2], SQUARE_LINE[1::2], strict=True)]]


@pytest.mark.peer
def test_dciodvfy_and_dcmpschk_find_nothing_wrong(tmp_path: Path) -> None:
    images = ct_series(WindowCenter="40", WindowWidth="400")
    (written,) = write_presentation_states(found(images, tmp_path, ({1: SQUARE, 2: SQUARE}, "organ")))
    path = saved(written, tmp_path)
    assert errors_of(path) == []
    assert "Test passed" in run(require_program("dcmpschk"), str(path))


@pytest.mark.peer
def test_dciodvfy_finds_nothing_wrong_in_a_state_of_colours(tmp_path: Path) -> None:
    (written,) = write_presentation_states(found([film(2, colour=True)], tmp_path, ({1: SQUARE}, "organ")))
    assert errors_of(saved(written, tmp_path)) == []


def test_two_builds_of_a_state_are_the_same_bytes(tmp_path: Path) -> None:
    images = ct_series()
    (first,) = write_presentation_states(found(images, tmp_path / "a", ({1: SQUARE, 2: SQUARE}, "organ")))
    (second,) = write_presentation_states(found(images[::-1], tmp_path / "b", ({1: SQUARE, 2: SQUARE}, "organ")))
    (other,) = write_presentation_states(found(images, tmp_path / "c", ({1: SQUARE, 2: ~SQUARE}, "organ")))
    assert first.content == second.content
    assert first.sop_instance_uid != other.sop_instance_uid
    assert read(first).SeriesInstanceUID != read(other).SeriesInstanceUID


def test_masks_without_a_voxel_make_no_state(tmp_path: Path) -> None:
    stack = stack_of(ct_series(), tmp_path / "images")
    box = Box(x0=4.5, y0=3.5, x1=20.5, y1=21.5)
    assert write_presentation_states(findings_with(stack, tmp_path, boxed(stack, {}, boxes={1: box}))) == ()


def first_line(state: Dataset, name: str = "MASK 1") -> Dataset:
    line: Dataset = layer(state, name)[0].GraphicObjectSequence[0]
    return line


def shift_half_a_pixel(state: Dataset) -> None:
    line = first_line(state)
    line.GraphicData = [value - 0.5 for value in line.GraphicData]


def shift_a_pixel(state: Dataset) -> None:
    line = first_line(state)
    line.GraphicData = [value + 1 for value in line.GraphicData]


def shift_off_the_image(state: Dataset) -> None:
    line = first_line(state)
    line.GraphicData = [value + 100 for value in line.GraphicData]


def lose_a_corner(state: Dataset) -> None:
    line = first_line(state)
    line.GraphicData = [*line.GraphicData[:4], *line.GraphicData[6:]]
    line.NumberOfGraphicPoints -= 1


def lose_a_line(state: Dataset) -> None:
    state.GraphicAnnotationSequence = [
        one for one in state.GraphicAnnotationSequence if one != layer(state, "MASK 1")[0]
    ]


def draw_it_twice(state: Dataset) -> None:
    state.GraphicAnnotationSequence.append(layer(state, "MASK 1")[0])


def draw_on_another_image(state: Dataset) -> None:
    one, other = layer(state, "MASK 1")
    one.ReferencedImageSequence, other.ReferencedImageSequence = (
        other.ReferencedImageSequence,
        one.ReferencedImageSequence,
    )


def draw_on_a_foreign_image(state: Dataset) -> None:
    layer(state, "MASK 1")[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def refer_to_more(state: Dataset) -> None:
    listed = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    more = Dataset()
    more.update(listed[0])
    more.ReferencedSOPInstanceUID = f"{listed[0].ReferencedSOPInstanceUID[:-1]}5"
    listed.append(more)


def call_it_another(state: Dataset) -> None:
    first_line(state).TrackingUID = "1.2.3"


def use_other_units(state: Dataset) -> None:
    first_line(state).GraphicAnnotationUnits = "DISPLAY"


def widen_the_box(state: Dataset) -> None:
    line = first_line(state, "BOXES")
    line.GraphicData = [value + (value > 8) for value in line.GraphicData]


def lose_the_layers(state: Dataset) -> None:
    state.GraphicLayerSequence = state.GraphicLayerSequence[:1]


@pytest.mark.parametrize(
    "tamper",
    [
        shift_half_a_pixel,
        shift_a_pixel,
        shift_off_the_image,
        lose_a_corner,
        lose_a_line,
        draw_it_twice,
        draw_on_another_image,
        draw_on_a_foreign_image,
        refer_to_more,
        call_it_another,
        use_other_units,
        widen_the_box,
        lose_the_layers,
    ],
)
def test_a_state_that_draws_something_else_is_refused(tmp_path: Path, tamper: Callable[[Dataset], None]) -> None:
    findings = found(ct_series(), tmp_path, ({1: SQUARE, 2: SQUARE | block(slice(9, 12), slice(6, 8))}, "organ"))
    (written,) = write_presentation_states(findings)
    state = read(written)
    tamper(state)
    with pytest.raises(Refused) as refused:
        check([rewritten(written, state)], findings.masks, findings.stack)
    assert refused.value.reason is Reason.FAILED_CHECK
