"""The graphics of a presentation state become extents and points on the images that they are drawn on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dicomnode.dicom.prompts.gsps import references_of_gsps, regions_of_gsps
from dicomnode.dicom.prompts.region import Region, Regions
from dicomnode.domain import JobOptions, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused
from tests.multiframe import item
from tests.segs import compound, graphic, gsps, images_named
from tests.values import annotation, plane, stack_at

ALL = images_named("1.3.1", "1.3.2", "1.3.3")
SQUARE = [(3.0, 2.0), (7.0, 2.0), (7.0, 4.0), (3.0, 4.0), (3.0, 2.0)]


def read(ds: Dataset, stack: Stack | None = None, **options: Any) -> Regions:  # noqa: ANN401
    here = stack or stack_at(0.0, 2.5, 5.0)
    return regions_of_gsps(ds, annotation(path=Path("pr.dcm")), here, JobOptions(**options))


def drawn(*graphics: Dataset, texts: Sequence[Dataset] = (), images: Sequence[Dataset] = ()) -> dict[str, Any]:
    """Return the elements of an annotation with simple `graphics`."""
    elements: dict[str, Any] = {"GraphicObjectSequence": list(graphics)}
    if texts:
        elements["TextObjectSequence"] = list(texts)
    if images:
        elements["ReferencedImageSequence"] = list(images)
    return elements


def words(text: str, **changes: Any) -> Dataset:  # noqa: ANN401
    return item(UnformattedTextValue=text, **changes)


def on_planes(region: Region) -> dict[int, tuple[float, ...]]:
    return {
        index: tuple(round(float(value), 4) for value in (box.x0, box.y0, box.x1, box.y1))
        for index, (box,) in region.extents.items()
    }


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (graphic("POLYLINE", SQUARE), (2.5, 1.5, 6.5, 3.5)),
        (graphic("INTERPOLATED", SQUARE), (2.5, 1.5, 6.5, 3.5)),
        (graphic("CIRCLE", [(5, 4), (5, 6)]), (2.5, 1.5, 6.5, 5.5)),
        (graphic("ELLIPSE", [(1, 4), (9, 4), (5, 2), (5, 6)]), (0.5, 1.5, 8.5, 5.5)),
    ],
)
def test_a_simple_graphic_has_its_extent_half_a_pixel_from_where_it_is_counted(
    made: Dataset, expected: tuple[float, ...]
) -> None:
    (region,) = read(gsps([drawn(made, images=images_named("1.3.2"))], ALL)).regions
    assert on_planes(region) == {1: expected}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (compound("RECTANGLE", [(3, 2), (7, 4)]), (2.5, 1.5, 6.5, 3.5)),
        (compound("ELLIPSE", [(3, 2), (7, 4)]), (2.5, 1.5, 6.5, 3.5)),
        (compound("RECTANGLE", [(3, 2), (7, 4)], RotationAngle=90.0, RotationPoint=[3.0, 4.0]), (0.5, -0.5, 2.5, 3.5)),
        (compound("ELLIPSE", [(3, 2), (7, 4)], RotationAngle=90.0, RotationPoint=[5.0, 3.0]), (3.5, 0.5, 5.5, 4.5)),
        (compound("ELLIPSE", [(3, 1), (7, 5)], RotationAngle=45.0, RotationPoint=[5.0, 3.0]), (2.5, 0.5, 6.5, 4.5)),
    ],
)
def test_a_compound_graphic_lies_between_two_corners_and_is_turned_anticlockwise(
    made: Dataset, expected: tuple[float, ...]
) -> None:
    (region,) = read(gsps([{"CompoundGraphicSequence": [made]}], images_named("1.3.2"))).regions
    assert on_planes(region) == {1: expected}


def test_a_point_is_a_point() -> None:
    (region,) = read(gsps([drawn(graphic("POINT", [(4.5, 3.5)]))], images_named("1.3.2"))).regions
    assert (dict(region.extents), dict(region.points)) == ({}, {1: ((4.0, 3.0),)})


def test_what_only_renders_a_compound_graphic_is_not_read_twice() -> None:
    rendering = graphic("POLYLINE", SQUARE, CompoundGraphicInstanceID=7)
    elements = {
        **drawn(rendering, graphic("CIRCLE", [(5, 4), (5, 6)])),
        "CompoundGraphicSequence": [compound("RECTANGLE", [(3, 2), (7, 4)], CompoundGraphicInstanceID=7)],
    }
    found = read(gsps([elements], images_named("1.3.1")))
    assert [one.what.rpartition(" ")[2] for one in found.regions] == ["CIRCLE", "RECTANGLE"]


def test_graphics_are_drawn_on_the_images_named_and_else_on_all() -> None:
    one, every = drawn(graphic("POLYLINE", SQUARE), images=images_named("1.3.3")), drawn(graphic("POLYLINE", SQUARE))
    found = read(gsps([one, every], images_named("1.3.1", "1.3.2", "1.9.9")))
    assert [sorted(region.extents) for region in found.regions] == [[2], [0, 1]]
    elsewhere = drawn(graphic("POLYLINE", SQUARE), images=images_named("1.9.9"))
    (told,) = read(gsps([elsewhere], ALL)).exclusions
    assert (told.what, told.reason) == ("pr.dcm graphic 1.1 POLYLINE", Reason.NO_IMAGES)


def test_frames_of_an_image_are_named_by_their_numbers() -> None:
    keys = [PlaneKey(Uid("1.3.1"), number) for number in (1, 2, 3, 4)]
    stack = Stack(
        key="1.2/1",
        series_uid=Uid("1.2"),
        study_uid=Uid("1.1"),
        modality="US",
        frame_of_reference_uid=None,
        planes=tuple(plane(key=key) for key in keys),
        facts=frozenset(),
    )
    some = drawn(graphic("POLYLINE", SQUARE), images=images_named(("1.3.1", [2, 4])))
    whole = drawn(graphic("POLYLINE", SQUARE), images=images_named("1.3.1"))
    found = read(gsps([some, whole], ALL), stack)
    assert [sorted(region.extents) for region in found.regions] == [[1, 3], [0, 1, 2, 3]]


def test_the_text_of_its_group_or_else_of_its_annotation_names_a_graphic() -> None:
    grouped = [graphic("POLYLINE", SQUARE, GraphicGroupID=number) for number in (1, 2, 3)]
    texts = [words("left", GraphicGroupID=1), words("right\r\nnode", GraphicGroupID=2)]
    found = read(gsps([drawn(*grouped, texts=texts), drawn(graphic("POLYLINE", SQUARE))], ALL))
    assert [one.name for one in found.regions] == ["left", "right node", "left right node", ""]
    assert [one.item for one in found.regions] == ["1.1", "1.2", "1.3", "2.1"]


def displayed(right: int = 10, bottom: int = 8, **changes: Any) -> Dataset:  # noqa: ANN401
    return item(
        DisplayedAreaTopLeftHandCorner=[1, 1],
        DisplayedAreaBottomRightHandCorner=[right, bottom],
        PresentationSizeMode="SCALE TO FIT",
        **changes,
    )


def in_display(areas: Sequence[Dataset], **changes: Any) -> Dataset:  # noqa: ANN401
    relative = graphic("POLYLINE", [(0.1, 0.5), (0.3, 0.5), (0.3, 0.75)], units="DISPLAY")
    return gsps([drawn(relative)], images_named("1.3.1"), DisplayedAreaSelectionSequence=list(areas), **changes)


@pytest.mark.parametrize(
    "areas",
    [
        [displayed()],
        [
            displayed(ReferencedImageSequence=images_named("1.3.1")),
            displayed(5, ReferencedImageSequence=images_named("1")),
        ],
    ],
)
def test_display_units_count_where_the_whole_image_is_displayed(areas: list[Dataset]) -> None:
    (region,) = read(in_display(areas)).regions
    assert on_planes(region) == {0: (0.5, 3.5, 2.5, 5.5)}


@pytest.mark.parametrize(
    ("areas", "changes"),
    [
        ([], {}),
        ([displayed(9)], {}),
        ([displayed(20, 16)], {}),
        ([displayed(ReferencedImageSequence=images_named("1.3.2"))], {}),
        ([displayed()], {"ImageRotation": 90}),
        ([displayed()], {"ImageHorizontalFlip": "Y"}),
    ],
)
def test_display_units_of_anything_else_are_refused(areas: list[Dataset], changes: Mapping[str, Any]) -> None:
    found = read(in_display(areas, **changes))
    assert found.regions == ()
    assert [one.reason for one in found.exclusions] == [Reason.NO_GEOMETRY]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        (drawn(graphic("POLYLINE", [(1, 1), (5, 5)])), Reason.NOT_A_PROMPT),
        (drawn(graphic("POLYLINE", SQUARE, units="MATRIX")), Reason.NOT_A_PROMPT),
        ({"CompoundGraphicSequence": [compound("RULER", [(1, 1), (5, 5)])]}, Reason.NOT_A_PROMPT),
        ({"CompoundGraphicSequence": [compound("RECTANGLE", SQUARE)]}, Reason.BAD_CONTOUR),
        (drawn(graphic("CIRCLE", SQUARE)), Reason.BAD_CONTOUR),
        (drawn(graphic("SPIRAL", SQUARE)), Reason.BAD_CONTOUR),
        (drawn(graphic("POLYLINE", [(1.0, np.nan), (2, 2), (3, 3)])), Reason.BAD_CONTOUR),
        (drawn(graphic("POLYLINE", [1.0, 2, 3])), Reason.BAD_CONTOUR),
        (drawn(graphic("POLYLINE", [])), Reason.BAD_CONTOUR),
    ],
)
def test_a_graphic_that_shows_no_region_leaves_the_others_alone(elements: dict[str, Any], reason: Reason) -> None:
    found = read(gsps([elements, drawn(graphic("POLYLINE", SQUARE))], ALL))
    assert [one.item for one in found.regions] == ["2.1"]
    assert [(one.reason, "graphic 1.1" in one.what) for one in found.exclusions] == [(reason, True)]


def test_a_line_is_the_side_of_a_square_where_that_is_asked_for() -> None:
    stack = stack_at(0.0, spacing=(2.0, 1.0))
    ds = gsps([drawn(graphic("POLYLINE", [(2.5, 4.5), (8.5, 4.5)]))], images_named("1.3.1"))
    (region,) = read(ds, stack, length_as_box=True).regions
    assert on_planes(region) == {0: (2.0, 2.5, 8.0, 5.5)}
    assert len(region.notes) == 1


def test_references_are_the_images_that_graphics_are_drawn_on() -> None:
    one, every = drawn(graphic("POLYLINE", SQUARE), images=images_named("1.3.3")), drawn(graphic("POLYLINE", SQUARE))
    found = references_of_gsps(gsps([one, every], images_named("1.3.1", ("1.3.3", 2))), "pr.dcm")
    assert found.planes == {PlaneKey(Uid("1.3.3")): 1, PlaneKey(Uid("1.3.1")): 1, PlaneKey(Uid("1.3.3"), 2): 1}
    assert found.series == ("1.2",)


def test_a_presentation_state_without_graphics_is_no_prompt() -> None:
    for annotations in ([], [{"TextObjectSequence": [words("a word")]}]):
        with pytest.raises(Refused) as refused:
            references_of_gsps(gsps(annotations, ALL), "pr.dcm")
        assert refused.value.reason is Reason.NOT_A_PROMPT


def test_more_graphics_than_anybody_draws_are_refused() -> None:
    many = drawn(*[graphic("POINT", [(1, 1)])] * 320)
    with pytest.raises(Refused) as refused:
        references_of_gsps(gsps([many], images_named(*[f"1.3.{number}" for number in range(320)])), "pr.dcm")
    assert refused.value.reason is Reason.LIMIT


sides = st.floats(0.1, 400.0)


@given(st.floats(-50, 500), st.floats(-50, 500), sides, sides, st.floats(-360, 360))
@settings(max_examples=200, deadline=None)
def test_a_box_drawn_in_any_way_is_read_as_that_box(
    x: float, y: float, width: float, height: float, turn: float
) -> None:
    left, top, right, bottom = x + 0.5, y + 0.5, x + 0.5 + width, y + 0.5 + height
    middle, radius = ((left + right) / 2, (top + bottom) / 2), width / 2
    spin = np.radians(turn)
    ways = [
        drawn(graphic("POLYLINE", [(left, top), (right, top), (right, bottom), (left, bottom)])),
        drawn(graphic("ELLIPSE", [(left, middle[1]), (right, middle[1]), (middle[0], top), (middle[0], bottom)])),
        {"CompoundGraphicSequence": [compound("RECTANGLE", [(left, top), (right, bottom)])]},
        {"CompoundGraphicSequence": [compound("ELLIPSE", [(left, top), (right, bottom)])]},
    ]
    found = [on_planes(one)[0] for one in read(gsps(ways, images_named("1.3.1"))).regions]
    assert np.allclose(found, (x, y, x + width, y + height), atol=1e-3, rtol=0)
    edge = (middle[0] + radius * np.cos(spin), middle[1] + radius * np.sin(spin))
    (region,) = read(gsps([drawn(graphic("CIRCLE", [middle, edge]))], images_named("1.3.1"))).regions
    down = y + height / 2
    assert np.allclose(on_planes(region)[0], (x, down - radius, x + width, down + radius), atol=1e-3, rtol=0)
