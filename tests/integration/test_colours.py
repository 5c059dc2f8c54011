"""A mask has the same colour in all objects, and none that another has where its annotation gives none."""

from pathlib import Path

from highdicom.color import CIELabColor

from dicomnode.dicom.results.pictures import write_pictures
from dicomnode.dicom.results.presentation import write_presentation_states
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.dicom.results.structure_set import write_structure_set
from dicomnode.domain import SegType
from tests.builders import ct_series
from tests.multiframe import film
from tests.shown import block, found, read

ONE, OTHER = block(slice(5, 9), slice(4, 9)), block(slice(5, 9), slice(20, 29))
FACTOR = 13  # 40 columns become 520


def test_masks_without_a_colour_are_told_apart_in_every_object(tmp_path: Path) -> None:
    findings = found(ct_series(), tmp_path, ({1: ONE}, "one"), ({1: OTHER}, "other"))
    (picture,) = map(read, write_pictures(findings))
    lines = [tuple(picture.pixel_array[7 * FACTOR, column * FACTOR - 1].tolist()) for column in (4, 20)]
    assert len(set(lines)) == 2
    (structure_set,) = map(read, write_structure_set(findings))
    assert [tuple(region.ROIDisplayColor) for region in structure_set.ROIContourSequence] == lines
    expected = [tuple(CIELabColor.from_rgb(*line).value) for line in lines]
    (seg,) = map(read, write_segs(findings, SegType.BINARY))
    assert [tuple(segment.RecommendedDisplayCIELabValue) for segment in seg.SegmentSequence] == expected
    (state,) = map(read, write_presentation_states(findings))
    layers = [layer for layer in state.GraphicLayerSequence if layer.GraphicLayer.startswith("MASK")]
    assert [tuple(layer.GraphicLayerRecommendedDisplayCIELabValue) for layer in layers] == expected


def test_a_mask_keeps_its_colour_in_the_seg_of_a_frame_that_has_no_other(tmp_path: Path) -> None:
    images = [film(3, colour=True)]
    findings = found(images, tmp_path, ({0: ONE}, "one"), ({0: OTHER, 2: OTHER}, "other"))
    both, alone = (read(seg).SegmentSequence for seg in write_segs(findings, SegType.BINARY))
    assert [segment.SegmentLabel for segment in (*both, *alone)] == ["one", "other", "other"]
    assert both[1].RecommendedDisplayCIELabValue == alone[0].RecommendedDisplayCIELabValue
    assert both[0].RecommendedDisplayCIELabValue != both[1].RecommendedDisplayCIELabValue
