"""Real structured reports, and reports written on real lesions, beside the structure sets and masks of the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from dicomnode.dicom.scan import scan
from dicomnode.domain import JobOptions, PlaneKey, Prompts
from dicomnode.errors import Reason
from dicomnode.planning import Plan, job_of, plan
from tests import sr_objects as srs
from tests.fakes import FillsTheBox
from tests.folders import prompts_in
from tests.reading import contours_of

pytestmark = pytest.mark.data

Boxes = Mapping[PlaneKey, tuple[float, float, float, float]]
HALF_A_PIXEL = 0.5
LESIONS = [
    "ibsi_sts/dicom/STS_002/CT",
    "ibsi_sts/dicom/STS_005/MR_T1",
    "ibsi_sts/dicom/STS_008/PET",
    "sts_raw_STS_001/STS_001/MR_T1",
    "sts_raw_STS_001/STS_001/MR_T2",
]


def planned(*paths: Path) -> Plan:
    return plan(scan(paths)[0])


def prompts_by_file(found: Plan) -> dict[str, Prompts]:
    """Return the name of each annotation's file -> its prompts."""
    return {
        pair.annotation.path.name: prompts_in(job_of(pair, JobOptions(), FillsTheBox().identity))
        for pair in found.pairs
    }


def boxes_of(found: Prompts) -> Boxes:
    """Return the box round all prompts on each plane."""
    boxes: dict[PlaneKey, tuple[float, float, float, float]] = {}
    for prompt in found.prompts:
        for key, box in prompt.boxes.items():
            x0, y0, x1, y1 = boxes.get(key, (np.inf, np.inf, -np.inf, -np.inf))
            boxes[key] = (min(x0, box.x0), min(y0, box.y0), max(x1, box.x1), max(y1, box.y1))
    return boxes


def alike(one: Boxes, other: Boxes, tolerance: float) -> bool:
    return one.keys() == other.keys() and all(np.allclose(one[key], other[key], atol=tolerance) for key in one)


def test_regions_by_highdicom_have_the_boxes_of_their_coordinates(data_dir: Path) -> None:
    folder = data_dir / "highdicom_testfiles" / "test_files"
    names = ("ct_image.dcm", "sr_document.dcm", "sr_document_with_multiple_groups.dcm")
    found = prompts_by_file(planned(*(folder / name for name in names)))
    assert {name: [prompt.label for prompt in one.prompts] for name, one in found.items()} == {
        "sr_document.dcm": ["Spinal cord"],
        "sr_document_with_multiple_groups.dcm": ["Nodule", "Aorta"],
    }
    boxes = [next(iter(prompt.boxes.values())) for one in found.values() for prompt in one.prompts]
    assert [(box.x0, box.y0, box.x1, box.y1) for box in boxes] == [
        (46.5, 40.5, 68.5, 62.5),
        (34.5, 44.5, 54.5, 64.5),
        (24.5, 44.5, 44.5, 64.5),
    ]
    nodule = found["sr_document_with_multiple_groups.dcm"].prompts[0]
    assert [code.meaning for code in (nodule.category, nodule.type, *nodule.sites)] == [
        "Morphologically Abnormal Structure",
        "Nodule",
        "Lung",
    ]
    (left_out,) = found["sr_document_with_multiple_groups.dcm"].exclusions
    assert (left_out.reason, "Volume Surface of POINT is not supported" in left_out.detail) == (Reason.NO_BOX, True)


def mask_boxes(path: Path) -> Boxes:
    """Return the boxes of the only segment of the SEG at `path` on the images its frames name, by pydicom alone."""
    ds = dcmread(path)
    bits = np.unpackbits(np.frombuffer(ds.PixelData, dtype=np.uint8), bitorder="little")
    frames = bits[: int(ds.NumberOfFrames) * ds.Rows * ds.Columns].reshape(-1, ds.Rows, ds.Columns)
    boxes = {}
    for frame, groups in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        rows, columns = np.nonzero(frame)
        box = (columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5)
        boxes[PlaneKey(source.ReferencedSOPInstanceUID)] = box
    return boxes


def test_measured_segments_by_dcmqi_have_the_boxes_of_their_masks(data_dir: Path) -> None:
    examples = data_dir / "dcmqi_tid1500" / "examples"
    found = prompts_by_file(planned(examples))
    truth = mask_boxes(examples / "dcmqi" / "liver" / "liver.dcm")
    assert len(found) == 3
    for name, one in found.items():
        assert alike(boxes_of(one), truth, 1e-6), name
        assert one.exclusions == (), name
    measured = found["result.dcm"].prompts[0]
    assert measured.tracking_id == "Measurements group 1"
    assert measured.tracking_uid != found["liver.dcm"].prompts[0].tracking_uid


def test_a_measured_segment_whose_segmentation_is_not_here_is_told(data_dir: Path) -> None:
    examples = data_dir / "dcmqi_tid1500" / "examples" / "dcmqi"
    found = prompts_by_file(planned(examples / "ct-3slice", examples / "result.dcm"))
    (left_out,) = found["result.dcm"].exclusions
    assert (left_out.reason, found["result.dcm"].prompts) == (Reason.NO_IMAGES, ())


def test_reports_whose_images_never_came_are_told(data_dir: Path) -> None:
    found = planned(data_dir / "sr_unresolved")
    assert found.pairs == ()
    assert [one.reason for one in found.exclusions] == [Reason.NO_IMAGES] * 2


@pytest.mark.parametrize("name", ["reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "test-SR.dcm"])
def test_reports_without_regions_are_set_aside(data_dir: Path, name: str) -> None:
    found = planned(data_dir / "pydicom_testfiles" / "data" / "test_files" / name)
    assert [one.reason for one in found.exclusions] == [Reason.NOT_A_PROMPT]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """One contour as a viewer has it: the image it lies on, and where, in pixels from the first one's corner."""

    image: Dataset
    pixels: NDArray[np.float64]
    patient: NDArray[np.float64]


def drawn_in(folder: Path) -> tuple[Path, list[Dataset], list[list[Drawn]]]:
    """Return the structure set in `folder`, the images' headers, and the contours of each of its regions."""
    images: list[Dataset] = [dcmread(path, stop_before_pixels=True) for path in (folder / "image").iterdir()]
    path = next((folder / "mask").iterdir())
    regions = contours_of(dcmread(path))
    return path, images, [[on_image(contour, images) for contour in contours] for contours in regions.values()]


def on_image(contour: NDArray[np.float64], images: list[Dataset]) -> Drawn:
    def distance(image: Dataset) -> float:
        orientation, position = numbers(image, "ImageOrientationPatient"), numbers(image, "ImagePositionPatient")
        return abs(float((contour.mean(axis=0) - position) @ np.cross(orientation[:3], orientation[3:])))

    image = min(images, key=distance)
    orientation, spacing = numbers(image, "ImageOrientationPatient"), numbers(image, "PixelSpacing")
    offsets = contour - numbers(image, "ImagePositionPatient")
    x, y = offsets @ orientation[:3] / spacing[1], offsets @ orientation[3:] / spacing[0]
    return Drawn(image=image, pixels=np.column_stack([x, y]) + 0.5, patient=contour)


def numbers(image: Dataset, keyword: str) -> NDArray[np.float64]:
    return np.array(image[keyword].value, dtype=np.float64)


def closed(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([points, points[:1]])


def as_ohif_writes(regions: list[list[Drawn]]) -> Iterator[Dataset]:
    """Yield each contour as a free-hand region of OHIF, drawn on its image."""
    for number, contours in enumerate(regions):
        for one in contours:
            on = srs.scoord("POLYLINE", closed(one.pixels), srs.image(one.image.SOPInstanceUID))
            yield srs.ohif("PlanarFreehandROI", f"region {number}", srs.measured(srs.AREA, on))


def in_space_as_ohif_writes(regions: list[list[Drawn]]) -> Iterator[Dataset]:
    """Yield each contour as OHIF writes it where it was drawn on no image."""
    for number, contours in enumerate(regions):
        for one in contours:
            frame = one.image.FrameOfReferenceUID
            drawn = srs.scoord3d("POLYLINE", closed(one.patient), frame)
            yield srs.ohif("PlanarFreehandROI", f"region {number}", srs.measured(srs.AREA, drawn))


def by_highdicom(images: list[Dataset], regions: list[list[Drawn]]) -> Dataset:
    """Return a report by highdicom with one volumetric region for each."""
    groups = [
        srs.volumetric(
            f"region {number}",
            referenced_regions=[srs.region_on(one.image, "POLYLINE", closed(one.pixels)) for one in contours],
        )
        for number, contours in enumerate(regions)
    ]
    return srs.by_highdicom(images, groups)


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize("lesion", LESIONS)
def test_reports_on_the_contours_of_a_structure_set_have_its_boxes(data_dir: Path, tmp_path: Path, lesion: str) -> None:
    folder = data_dir / lesion
    structure_set, images, regions = drawn_in(folder)
    truth = boxes_of(prompts_by_file(planned(folder / "image", structure_set))[structure_set.name])
    written = {
        "ohif": srs.ohif_report(*as_ohif_writes(regions)),
        "in_space": srs.ohif_report(*in_space_as_ohif_writes(regions), sop_class=Comprehensive3DSRStorage),
        "highdicom": by_highdicom(with_patient(images), regions),
    }
    for name, ds in written.items():
        ds.StudyInstanceUID = images[0].StudyInstanceUID
        path = tmp_path / f"{name}.dcm"
        ds.save_as(path, enforce_file_format=True)
        found = prompts_by_file(planned(folder / "image", path))[path.name]
        assert found.exclusions == (), name
        assert alike(boxes_of(found), truth, HALF_A_PIXEL), name


def with_patient(images: list[Dataset]) -> list[Dataset]:
    """Return the images with what highdicom copies into a report, in a form that it takes."""
    for image in images:
        image.PatientName = "Phantom^Test"
    return images
