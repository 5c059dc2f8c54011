"""What stands in a written SEG: identity, places, references, descriptions; and that two builds are the same bytes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from numpy.typing import NDArray
from pydicom import DataElement, Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.results.check import check
from dicomnode.domain import Annotation, Box, Mask, ModelIdentity, Stack, Uid
from dicomnode.errors import Reason
from dicomnode.inference.runtime import Decoded
from dicomnode.pipeline import Tools, run
from tests.builders import Contour, ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox, Size
from tests.folders import job_in, outcome_of, planes_of, seg_of
from tests.reading import voxels_by_dcmqi
from tests.results import segs_of
from tests.validation import errors_of
from tests.values import mask, prompt

MODEL = FillsTheBox().identity


def source(folder: Path, images: Sequence[Dataset]) -> tuple[Stack, Annotation]:
    """Save `images` and a structure set that names them; return the stack and the annotation."""
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]}, references=False)], folder)
    job = job_in(folder)
    return planes_of(job.images), job.annotation


def block(rows: slice, columns: slice, shape: tuple[int, int] = (32, 40)) -> NDArray[np.bool_]:
    inside = np.zeros(shape, dtype=bool)
    inside[rows, columns] = True
    return inside


SQUARE = block(slice(5, 9), slice(6, 12))


def written(masks: Sequence[Mask], stack: Stack, annotation: Annotation, model: ModelIdentity = MODEL) -> Dataset:
    """Write `masks`, check them, and return the object as it stands in a file."""
    objects = segs_of(masks, stack, annotation, model, "1")
    check(objects, masks, stack)
    return dcmread(BytesIO(objects[0].content))


def texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(str(value) for value in ds[keyword].value)


def positions(seg: Dataset) -> list[tuple[str, ...]]:
    return [
        texts(group.PlanePositionSequence[0], "ImagePositionPatient") for group in seg.PerFrameFunctionalGroupsSequence
    ]


def with_texts(ds: Dataset, keyword: str, value: str) -> None:
    """Give `ds` the decimal texts in `value`, byte by byte as a file has them."""
    raw = value.encode() + b" " * (len(value) % 2)
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, "DS", len(raw), raw, 0, is_implicit_VR=False, is_little_endian=True)


def test_two_builds_are_the_same_bytes_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (2.5, 5.0)], "B": [square(7, 7, 12, 12, 5.0)]})
    first = outcome_of(images, drawn, tmp_path / "a").objects
    save([images[3], drawn, images[0], images[4], images[2], images[1]], tmp_path / "b")
    for number, path in enumerate(sorted((tmp_path / "b").iterdir(), reverse=True)):
        path.rename(path.with_name(f"{number}"))
    reversed_numbers = outcome_of(images, drawn, tmp_path / "a").objects
    other_names = outcome_of([], drawn, tmp_path / "b").objects
    assert first[0].content == reversed_numbers[0].content == other_names[0].content


def test_the_bytes_do_not_depend_on_how_a_sender_encoded_the_sources(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    for image in images:
        kind, system = Dataset(), Dataset()
        system.CodeValue, system.CodingSchemeDesignator, system.CodeMeaning = "113100", "DCM", "Basic"
        kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = "1", "99X", "outer"
        kind.EquivalentCodeSequence = [system]
        image.DeidentificationMethodCodeSequence = [kind]
    found = []
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        for endless in (False, True):  # sequences and items that end with a delimiter, PS3.5 7.5.2
            for image in images:
                outer = image["DeidentificationMethodCodeSequence"]
                for element in (outer, outer[0]["EquivalentCodeSequence"]):
                    element.is_undefined_length = endless
                    element[0].is_undefined_length_sequence_item = endless
            folder = tmp_path / f"{syntax.name}{endless}"
            save([*images, drawn], folder, syntax=syntax)
            found.append(outcome_of([], drawn, folder).objects[0].content)
    assert len(set(found)) == 1


def test_other_boxes_masks_weights_parameters_or_annotations_are_another_uid(tmp_path: Path) -> None:
    stack, annotation = source(tmp_path, ct_series())
    same = mask({1: SQUARE})
    boxed = Mask(prompt=prompt({stack.planes[1].key: Box(x0=1, y0=1, x1=2, y1=2)}), planes={1: SQUARE})
    variants = [
        ([same], annotation, MODEL),
        ([mask({1: ~SQUARE})], annotation, MODEL),
        ([mask({2: SQUARE})], annotation, MODEL),
        ([mask({1: SQUARE}, "other name")], annotation, MODEL),
        ([boxed], annotation, MODEL),
        ([Mask(prompt=replace(same.prompt, margin_mm=2.0), planes=same.planes)], annotation, MODEL),
        ([same], replace(annotation, sop_instance_uid=Uid("1.5.9")), MODEL),
        ([same], annotation, replace(MODEL, source="other weights")),
        ([same], annotation, replace(MODEL, version="2")),
        ([same], annotation, replace(MODEL, parameters=(("window", "wide"),))),
        ([replace(same, parameters=(("strategy", "static"),))], annotation, MODEL),
    ]
    uids = [segs_of(masks, stack, of, model, "1")[0].sop_instance_uid for masks, of, model in [*variants, variants[0]]]
    assert len(set(uids)) == len(variants)
    assert uids[0] == uids[-1]


def test_a_header_corrected_under_the_same_source_uids_is_another_uid(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    first = seg_of(images, drawn, tmp_path / "first")
    for image in images:
        image.PatientName = "Corrected^Name"
    second = seg_of(images, drawn, tmp_path / "second")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert second.file_meta.MediaStorageSOPInstanceUID == second.SOPInstanceUID


def test_positions_orientation_and_spacing_are_the_sources_own_texts(tmp_path: Path) -> None:
    images = ct_series(planes=3)
    places = ["-0.1000\\+2\\0", "-0.10\\2.\\2.500000001", "-1e-1\\2.0\\5.0"]
    for image, place in zip(images, places, strict=True):
        with_texts(image, "ImagePositionPatient", place)
        with_texts(image, "PixelSpacing", "0.9765620\\.9765620")
        with_texts(image, "ImageOrientationPatient", "1.00000\\0\\-0\\0\\1.0\\0")
    stack, annotation = source(tmp_path, images)
    seg = written([mask(dict.fromkeys(range(3), SQUARE))], stack, annotation)
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert {"\\".join(place) for place in positions(seg)} == set(places)
    assert texts(shared.PixelMeasuresSequence[0], "PixelSpacing") == ("0.9765620", ".9765620")
    assert texts(shared.PlaneOrientationSequence[0], "ImageOrientationPatient")[0] == "1.00000"


def test_a_tilted_stack_with_uneven_gaps_is_written_as_it_is(tmp_path: Path) -> None:
    images = ct_series(planes=6)
    places = [[0, round(-height * 0.268, 3), height] for height in (0, 4.2, 8.4, 12.6, 20.0, 27.4)]
    for image, place in zip(images, places, strict=True):
        image.ImagePositionPatient = place
    stack, annotation = source(tmp_path, images)
    seg = written([mask({1: SQUARE, 3: SQUARE, 5: SQUARE})], stack, annotation)
    assert sorted([float(value) for value in place] for place in positions(seg)) == sorted(places[1::2])
    assert "SpacingBetweenSlices" not in seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]


def test_each_frame_names_the_image_that_lies_there(tmp_path: Path) -> None:
    images = ct_series()
    stack, annotation = source(tmp_path, images)
    seg = written([mask({1: SQUARE, 4: SQUARE})], stack, annotation)
    sources = [
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    here = {image.SOPInstanceUID: texts(image, "ImagePositionPatient") for image in images}
    assert [here[uid] for uid in sources] == positions(seg)
    assert set(sources) == {images[1].SOPInstanceUID, images[4].SOPInstanceUID}
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
    assert len(series.ReferencedInstanceSequence) == 5


@pytest.mark.peer
def test_overlapping_segments_keep_every_voxel(tmp_path: Path) -> None:
    stack, annotation = source(tmp_path, ct_series())
    other = block(slice(7, 20), slice(8, 30))
    seg = written([mask({1: SQUARE}, "one"), mask({1: other, 2: other}, "other")], stack, annotation)
    assert (seg.SegmentationType, seg.NumberOfFrames, seg.SegmentsOverlap) == ("BINARY", 3, "YES")
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")[: 3 * 32 * 40]
    assert bits.reshape(3, -1).sum(axis=1).tolist() == [SQUARE.sum(), other.sum(), other.sum()]
    save([seg], tmp_path / "seg")
    assert errors_of(tmp_path / "seg" / f"{seg.SOPInstanceUID}.dcm") == []


@pytest.mark.peer
def test_an_empty_segment_stays_listed_and_has_no_frame(tmp_path: Path) -> None:
    stack, annotation = source(tmp_path, ct_series())
    nothing = np.zeros((32, 40), dtype=bool)
    seg = written([mask({1: nothing}, "nothing"), mask({1: nothing, 2: SQUARE}, "one")], stack, annotation)
    assert [(item.SegmentNumber, item.SegmentLabel) for item in seg.SegmentSequence] == [(1, "nothing"), (2, "one")]
    assert seg.NumberOfFrames == 1
    save([seg], tmp_path / "seg")
    assert errors_of(tmp_path / "seg" / f"{seg.SOPInstanceUID}.dcm") == []


def test_masks_without_a_voxel_make_no_object(tmp_path: Path) -> None:
    stack, annotation = source(tmp_path, ct_series())
    assert segs_of([mask({1: np.zeros((32, 40), dtype=bool)})], stack, annotation, MODEL, "1") == ()


def test_an_object_says_who_made_it_and_how(tmp_path: Path) -> None:
    images = ct_series()
    seg = seg_of(images, rtstruct(images, {"GTV-1": [square(5, 5, 9, 9, 5.0)]}, interpreted_type="GTV"), tmp_path)
    private: list[DataElement] = []
    seg.walk(lambda _, element: private.append(element) if element.tag.is_private else None)
    assert private == []
    assert any(item.Manufacturer == "dicomnode" for item in seg.ContributingEquipmentSequence)
    assert (seg.BurnedInAnnotation, seg.ContentLabel, seg.ContentCreatorName) == (
        "NO",
        "FILLS THE BO_SEG",
        "DICOMNODE",
    )
    assert (seg.SeriesNumber, seg.InstanceNumber) == (2001, 1)
    (item,) = seg.SegmentSequence
    assert (item.SegmentLabel, item.SegmentAlgorithmType) == ("GTV-1", "SEMIAUTOMATIC")
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "fills the box"
    assert "margin_mm=0" in item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert "RTSTRUCT" in seg.ContentDescription


def test_times_come_from_the_newest_of_images_and_annotation(tmp_path: Path) -> None:
    seg = seg_of(ct_series(), rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]}), tmp_path)
    assert (seg.ContentDate, seg.ContentTime) == ("20260102", "120000")
    assert (seg.InstanceCreationDate, seg.InstanceCreationTime) == ("20260102", "120000")
    assert all("ContributionDateTime" not in item for item in seg.ContributingEquipmentSequence)


@pytest.mark.peer
def test_long_names_keep_within_the_lengths_of_their_elements(tmp_path: Path) -> None:
    images = ct_series()
    rois: dict[str, list[Contour]] = {letter * 64: [square(5, 5, 9, 9, 5.0)] for letter in "abc"}
    seg = seg_of(images, rtstruct(images, rois), tmp_path / "in")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == list(rois)
    save([seg], tmp_path / "seg")
    assert errors_of(tmp_path / "seg" / f"{seg.SOPInstanceUID}.dcm") == []


def test_foreign_names_are_written_as_they_are_and_counted_in_characters(tmp_path: Path) -> None:
    """PS3.5 6.2 counts an LO in characters; dciodvfy counts bytes, so it is no witness here."""
    images = ct_series()
    names = ["Lymphknoten paraaortal links, Größe", "ß" * 64, "右肺上葉の結節" * 9]
    rois: dict[str, list[Contour]] = {name: [square(5, 5, 9, 9, 5.0)] for name in names}
    seg = seg_of(images, rtstruct(images, rois), tmp_path)
    assert [item.SegmentLabel for item in seg.SegmentSequence] == names
    assert max(len(seg.SeriesDescription), len(seg.ContentDescription)) <= 64


def test_planes_whose_directions_drift_share_one_orientation(tmp_path: Path) -> None:
    images = ct_series()
    for index, image in enumerate(images):
        image.ImageOrientationPatient = [1, round(index * 5e-5, 6), 0, round(-index * 5e-5, 6), 1, 0]
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (7.5, 10.0)]})
    outcome = outcome_of(images, drawn, tmp_path)
    assert [one.planes for one in outcome.segments] == [2]


def test_one_plane_makes_a_seg(tmp_path: Path) -> None:
    images = ct_series(planes=1)
    outcome = outcome_of(images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]}), tmp_path)
    assert [(one.planes, one.voxels) for one in outcome.segments] == [(1, 25)]
    assert outcome.segments[0].volume_ml == pytest.approx(25 * 2.5 / 1000)


def of_two_thicknesses() -> list[Dataset]:
    """Return a series of which the two lowest slices are thicker than the others."""
    images = ct_series()
    for ds in images[:2]:
        ds.SliceThickness = 5.0
    return images


def test_the_thickness_is_that_of_the_planes_with_a_mask(tmp_path: Path) -> None:
    stack, annotation = source(tmp_path, of_two_thicknesses())
    for planes, thickness in (({0: SQUARE, 1: SQUARE}, 5.0), ({2: SQUARE, 4: SQUARE}, 2.5)):
        seg = written([mask(planes)], stack, annotation)
        (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        assert measures.SliceThickness == thickness
        assert not any("PixelMeasuresSequence" in group for group in seg.PerFrameFunctionalGroupsSequence)


@pytest.mark.peer
def test_frames_of_several_thicknesses_have_measures_of_their_own(tmp_path: Path) -> None:
    images = of_two_thicknesses()
    with_texts(images[0], "PixelSpacing", "1.00000\\1.00000")
    stack, annotation = source(tmp_path / "in", images)
    masks = [mask({1: SQUARE, 2: SQUARE}, "one"), mask({2: block(slice(1, 3), slice(2, 9))}, "other")]
    (made,) = segs_of(masks, stack, annotation, MODEL, "1")
    check([made], masks, stack)
    path = tmp_path / "seg.dcm"
    path.write_bytes(made.content)
    seg = dcmread(path)
    measures = [group.PixelMeasuresSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    heights = [float(position[2]) for position in positions(seg)]
    assert {(z, one.SliceThickness) for z, one in zip(heights, measures, strict=True)} == {(2.5, 5.0), (5.0, 2.5)}
    assert {texts(one, "PixelSpacing") for one in measures} == {("1.00000", "1.00000")}
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]
    assert errors_of(path) == []
    assert segread(path).get_volume(combine_segments=True).spatial_shape == (2, 32, 40)
    expected = {number: of_mask.voxels for number, of_mask in enumerate(masks, start=1)}
    assert {number: len(voxels) for number, voxels in voxels_by_dcmqi(path, tmp_path / "dcmqi").items()} == expected


@dataclass(frozen=True, slots=True)
class FindsNothing(FillsTheBox):
    """A model for which nothing belongs to the object."""

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        decoded = FillsTheBox().decode(features, boxes)
        return decoded._replace(logits=np.full_like(decoded.logits, -1))


def test_where_nothing_is_found_there_is_no_seg_and_each_segment_is_named(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {name: [square(5, 5, 9, 9, 5.0)] for name in "AB"})], tmp_path)
    with Decoders() as decoders:
        outcome = run(job_in(tmp_path), Tools(runtime=FindsNothing(), decoders=decoders))
    assert outcome.objects == ()
    assert [(one.what[-3:], one.reason) for one in outcome.exclusions] == [
        ("'A'", Reason.EMPTY_RESULT),
        ("'B'", Reason.EMPTY_RESULT),
    ]
    assert [(one.label, one.voxels) for one in outcome.segments] == [("A", 0), ("B", 0)]


def test_where_nothing_was_drawn_nothing_is_written(tmp_path: Path) -> None:
    images = ct_series()
    outcome = outcome_of(images, rtstruct(images, {"A": []}), tmp_path)
    assert (outcome.objects, outcome.segments) == ((), ())
    assert [one.reason for one in outcome.exclusions] == [Reason.NOT_A_PROMPT]


def test_two_structure_sets_make_two_segs_each_alone_in_a_series_of_its_own(tmp_path: Path) -> None:
    """Viewers show the last object of a series of SEGs and the first series that it refers to."""
    images = ct_series()
    segs = [
        seg_of(images, rtstruct(images, {"A": [square(5, 5, far, far, 5.0)]}), tmp_path / f"{far}") for far in (9, 12)
    ]
    assert len({seg.SeriesInstanceUID for seg in segs}) == len({seg.SOPInstanceUID for seg in segs}) == 2
    assert len({image.SeriesInstanceUID for image in images} | {seg.SeriesInstanceUID for seg in segs}) == 3
    for seg in segs:
        (series,) = seg.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
        assert (seg.InstanceNumber, seg.StudyInstanceUID) == (1, images[0].StudyInstanceUID)


@pytest.mark.peer
def test_left_and_right_are_modifiers_and_a_name_that_nobody_knows_keeps_its_words(tmp_path: Path) -> None:
    images = ct_series()
    names = ["Kidney_L", "Niere rechts", "Gummibaum 7"]
    drawn = rtstruct(images, {name: [square(5, 5, 9, 9, 5.0)] for name in names})
    seg = seg_of(images, drawn, tmp_path / "in")
    found = []
    for item in seg.SegmentSequence:
        (kind,) = item.SegmentedPropertyTypeCodeSequence
        modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
        found.append((item.SegmentLabel, kind.CodeMeaning, [(one.CodeValue, one.CodeMeaning) for one in modifiers]))
    assert found == [
        ("Kidney_L", "Kidney", [("7771000", "Left")]),
        ("Niere rechts", "Kidney", [("24028007", "Right")]),
        ("Gummibaum 7", "Tissue", []),
    ]
    (path,) = save([seg], tmp_path / "seg")
    assert errors_of(path) == []
    voxels_by_dcmqi(path, tmp_path / "dcmqi")
    read = json.loads((tmp_path / "dcmqi" / "meta.json").read_text(encoding="utf-8"))
    attributes = [one for of_file in read["segmentAttributes"] for one in of_file]
    modified = [one.get("SegmentedPropertyTypeModifierCodeSequence", {}).get("CodeMeaning") for one in attributes]
    assert modified == ["Left", "Right", None]


def test_the_serial_number_is_the_sites_own_and_names_the_device(tmp_path: Path) -> None:
    stack, annotation = source(tmp_path, ct_series())
    made = [
        dcmread(BytesIO(segs_of([mask({1: SQUARE})], stack, annotation, MODEL, number)[0].content))
        for number in ("A-1", "A-2")
    ]
    assert [seg.DeviceSerialNumber for seg in made] == ["A-1", "A-2"]
    assert len({seg.DeviceUID for seg in made}) == len({seg.SOPInstanceUID for seg in made}) == 2


def test_without_a_date_of_its_content_a_result_bears_that_of_the_study(tmp_path: Path) -> None:
    images = ct_series(ContentDate="", ContentTime="")
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})
    drawn.StructureSetDate = drawn.StructureSetTime = ""
    seg = seg_of(images, drawn, tmp_path)
    assert (seg.ContentDate, seg.ContentTime) == (images[0].StudyDate, images[0].StudyTime)
