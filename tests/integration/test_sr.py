"""Structured reports of many makers become regions on planes, and what becomes none is told."""

import struct
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom import sr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
    XRayRadiationDoseSRStorage,
)

from dicomnode.dicom.codes import LESION, MORPHOLOGICALLY_ABNORMAL, TISSUE
from dicomnode.dicom.prompts.region import Codes, Drawn, References, Region, Regions
from dicomnode.dicom.prompts.sr import Way, regions_of_sr
from dicomnode.dicom.prompts.sr_references import references_of_sr
from dicomnode.dicom.reading import read_dataset
from dicomnode.dicom.scan import scan
from dicomnode.domain import AnnotationKind, Box, Code, JobOptions, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused
from dicomnode.planning import job_of, plan
from tests import sr_objects as srs
from tests.builders import AXIAL, STUDY, ct_series, save
from tests.fakes import FillsTheBox
from tests.folders import prompts_in
from tests.values import FRAME_OF_REFERENCE, annotation, stack_at

FIRST, SECOND, THIRD = "1.3.1", "1.3.2", "1.3.3"
SEG = "1.2.77"


def stack_of(
    *heights: float, spacing: tuple[float, float] = (1.0, 1.0), orientation: tuple[float, ...] = AXIAL
) -> Stack:
    """Return a stack of planes of 300 x 300 pixels, the images 1.3.1, 1.3.2 and so on."""
    return stack_at(
        *heights,
        orientation=orientation,  # type: ignore[arg-type]
        spacing=spacing,
        stored=np.zeros((300, 300), dtype=np.int16),
    )


def read(
    ds: Dataset,
    stack: Stack | None = None,
    options: JobOptions | None = None,
    segments: Mapping[Uid, Callable[[int], Region]] | None = None,
    elsewhere: Sequence[str] = (),
) -> Regions:
    """Return the regions of `ds`, by way of a file, on `stack` or one of three planes."""
    made = annotation(path=Path("report.dcm"), kind=AnnotationKind.SR)
    way = Way(options=options or JobOptions(), segments=segments or {}, elsewhere=elsewhere)
    return regions_of_sr(srs.through_a_file(ds), made, stack or stack_of(0, 5, 10), way)


def boxes(region: Region) -> dict[int, tuple[float, ...]]:
    """Return plane index -> x0, y0, x1, y1 of the only extent there."""
    found = {}
    for index, extents in region.extents.items():
        (box,) = extents
        found[index] = corners(box)
    return found


def corners(box: Box) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in (box.x0, box.y0, box.x1, box.y1))


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def reasons(found: Regions) -> list[tuple[Reason, str]]:
    return [(one.reason, one.detail) for one in found.exclusions]


def six_by_ohif() -> Dataset:
    """Return a report of six measurements as OHIF writes it."""
    at = srs.image(FIRST)
    long, short = [(200, 210), (240, 210)], [(220, 200), (220, 220)]
    ellipse = [(50, 60), (90, 60), (70, 50), (70, 70)]
    return srs.ohif_report(
        srs.ohif(
            "RectangleROI",
            "lesion A",
            srs.measured(srs.AREA, srs.scoord("POLYLINE", rectangle(100, 120, 160, 180), at)),
        ),
        srs.ohif(
            "Bidirectional",
            "node 3",
            srs.measured(srs.LONG_AXIS, srs.scoord("POLYLINE", long, at)),
            srs.measured(srs.SHORT_AXIS, srs.scoord("POLYLINE", short, at)),
        ),
        srs.ohif("Length", "", srs.measured(srs.LENGTH, srs.scoord("POLYLINE", [(10, 20), (40, 60)], at))),
        srs.ohif("EllipticalROI", "cyst", srs.measured(srs.AREA, srs.scoord("ELLIPSE", ellipse, at))),
        srs.ohif("CircleROI", "", srs.measured(srs.AREA, srs.scoord("CIRCLE", [(250, 250), (260, 250)], at))),
        srs.ohif(
            "CircleROI",
            "in space",
            srs.measured(srs.AREA, srs.scoord3d("CIRCLE", [(100, 90, 5), (106, 98, 5)], FRAME_OF_REFERENCE)),
        ),
        sop_class=Comprehensive3DSRStorage,
    )


@pytest.mark.filterwarnings("ignore:The value length")  # the too long code of OHIF
def test_all_kinds_of_ohif_measurement_are_read() -> None:
    found = read(six_by_ohif())
    assert {region.name: boxes(region) for region in found.regions} == {
        "lesion A": {0: (99.5, 119.5, 159.5, 179.5)},
        "node 3": {0: (199.5, 199.5, 239.5, 219.5)},
        "cyst": {0: (49.5, 49.5, 89.5, 69.5)},
        "CircleROI": {0: (239.5, 239.5, 259.5, 259.5)},
        "in space": {1: (90, 80, 110, 100)},
    }
    assert [region.drawn for region in found.regions].count(Drawn.LINE) == 1
    assert found.regions[1].drawn is Drawn.LINE
    assert [region.item for region in found.regions] == ["1.1.1", "1.1.2", "1.1.4", "1.1.5", "1.1.6"]
    assert all(region.is_target and region.codes == Codes() for region in found.regions)
    assert found.regions[0].tracking_id == "Cornerstone3DTools@^0.1.0:RectangleROI"
    assert found.regions[0].tracking_uid == "2.25.77"
    ((reason, detail),) = reasons(found)
    assert reason is Reason.NOT_A_PROMPT
    assert "length" in detail


@pytest.mark.filterwarnings("ignore:The value length")
def test_a_report_says_which_images_and_places_it_means() -> None:
    found = references_of_sr(srs.through_a_file(six_by_ohif()), "report.dcm")
    assert found.planes == {PlaneKey(Uid(FIRST)): 6}
    assert found.frames_of_reference == (FRAME_OF_REFERENCE,)
    assert found.samples == ((100, 90, 5), (106, 98, 5))


def test_only_series_that_hold_a_drawn_image_are_evidence() -> None:
    drawn = srs.group(srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image(SECOND)))
    ds = srs.report(drawn, images=[("1.2.1", FIRST), ("1.2.2", SECOND)])
    assert references_of_sr(srs.through_a_file(ds), "report.dcm").series == ("1.2.2",)


def test_a_length_becomes_a_square_in_mm_where_that_is_asked_for() -> None:
    line = srs.measured(srs.LENGTH, srs.scoord("POLYLINE", [(10.5, 20.5), (40.5, 60.5)], srs.image(FIRST)))
    options = JobOptions(length_as_box=True)
    (region,) = read(srs.ohif_report(srs.group(line)), options=options).regions
    assert boxes(region) == {0: (0, 15, 50, 65)}  # 50 mm round (25, 40)
    wide = stack_of(0, spacing=(1.0, 0.5))
    (region,) = read(srs.ohif_report(srs.group(line)), wide, options).regions
    length = np.hypot(15, 40)
    assert np.allclose(boxes(region)[0], (25 - length, 40 - length / 2, 25 + length, 40 + length / 2), atol=1e-4)
    assert any("length" in note for note in region.notes)


def test_a_rectangle_of_four_points_is_one_too() -> None:
    drawn = srs.scoord("POLYLINE", rectangle(1, 2, 6, 8)[:4], srs.image(FIRST))
    (region,) = read(srs.ohif_report(srs.ohif("RectangleROI", "", srs.measured(srs.AREA, drawn)))).regions
    assert boxes(region) == {0: (0.5, 1.5, 5.5, 7.5)}


def test_control_points_and_the_place_of_a_text_are_no_part_of_a_region() -> None:
    at = srs.image(FIRST)
    curve = srs.measured(
        srs.AREA,
        srs.scoord("POLYLINE", rectangle(10, 10, 30, 20), at),
        srs.scoord("MULTIPOINT", [(5, 5), (40, 5), (40, 40)], at, name=("ControlPoints", "99CS3D", "Control Points")),
    )
    words = srs.scoord("POINT", [(200, 200)], at, name=("TextPosition", "99CS3D", "Text Annotation Position"))
    (region,) = read(srs.ohif_report(srs.ohif("SplineROI", "", curve, words))).regions
    assert boxes(region) == {0: (9.5, 9.5, 29.5, 19.5)}
    assert region.points == {}


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize(
    ("tool", "graphic_type", "points"),
    [
        ("ArrowAnnotate", "POLYLINE", [(10, 20), (50, 60)]),
        ("ArrowAnnotate", "POINT", [(10, 20)]),
        ("Probe", "POINT", [(10, 20)]),
    ],
)
def test_the_tip_of_an_arrow_and_a_probe_are_points(tool: str, graphic_type: str, points: srs.Points) -> None:
    shown = srs.measured(srs.CENTER, srs.scoord(graphic_type, points, srs.image(FIRST)))
    (region,) = read(srs.ohif_report(srs.ohif(tool, "here", shown))).regions
    assert (region.name, dict(region.points), dict(region.extents)) == ("here", {0: ((9.5, 19.5),)}, {})


@pytest.mark.parametrize("tool", ["Angle", "CobbAngle"])
def test_an_angle_is_no_region(tool: str) -> None:
    legs = srs.measured(
        ("1483009", "SCT", "Angle"), srs.scoord("POLYLINE", [(1, 1), (9, 9), (20, 1)], srs.image(FIRST))
    )
    for drawn in (srs.ohif(tool, "", legs), srs.group(legs)):
        assert reasons(read(srs.ohif_report(drawn))) == [(Reason.NOT_A_PROMPT, "an angle is no region")]


def test_a_comment_names_a_region_before_its_finding_does() -> None:
    drawn = srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image(FIRST))
    finding = srs.code(srs.FINDING, ("52988006", "SCT", "Lesion"))
    named = [
        srs.group(*srs.tracked("a"), finding, srs.comment("segment 7"), drawn),
        srs.group(*srs.tracked("b"), finding, drawn),
        srs.group(*srs.tracked("cornerstoneTools@^4.0.0:RectangleRoi"), drawn),
        srs.group(drawn),
    ]
    assert [one.name for one in read(srs.report(*named)).regions] == ["segment 7", "Lesion", "RectangleRoi", ""]


@pytest.mark.parametrize("data", [[1.0, 2.0, 3.0], [1.0, float("nan"), 5.0, 6.0, 7.0, 8.0], []])
def test_broken_coordinates_leave_the_other_regions_alone(data: list[float]) -> None:
    broken = srs.scoord("POLYLINE", [], srs.image(FIRST))
    broken.GraphicData = data
    whole = srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image(FIRST))
    found = read(srs.report(srs.group(broken), srs.group(whole)))
    assert [boxes(region) for region in found.regions] == [{0: (0.5, 0.5, 4.5, 4.5)}]
    assert [(one.reason, one.what) for one in found.exclusions] == [(Reason.BAD_CONTOUR, "report.dcm item 1.1.1")]


def test_pixels_that_are_not_square_are_noted_and_can_be_read_with_the_spacings_swapped() -> None:
    stack = stack_of(0, spacing=(2.0, 0.5))
    # written for columns 20..40, rows 8..10 of pixels 2 mm high and 0.5 mm wide, each divided by the other's size
    wrong = rectangle(20 / 4 + 0.5, 8 * 4 + 0.5, 40 / 4 + 0.5, 10 * 4 + 0.5)
    drawn = srs.scoord("POLYLINE", wrong, srs.image(FIRST))
    ds = srs.ohif_report(srs.ohif("RectangleROI", "", srs.measured(srs.AREA, drawn)))
    (plain,), (swapped,) = (read(ds, stack, JobOptions(swap_spacing=swap)).regions for swap in (False, True))
    assert any("swap_spacing" in note for note in plain.notes)
    assert boxes(plain) == {0: (5, 32, 10, 40)}
    assert boxes(swapped) == {0: (20, 8, 40, 10)}
    (other,) = read(srs.report(srs.group(*srs.tracked("mine"), drawn)), stack, JobOptions(swap_spacing=True)).regions
    assert (boxes(other), other.notes) == (boxes(plain), ())


def test_a_frame_number_says_which_plane_is_meant_and_without_one_nothing_is_guessed() -> None:
    frames = [PlaneKey(Uid("1.4.1"), number) for number in (1, 2, 3)]
    stack = stack_of(0, 5, 10)
    planes = tuple(replace(plane, key=key) for plane, key in zip(stack.planes, frames, strict=True))
    drawn = [srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image("1.4.1", number)) for number in (2, None)]
    found = read(srs.report(*map(srs.group, drawn)), replace(stack, planes=planes))
    assert [list(region.extents) for region in found.regions] == [[1]]
    ((reason, detail),) = reasons(found)
    assert (reason, "without a frame number" in detail) == (Reason.NO_BOX, True)
    only = read(srs.report(*map(srs.group, drawn)), replace(stack, planes=planes[:1]))
    assert [list(region.extents) for region in only.regions] == [[0]]


def test_a_region_on_images_of_another_stack_is_its_own_or_told_by_name() -> None:
    here, there = (srs.group(srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image(uid))) for uid in (FIRST, "1.8.1"))
    found = read(srs.report(here, there), elsewhere=["1.2"])
    assert (len(found.regions), found.exclusions) == (1, ())
    (told,) = read(srs.report(here, there)).exclusions
    assert (told.what, told.reason) == ("report.dcm item 1.2 ''", Reason.NO_IMAGES)
    assert references_of_sr(srs.report(here, there), "x").planes == {
        PlaneKey(Uid(FIRST)): 1,
        PlaneKey(Uid("1.8.1")): 1,
    }
    ((reason, detail),) = reasons(read(srs.report(there)))
    assert reason is Reason.NO_IMAGES
    assert "none of the images that it is drawn on" in detail


def test_a_report_on_two_series_is_two_jobs(tmp_path: Path) -> None:
    first, second = ct_series(planes=3), ct_series(planes=3)
    for number, one in enumerate(second, start=1):
        one.SeriesInstanceUID, one.SOPInstanceUID = f"{STUDY}.4", f"{STUDY}.4.{number}"
    drawn = [
        srs.group(srs.comment(name), srs.scoord("POLYLINE", rectangle(*corners), srs.image(one.SOPInstanceUID)))
        for name, one, corners in (("a", first[0], (2, 2, 12, 12)), ("b", second[2], (5, 6, 15, 18)))
    ]
    save([*first, *second, srs.report(*drawn)], tmp_path)
    pairs = plan(scan([tmp_path])[0]).pairs
    found = [prompts_in(job_of(pair, JobOptions(), FillsTheBox().identity)) for pair in pairs]
    assert {pair.images.series_uid for pair in pairs} == {f"{STUDY}.2", f"{STUDY}.4"}
    assert sorted((prompt.label, *prompt.boxes) for one in found for prompt in one.prompts) == [
        ("a", (first[0].SOPInstanceUID, None)),
        ("b", (second[2].SOPInstanceUID, None)),
    ]
    assert [one.exclusions for one in found] == [(), ()]


def test_coordinates_outside_any_group_are_a_region_of_their_own() -> None:
    alone = srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image(FIRST))
    text = srs.item("TEXT", ("121071", "DCM", "Finding"), "CONTAINS", alone, TextValue="a mass")
    (region,) = read(srs.report(text)).regions
    assert (boxes(region), region.item, region.is_target) == ({0: (0.5, 0.5, 4.5, 4.5)}, "1.1.1", False)


def test_reports_by_highdicom_keep_their_codes_on_planar_regions() -> None:
    images = ct_series(planes=5, shape=(64, 64))
    corner = [(10, 12), (30, 12), (30, 40), (10, 40)]
    patient = [(x - 0.5, y - 0.5, 2.5) for x, y in corner]
    ds = srs.by_highdicom(
        images,
        [
            srs.planar(srs.region_on(images[2], "POLYLINE", [*corner, corner[0]])),
            srs.planar(srs.region_in_space(images[1], "POLYGON", [*patient, patient[0]])),
        ],
    )
    found = read(ds, stack_for(images))
    assert [boxes(region) for region in found.regions] == [{2: (9.5, 11.5, 29.5, 39.5)}, {1: (9.5, 11.5, 29.5, 39.5)}]
    for region in found.regions:
        assert region.codes.category == MORPHOLOGICALLY_ABNORMAL
        assert region.codes.type == LESION
        assert [(one.value, one.scheme) for one in region.codes.sites] == [("10200004", "SCT")]
        assert [one.meaning for one in region.codes.modifiers] == ["Right"]
        assert (region.tracking_id, region.tracking_uid, region.name) == ("Lesion 1", "2.25.1234", "Lesion")


def stack_for(images: list[Dataset]) -> Stack:
    """Return the stack of `images`, with their names and frame of reference."""
    stack = stack_of(*(float(one.ImagePositionPatient[2]) for one in images))
    planes = tuple(
        replace(plane, key=PlaneKey(Uid(one.SOPInstanceUID))) for plane, one in zip(stack.planes, images, strict=True)
    )
    return replace(stack, planes=planes, frame_of_reference_uid=Uid(images[0].FrameOfReferenceUID))


def test_a_volumetric_region_by_highdicom_has_its_boxes_on_all_its_planes() -> None:
    images = ct_series(planes=5, shape=(64, 64))
    regions = [srs.region_on(images[index], "POLYLINE", rectangle(10, 12, 30 + index, 40)) for index in (1, 2, 3)]
    (region,) = read(srs.by_highdicom(images, [srs.volumetric(referenced_regions=regions)]), stack_for(images)).regions
    assert boxes(region) == {index: (9.5, 11.5, 29.5 + index, 39.5) for index in (1, 2, 3)}
    assert region.codes.category == MORPHOLOGICALLY_ABNORMAL  # by the finding, a lesion


def surface(images: list[Dataset], graphic_type: str, points: object) -> Dataset:
    """Return a report by highdicom on a volume surface."""
    made = sr.VolumeSurface(
        graphic_type=graphic_type,
        graphic_data=points,  # type: ignore[arg-type]
        frame_of_reference_uid=images[0].FrameOfReferenceUID,
        source_images=[sr.SourceImageForSegmentation.from_source_image(images[0])],
    )
    return srs.by_highdicom(images, [srs.volumetric(referenced_volume_surface=made)])


def test_an_ellipsoid_is_cut_by_every_plane_that_it_crosses() -> None:
    images = ct_series(planes=10, shape=(64, 64), spacing=(1.0, 0.5), origin=(-10.0, -10.0, 0.0))
    ends = np.array([[-6, 0, 10], [6, 0, 10], [0, -4, 10], [0, 4, 10], [0, 0, 3], [0, 0, 17]], dtype=float)
    stack = stack_for(images)
    planes = tuple(
        replace(plane, spacing=(1.0, 0.5), position=(-10.0, -10.0, plane.position[2])) for plane in stack.planes
    )
    (region,) = read(surface(images, "ELLIPSOID", ends), replace(stack, planes=planes)).regions
    found = boxes(region)
    assert sorted(found) == [2, 3, 4, 5, 6]
    assert found[4] == (8, 6, 32, 14)
    share = np.sqrt(1 - (5 / 7) ** 2)
    assert np.allclose(found[2], (20 - 12 * share, 10 - 4 * share, 20 + 12 * share, 10 + 4 * share), atol=1e-4)


def test_a_volume_surface_of_polygons_is_read_and_one_of_a_point_is_told_as_not_supported() -> None:
    images = ct_series(planes=5, shape=(64, 64))
    slices = [np.array([(5, 6, z), (20, 6, z), (20, 30, z), (5, 6, z)], dtype=float) for z in (2.5, 5.0)]
    (region,) = read(surface(images, "POLYGON", slices), stack_for(images)).regions
    assert boxes(region) == {1: (5, 6, 20, 30), 2: (5, 6, 20, 30)}
    found = read(surface(images, "POINT", np.array([[5.0, 6.0, 5.0]])), stack_for(images))
    assert found.regions == ()
    ((reason, detail),) = reasons(found)
    assert (reason, "not supported" in detail) == (Reason.NO_BOX, True)


@pytest.mark.parametrize(
    ("graphic_type", "points", "expected"),
    [
        ("POLYLINE", [(10, 20, 5), (30, 20, 5), (30, 50, 5)], {1: (10, 20, 30, 50)}),
        ("MULTIPOINT", [(10, 20, 5), (30, 20, 5), (30, 50, 5)], {1: (10, 20, 30, 50)}),
        ("ELLIPSE", [(10, 20, 10), (30, 20, 10), (20, 15, 10), (20, 25, 10)], {2: (10, 15, 30, 25)}),
        ("POLYGON", [(10, 9, 0), (30, 9, 0), (30, 9, 10), (10, 9, 0)], dict.fromkeys((0, 1, 2), (10, 9, 30, 9))),
    ],
)
def test_shapes_in_the_patient_lie_on_the_planes_nearest_to_them(
    graphic_type: str, points: srs.Points, expected: object
) -> None:
    drawn = srs.scoord3d(graphic_type, points, FRAME_OF_REFERENCE)
    (region,) = read(srs.report(srs.group(drawn), sop_class=Comprehensive3DSRStorage)).regions
    assert boxes(region) == expected


def test_points_in_the_patient_lie_each_on_its_own_plane() -> None:
    drawn = srs.scoord3d("MULTIPOINT", [(10, 20, 0.5), (30, 20, 9)], FRAME_OF_REFERENCE)
    single = srs.scoord3d("POINT", [(7, 8, 5)], FRAME_OF_REFERENCE)
    first, second = read(srs.report(srs.group(drawn), srs.group(single))).regions
    assert dict(first.points) == {0: ((10, 20),), 2: ((30, 20),)}
    assert dict(second.points) == {1: ((7, 8),)}
    assert any("0.50 mm off its plane" in note for note in first.notes)


def test_shapes_in_another_frame_of_reference_are_refused() -> None:
    drawn = srs.scoord3d("POINT", [(7, 8, 5)], "1.99")
    ((reason, detail),) = reasons(read(srs.report(srs.group(drawn))))
    assert (reason, "1.99" in detail) == (Reason.FOR_MISMATCH, True)
    lost = replace(stack_of(0), frame_of_reference_uid=None)
    assert [reason for reason, _ in reasons(read(srs.report(srs.group(drawn)), lost))] == [Reason.NO_GEOMETRY]


def test_shapes_beyond_the_stack_are_refused_and_the_others_are_used() -> None:
    off, on = (srs.group(srs.scoord3d("POINT", [(7, 8, z)], FRAME_OF_REFERENCE)) for z in (50, 5))
    found = read(srs.report(off, on))
    assert len(found.regions) == 1
    assert [reason for reason, _ in reasons(found)] == [Reason.CONTOUR_OFF_STACK]


def segment_region(number: int) -> Region:
    return Region(
        what=f"segment {number}",
        item=str(number),
        name="Liver",
        extents={1: (Box(x0=1, y0=2, x1=3 + number, y1=4),), 2: (Box(x0=1, y0=2, x1=3, y1=4),)},
        codes=Codes(category=TISSUE, type=Code(value="10200004", scheme="SCT", meaning="Liver")),
        colour=(1, 2, 3),
        notes=("of the mask",),
    )


def test_a_measured_segment_is_read_from_its_segmentation() -> None:
    ds = srs.dcmqi_report(SEG, 2)
    assert references_of_sr(srs.through_a_file(ds), "report.dcm").objects == (SEG,)
    (region,) = read(ds, segments={Uid(SEG): segment_region}).regions
    assert region.extents == segment_region(2).extents
    assert (region.name, region.item, region.colour) == ("Liver", "1.1.1", (1, 2, 3))
    assert (region.tracking_id, region.tracking_uid) == ("Measurements group 1", "2.25.77")
    assert region.codes.type == Code(value="10200004", scheme="SCT", meaning="Liver")
    assert region.notes == ("of the mask",)


def test_a_finding_site_in_the_old_snomed_is_one_in_snomed_ct() -> None:
    (region,) = read(srs.dcmqi_report(SEG), segments={Uid(SEG): segment_region}).regions
    assert region.codes.sites == (Code(value="10200004", scheme="SCT", meaning="Liver"),)


def test_a_segment_of_a_segmentation_that_is_not_here_is_told() -> None:
    ((reason, detail),) = reasons(read(srs.dcmqi_report(SEG)))
    assert (reason, detail) == (Reason.NO_IMAGES, "that segmentation is not here")


def test_what_a_segmentation_refuses_is_told_of_the_region() -> None:
    def refusing(number: int) -> Region:
        raise Refused(Reason.NO_BOX, "seg.dcm", f"it has no segment {number}")

    found = read(srs.dcmqi_report(SEG, 9), segments={Uid(SEG): refusing})
    assert [(one.reason, "1.1.1" in one.what) for one in found.exclusions] == [(Reason.NO_BOX, True)]


def test_a_segment_on_one_image_counts_there_only() -> None:
    images = ct_series(planes=3, shape=(64, 64))
    frame = sr.ReferencedSegmentationFrame(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        sop_instance_uid=SEG,
        frame_number=1,
        segment_number=1,
        source_image=sr.SourceImageForSegmentation.from_source_image(images[1]),
    )
    made = srs.by_highdicom([*images, as_segmentation(images[0])], [srs.planar(None, referenced_segment=frame)])
    (region,) = read(made, stack_for(images), segments={Uid(SEG): segment_region}).regions
    assert boxes(region) == {1: (1, 2, 4, 4)}


def as_segmentation(image: Dataset) -> Dataset:
    """Return a stand-in for the SEG, as evidence."""
    segmentation = copy(image)
    segmentation.SOPInstanceUID, segmentation.SOPClassUID = SEG, SegmentationStorage
    segmentation.SeriesInstanceUID = "1.2.78"
    return segmentation


def test_a_cad_report_points_to_its_images_by_their_place_in_the_library() -> None:
    outline = srs.scoord("POLYLINE", rectangle(10, 20, 60, 70), srs.pointing([1, 1, 2]), name=srs.OUTLINE)
    centre = srs.scoord("POINT", [(35, 45)], srs.pointing([1, 1, 2]), name=srs.CENTER)
    alone = srs.scoord("POINT", [(90.5, 80.5)], srs.pointing([1, 1, 1]), name=srs.CENTER)
    ds = srs.cad_report(
        srs.cad_finding(("M-01100", "SRT", "Lesion"), centre, outline),
        srs.cad_finding(("129769006", "SCT", "Calcification cluster"), alone),
        srs.cad_finding(("M-01100", "SRT", "Lesion"), centre, outline, shown=False),
        library=[FIRST, SECOND],
    )
    found = read(ds)
    assert [(boxes(region), dict(region.points)) for region in found.regions] == [
        ({1: (9.5, 19.5, 59.5, 69.5)}, {}),
        ({}, {0: ((90, 80),)}),
    ]
    assert [region.name for region in found.regions] == ["Lesion", "Calcification cluster"]
    assert found.regions[0].codes.type == LESION
    assert found.exclusions == ()


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        (BasicTextSRStorage, "Basic Text SR Storage"),
        (KeyObjectSelectionDocumentStorage, "Key Object Selection Document Storage"),
        (XRayRadiationDoseSRStorage, "X-Ray Radiation Dose SR Storage"),
    ],
)
def test_a_report_without_regions_is_refused_by_name(sop_class: str, name: str) -> None:
    ds = srs.report(srs.comment("nothing seen"), srs.image(FIRST), sop_class=sop_class)  # type: ignore[arg-type]
    with pytest.raises(Refused) as error:
        references_of_sr(srs.through_a_file(ds), "report.dcm")
    assert error.value.reason is Reason.NOT_A_PROMPT
    assert name in error.value.detail


def test_an_osirix_roi_report_is_refused_by_name() -> None:
    ds = srs.report(SeriesDescription="OsiriX ROI SR")
    with pytest.raises(Refused, match="OsiriX ROI SR") as error:
        references_of_sr(srs.through_a_file(ds), "report.dcm")
    assert error.value.reason is Reason.NOT_A_PROMPT


def test_coordinates_without_an_image_are_told() -> None:
    alone = srs.group(srs.scoord("CIRCLE", [(0, 0), (9, 9)]))
    with pytest.raises(Refused, match="its coordinates name no image"):
        references_of_sr(srs.through_a_file(srs.report(alone)), "report.dcm")
    assert [reason for reason, _ in reasons(read(srs.report(alone)))] == [Reason.NO_IMAGES]


def references_in(content: bytes) -> References:
    ds, _ = read_dataset(BytesIO(content), "report.dcm", pixels=False)
    return references_of_sr(ds, "report.dcm")


@pytest.mark.parametrize(("count", "why"), [(150_000, "150000 content items"), (200_000, "more than 800000 elements")])
def test_a_report_of_too_many_items_is_refused_before_they_are_parsed(count: int, why: str) -> None:
    one = b"\xfe\xff\x00\xe0" + struct.pack("<L", 12) + b"\x40\x00\x40\xa0CS\x04\x00TEXT"
    sequence = b"\x40\x00\x30\xa7SQ\x00\x00" + struct.pack("<L", count * len(one)) + count * one
    buffer = BytesIO()
    srs.report().save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue() + sequence
    begun = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match=why) as error:
            references_in(content)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.value.reason is Reason.LIMIT
    assert most < 20 * len(content)
    assert time.process_time() - begun < 30


def test_a_report_of_too_many_items_is_refused_when_they_are_parsed_already() -> None:
    ds = srs.report(srs.container(("121070", "DCM", "Findings"), *[srs.comment("x")] * 100_001))
    with pytest.raises(Refused, match="more than 100000 content items") as error:
        references_of_sr(ds, "report.dcm")
    assert error.value.reason is Reason.LIMIT


def test_a_report_nested_too_deep_is_refused() -> None:
    deepest = srs.comment("x")
    for _ in range(200):
        deepest = srs.container(("121070", "DCM", "Findings"), deepest)
    with pytest.raises(Refused, match="more than 100 deep") as error:
        references_of_sr(srs.report(deepest), "report.dcm")
    assert error.value.reason is Reason.LIMIT


def test_a_tracking_uid_that_is_none_is_noted() -> None:
    tracked = srs.tracked("mine")
    tracked[1]["UID"].validation_mode = 0
    tracked[1]["UID"].value = "not a uid"
    drawn = srs.scoord("POLYLINE", rectangle(1, 1, 5, 5), srs.image(FIRST))
    made = annotation(path=Path("report.dcm"), kind=AnnotationKind.SR)
    (region,) = regions_of_sr(
        srs.report(srs.group(*tracked, drawn)), made, stack_of(0), Way(options=JobOptions())
    ).regions
    assert region.tracking_uid is None
    assert "Tracking Unique Identifier" in region.notes[0]


angles = st.floats(-3, 3)
spacings = st.floats(0.3, 3.0)


@settings(max_examples=150, deadline=None)
@given(
    turns=st.tuples(angles, angles, angles),
    spacing=st.tuples(spacings, spacings),
    step=st.floats(0.8, 6.0),
    plane=st.integers(0, 4),
    x=st.tuples(st.floats(0, 140), st.floats(2, 140)),
    y=st.tuples(st.floats(0, 140), st.floats(2, 140)),
)
def test_a_box_drawn_in_any_way_on_any_plane_is_the_box_that_is_read(
    turns: tuple[float, float, float],
    spacing: tuple[float, float],
    step: float,
    plane: int,
    x: tuple[float, float],
    y: tuple[float, float],
) -> None:
    orientation = turned(turns)
    stack = stack_of(*(step * index for index in range(5)), spacing=spacing, orientation=orientation)
    x0, y0, x1, y1 = x[0], y[0], x[0] + x[1], y[0] + y[1]
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    flat = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    ends = np.array([(x0, middle_y), (x1, middle_y), (middle_x, y0), (middle_x, y1)])
    at = srs.image(f"1.3.{plane + 1}")
    normal = np.cross(orientation[:3], orientation[3:])
    poles = in_patient(np.array([(middle_x, middle_y)] * 2), stack, plane) + np.array([[-1.5], [1.5]]) * normal
    drawn = [
        srs.scoord("POLYLINE", flat + 0.5, at),
        srs.scoord("ELLIPSE", ends + 0.5, at),
        srs.scoord("MULTIPOINT", flat[:4] + 0.5, at),
        srs.scoord3d("POLYGON", in_patient(flat, stack, plane), FRAME_OF_REFERENCE),
        srs.scoord3d("ELLIPSE", in_patient(ends, stack, plane), FRAME_OF_REFERENCE),
        srs.scoord3d("ELLIPSOID", [*in_patient(ends, stack, plane), *poles], FRAME_OF_REFERENCE),
    ]
    radius = np.array([(middle_x, middle_y), (middle_x + 0.6 * x[1], middle_y - 0.8 * x[1])])
    drawn.append(srs.scoord("CIRCLE", radius + 0.5, at))
    found = read(srs.report(*map(srs.group, drawn), sop_class=ComprehensiveSRStorage), stack)
    assert found.exclusions == ()
    circle = boxes(found.regions[-1])[plane]
    assert np.allclose(circle, (middle_x - x[1], middle_y - x[1], middle_x + x[1], middle_y + x[1]), atol=1e-3)
    for region in found.regions[:-1]:
        assert np.allclose(boxes(region)[plane], (x0, y0, x1, y1), atol=1e-3), region.item
    assert [len(region.extents) for region in found.regions[:5]] == [1, 1, 1, 1, 1]


def turned(turns: tuple[float, float, float]) -> tuple[float, ...]:
    """Return an orientation turned about the three axes in turn."""
    matrix = np.eye(3)
    for axis, angle in enumerate(turns):
        turn = np.eye(3)
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn[[one, one, other, other], [one, other, one, other]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        matrix = turn @ matrix
    return (*map(float, matrix[:, 0]), *map(float, matrix[:, 1]))


def in_patient(points: NDArray[np.float64], stack: Stack, index: int) -> NDArray[np.float64]:
    """Return `points`, (point, 2) x, y in pixels of a plane, in patient mm."""
    plane = stack.planes[index]
    across, down = points[:, :1] * plane.spacing[1], points[:, 1:] * plane.spacing[0]
    found = np.array(plane.position) + across * plane.orientation[:3] + down * plane.orientation[3:]
    return np.asarray(found)
