from dataclasses import replace

import pytest

from dicomnode.dicom.completeness import content_of, named_by
from dicomnode.domain import Annotation, Content, Pair, PairingRule, RegionFacts, SeriesCount, StackImages, Uid
from tests.values import annotation, images_at, stack_images

STACK = stack_images("1.2/1", *images_at(0, 1, 2, 3))
IMAGES = tuple(image.sop_instance_uid for image in STACK.images)


def content(*annotations: Annotation, stack: StackImages = STACK, known: tuple[str, ...] = IMAGES) -> Content:
    pairs = [Pair(annotation=one, images=stack, rule=PairingRule.IMAGES, evidence="") for one in annotations]
    named = named_by(annotations)
    absent = named.without({Uid(uid) for uid in known})
    return content_of(4, len(annotations), pairs, named, absent, {stack.series_uid: 4})


def test_what_is_named_and_not_here_is_counted_once_whether_drawn_on_or_listed() -> None:
    one = replace(annotation(images={"1.3.1": 2, "9.1": 1}), listed=(Uid("1.3.2"), Uid("9.1"), Uid("9.2")))
    found = content(one)
    assert (found.named, found.absent) == (4, 2)
    assert (content(replace(one, objects=(Uid("8.1"),))).objects, found.objects) == (1, 0)


@pytest.mark.parametrize(
    ("drawn", "listed", "expected"),
    [
        ({IMAGES[0]: 1}, IMAGES, True),
        ({}, IMAGES, True),
        ({IMAGES[0]: 1}, (*IMAGES, Uid("1.3.99")), True),
        ({IMAGES[0]: 1}, IMAGES[:3], False),
        ({IMAGES[0]: 1}, (), False),
        (dict.fromkeys(IMAGES, 1), IMAGES, False),
    ],
)
def test_a_list_that_has_more_than_what_is_drawn_on_tells_the_whole_series(
    drawn: dict[str, int], listed: tuple[Uid, ...], *, expected: bool
) -> None:
    one = replace(annotation(images=drawn), listed=listed)
    assert content(one, known=(*IMAGES, "1.3.99")).listed is expected


def test_every_stack_that_is_meant_has_to_be_listed() -> None:
    other = stack_images("1.2.2/1", *images_at(0, 1, prefix="1.4", series_uid="1.2.2"))
    one = replace(annotation(images={IMAGES[0]: 1}), listed=IMAGES)
    pairs = [Pair(annotation=one, images=stack, rule=PairingRule.IMAGES, evidence="") for stack in (STACK, other)]
    named = named_by([one])
    found = content_of(6, 1, pairs, named, named.without(IMAGES), {Uid("1.2"): 4, Uid("1.2.2"): 2})
    assert not found.listed
    assert found.series == (
        SeriesCount(series_uid=Uid("1.2"), study_uid=STACK.study_uid, here=4),
        SeriesCount(series_uid=Uid("1.2.2"), study_uid=STACK.study_uid, here=2),
    )


@pytest.mark.parametrize(
    ("heights", "gaps"), [((0, 1, 2, 3), 0), ((0, 1, 2, 4), 1), ((0, 1, 2, 5, 6, 8), 3), ((0,), 0), ((0, 5), 0)]
)
def test_the_slices_that_are_missing_between_planes_are_counted(heights: tuple[float, ...], gaps: int) -> None:
    assert content(annotation(), stack=stack_images("1.2/1", *images_at(*heights))).gaps == gaps


@pytest.mark.parametrize(("height", "beyond"), [(0.0, 0), (-0.5, 0), (3.5, 0), (3.51, 1), (-0.51, 1), (1.4, 0)])
def test_points_without_a_plane_within_half_a_slice_distance_are_beyond(height: float, beyond: int) -> None:
    assert content(replace(annotation(), samples=((1.0, 1.0, height),))).beyond == beyond


def test_what_lies_in_a_gap_has_no_plane() -> None:
    stack = stack_images("1.2/1", *images_at(0, 1, 2, 5))
    assert content(replace(annotation(), samples=((1.0, 1.0, 3.5),)), stack=stack).beyond == 1


def test_regions_that_mean_another_stack_do_not_count() -> None:
    regions = tuple(RegionFacts(item=item, samples=((1.0, 1.0, 9.0),)) for item in ("1", "2"))
    one = replace(annotation(), regions=regions, samples=((1.0, 1.0, 9.0),))
    pair = Pair(annotation=one, images=STACK, rule=PairingRule.IMAGES, evidence="", elsewhere=("2",))
    named = named_by([one])
    assert content_of(4, 1, [pair], named, named, {STACK.series_uid: 4}).beyond == 1
