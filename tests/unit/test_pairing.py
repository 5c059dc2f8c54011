from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dicomnode.dicom.coverage import covered
from dicomnode.dicom.pairing import pair
from dicomnode.domain import AnnotationKind, PairingRule, PlaneKey, StackImages, Uid
from dicomnode.errors import Reason
from dicomnode.planning import plan
from tests.values import annotation, frame, image, images_at, stack_images

CT = stack_images("1.2/1", *images_at(0, 1, 2))
PET = stack_images("1.2.2/1", *images_at(0, 1, 2, prefix="1.4", series_uid="1.2.2"))
ELSEWHERE = stack_images("1.2.3/1", *images_at(0, prefix="1.7", series_uid="1.2.3", frame_of_reference_uid="1.9.3"))


def test_the_images_it_names_decide() -> None:
    ((found,), unpaired) = pair(
        [annotation(images={"1.4.1": 2, "1.4.3": 1}, series=["1.2"], frames=["1.9"])], [CT, PET]
    )
    assert (found.images, found.rule, unpaired) == (PET, PairingRule.IMAGES, ())
    assert "3 of its 3" in found.evidence


def test_of_images_in_two_stacks_the_more_often_named_decide() -> None:
    ((found,), _) = pair([annotation(images={"1.3.1": 2, "1.4.1": 5})], [CT, PET])
    assert found.images == PET


def test_images_named_alike_in_two_stacks_are_ambiguous() -> None:
    (found, (exclusion,)) = pair([annotation(images={"1.3.1": 2, "1.4.1": 2})], [CT, PET])
    assert found == ()
    assert exclusion.reason is Reason.AMBIGUOUS_SERIES
    assert "1.2/1, 1.2.2/1" in exclusion.detail


def test_where_no_image_is_here_the_series_decides() -> None:
    ((found,), _) = pair([annotation(images={"9.9": 3}, series=["1.2.2"], frames=["1.9"])], [CT, PET])
    assert (found.images, found.rule) == (PET, PairingRule.SERIES)


def test_a_series_of_two_stacks_is_ambiguous_without_images() -> None:
    second = stack_images("1.2/2", *images_at(0, 1, prefix="1.8", spacing=(2.0, 2.0)))
    (_, (exclusion,)) = pair([annotation(series=["1.2"])], [CT, second])
    assert exclusion.reason is Reason.AMBIGUOUS_SERIES


def test_the_only_stack_in_its_frame_of_reference_is_meant_at_last() -> None:
    ((found,), _) = pair([annotation(images={"9.9": 3}, series=["9.8"], frames=["1.9.3"])], [CT, ELSEWHERE])
    assert (found.images, found.rule) == (ELSEWHERE, PairingRule.FRAME_OF_REFERENCE)


def test_two_stacks_in_its_frame_of_reference_are_ambiguous() -> None:
    (_, (exclusion,)) = pair([annotation(frames=["1.9"])], [CT, PET])
    assert exclusion.reason is Reason.AMBIGUOUS_SERIES


def test_the_frame_of_reference_of_another_study_proves_nothing() -> None:
    foreign = stack_images("1.2/1", *images_at(0, study_uid="1.1.2"))
    (_, (exclusion,)) = pair([annotation(frames=["1.9"])], [foreign])
    assert exclusion.reason is Reason.NO_IMAGES


def test_an_annotation_of_no_stack_is_told_what_is_missing() -> None:
    (_, (exclusion,)) = pair([annotation(images={"9.9": 3, "9.7": 1}, series=["9.8"])], [CT])
    assert exclusion.reason is Reason.NO_IMAGES
    assert "2 images, series 9.8" in exclusion.detail


def test_what_is_drawn_on_images_of_two_series_means_both() -> None:
    found, unpaired = pair([annotation(images={"1.3.1": 2, "1.4.1": 5}, kind=AnnotationKind.SR)], [CT, PET])
    assert {one.images.key: one.evidence for one in found} == {
        "1.2/1": "2 of its 7 image references",
        "1.2.2/1": "5 of its 7 image references",
    }
    assert unpaired == ()


def test_several_annotations_of_one_stack_are_a_pair_each() -> None:
    found, _ = pair([annotation(images={"1.3.1": 1}), annotation(images={"1.3.2": 1}, sop_instance_uid="1.5.9")], [CT])
    assert [one.annotation.sop_instance_uid for one in found] == ["1.5", "1.5.9"]


def echo(number: int, frames: Sequence[int]) -> StackImages:
    (whole,) = [image("1.3.1", frames=tuple(frame((0.0, 0.0, float(n % 3)), number=n) for n in range(1, 7)))]
    images = stack_images(f"1.2/{number}", whole)
    return replace(images, planes=tuple(plane for plane in images.planes if plane.frame.number in frames))


ECHOES = [echo(1, (1, 2, 3)), echo(2, (4, 5, 6))]


def test_the_frames_it_names_decide_between_stacks_of_one_image() -> None:
    ((found,), _) = pair([annotation(planes={PlaneKey(Uid("1.3.1"), 5): 1})], ECHOES)
    assert found.images.key == "1.2/2"


@pytest.mark.parametrize("kind", [AnnotationKind.RTSTRUCT, AnnotationKind.SR])
def test_an_image_of_several_stacks_named_without_a_frame_is_ambiguous(kind: AnnotationKind) -> None:
    (_, (exclusion,)) = pair([annotation(images={"1.3.1": 1}, kind=kind)], ECHOES)
    assert exclusion.reason is Reason.AMBIGUOUS_SERIES


def test_frame_one_of_a_single_frame_image_is_the_image() -> None:
    ((found,), _) = pair([annotation(planes={PlaneKey(Uid("1.3.2"), 1): 1})], [CT, PET])
    assert found.images == CT


def test_of_two_stacks_in_its_frame_of_reference_the_one_it_is_drawn_on_is_meant() -> None:
    higher = stack_images("1.2.4/1", *images_at(50, 51, 52, prefix="1.8", series_uid="1.2.4"))
    drawn = annotation(frames=["1.9"], samples=((3.0, 3.0, 50.2), (3.0, 3.0, 51.0), (3.0, 3.0, 52.0)))
    ((found,), _) = pair([drawn], [CT, higher])
    assert (found.images, found.rule) == (higher, PairingRule.GEOMETRY)
    assert "3 of 3 sampled points" in found.evidence


def test_the_planes_it_is_drawn_on_decide_against_slices_that_hold_one_sample_more() -> None:
    drawn_on = stack_images("1.2/1", *images_at(*[2.5 * n for n in range(20)]))
    longer = stack_images("1.2.2/1", *images_at(*[2.5 * n + 1.1 for n in range(24)], prefix="1.4", series_uid="1.2.2"))
    drawn = annotation(frames=["1.9"], samples=tuple((3.0, 3.0, 2.5 * n) for n in range(1, 21)))
    ((found,), _) = pair([drawn], [drawn_on, longer])
    assert (found.images, found.rule) == (drawn_on, PairingRule.GEOMETRY)


def test_a_majority_of_what_is_drawn_does_not_decide() -> None:
    higher = stack_images("1.2.4/1", *images_at(50, 51, 52, prefix="1.8", series_uid="1.2.4"))
    drawn = annotation(frames=["1.9"], samples=((3.0, 3.0, 50.0), (3.0, 3.0, 51.0), (3.0, 3.0, 1.0)))
    (found, (exclusion,)) = pair([drawn], [CT, higher])
    assert (found, exclusion.reason) == ((), Reason.AMBIGUOUS_SERIES)


def test_a_doubtful_segmentation_takes_nothing_from_measurements_that_name_images() -> None:
    seg = annotation(frames=["1.9"], sop_instance_uid="1.5.2", kind=AnnotationKind.SEG)
    sr = annotation(images={"1.3.1": 1}, objects=("1.5.2",), kind=AnnotationKind.SR)
    ((found,), (exclusion,)) = pair([replace(seg, path=Path("seg.dcm")), sr], [CT, PET])
    assert (found.annotation, found.images, exclusion.what) == (sr, CT, "seg.dcm")


@pytest.mark.parametrize("kind", [AnnotationKind.RTSTRUCT, AnnotationKind.SR])
def test_each_frame_of_reference_that_it_is_drawn_in_means_its_stack(kind: AnnotationKind) -> None:
    found, unpaired = pair([annotation(frames=["1.9", "1.9.3"], kind=kind)], [CT, ELSEWHERE])
    assert ([one.images for one in found], unpaired) == ([CT, ELSEWHERE], ())


def test_a_report_drawn_on_images_and_in_another_frame_of_reference_means_both() -> None:
    drawn = annotation(images={"1.3.1": 1}, frames=["1.9", "1.9.3"], kind=AnnotationKind.SR)
    found, _ = pair([drawn], [CT, PET, ELSEWHERE])
    assert [(one.images, one.rule) for one in found] == [
        (CT, PairingRule.IMAGES),
        (ELSEWHERE, PairingRule.FRAME_OF_REFERENCE),
    ]


def test_the_evidence_tells_that_what_it_names_is_not_here() -> None:
    named = annotation(images={"9.9": 3, "9.8": 1}, series=["9.1"], frames=["1.9"])
    for one in (named, replace(named, references=())):
        ((found,), _) = pair([one], [CT])
        absent = "the 2 images it names are not here" if one is named else "the 1 series it names are not here"
        assert absent in found.evidence


def test_measurements_of_an_own_segmentation_that_is_set_aside_are_told_so() -> None:
    seg = annotation(images={"1.3.1": 3}, sop_instance_uid="1.5.2", kind=AnnotationKind.SEG, own=True)
    sr = annotation(objects=("1.5.2",), kind=AnnotationKind.SR)
    (_, told) = plan([*CT.images, seg, sr]).exclusions
    assert (told.reason, told.reason.refuses) == (Reason.OWN_RESULT, False)
    assert "the segmentation that it measures" in told.detail


def test_what_lies_beside_the_image_does_not_lie_on_its_planes() -> None:
    assert covered([(3.0, 3.0, 1.0), (-2.0, 3.0, 1.0), (3.0, 7.9, 1.0), (3.0, 3.0, 2.6)], CT) == 1


def test_measurements_of_a_segmentation_mean_what_it_means() -> None:
    seg = annotation(images={"1.4.1": 3}, sop_instance_uid="1.5.2", kind=AnnotationKind.SEG)
    sr = annotation(objects=("1.5.2",), kind=AnnotationKind.SR)
    found, _ = pair([seg, sr], [CT, PET])
    assert [(one.annotation, one.images, one.companions) for one in found] == [(seg, PET, ()), (sr, PET, (seg,))]
