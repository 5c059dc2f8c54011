from dicomnode.dicom.pairing import pair
from dicomnode.domain import PairingRule
from dicomnode.errors import Reason
from tests.values import annotation, images_at, stack_images

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
