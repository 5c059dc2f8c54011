"""Boxes as people draw them, objects of label maps, and what the network is shown of both."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.inference.crops import BOX, CHANNELS, SIDE
from dicomnode.training.boxes import EXACT, drawn_box, extent_of
from dicomnode.training.objects import Labelled, Objects
from dicomnode.training.samples import Samples

Planes = dict[int, NDArray[np.bool_]]


def block(rows: slice, columns: slice, planes: range = range(5, 15)) -> Planes:
    mask = np.zeros((40, 50), np.bool_)
    mask[rows, columns] = True
    return dict.fromkeys(planes, mask)


def volume(*masks: Planes, kind: str = "CT", value: float = 100) -> Labelled:
    image = np.random.default_rng(0).normal(0, 1, (20, 40, 50)).astype(np.float32)
    for mask in masks:
        for index, inside in mask.items():
            image[index][inside] += value
    return Labelled(kind, image, masks)


def test_the_extent_is_the_outer_edges_of_the_pixels_inside() -> None:
    assert extent_of(block(slice(3, 9), slice(4, 20))[5]).tolist() == [3.5, 2.5, 19.5, 8.5]


def test_most_boxes_are_exact_and_loose_ones_hold_the_object() -> None:
    generator, extent = np.random.default_rng(0), np.array([10.0, 10.0, 50.0, 30.0])
    boxes = [drawn_box(generator, extent) for _ in range(2000)]
    exact = np.mean([np.array_equal(box, extent) for box in boxes])
    assert exact == pytest.approx(EXACT, abs=0.04)
    wide = [box for box in boxes if (box[2:] - box[:2] > 1.1 * (extent[2:] - extent[:2])).all()]
    assert wide
    assert all((box[:2] <= extent[:2]).all() and (box[2:] >= extent[2:]).all() for box in wide)


def test_a_box_keeps_a_side_however_it_is_moved() -> None:
    generator = np.random.default_rng(0)
    boxes = np.array([drawn_box(generator, np.array([3.5, 3.5, 4.5, 4.5])) for _ in range(500)])
    assert (boxes[:, 2:] - boxes[:, :2] > 0.999).all()


def test_objects_are_the_same_for_the_same_generator_and_never_empty() -> None:
    objects = Objects.of([volume(block(slice(10, 25), slice(10, 30)), block(slice(28, 36), slice(10, 30)))])
    for seed in range(20):
        image, truth = objects.drawn(np.random.default_rng(seed))
        again, same = objects.drawn(np.random.default_rng(seed))
        assert np.array_equal(image, again)
        assert np.array_equal(truth, same)
        assert image.shape == truth.shape
        assert image.dtype == np.float32
        assert truth.any()


def test_what_is_bright_inside_lies_where_the_truth_is() -> None:
    objects = Objects.of([volume(block(slice(10, 25), slice(10, 30)))])
    agree = []
    for seed in range(30):
        image, truth = objects.drawn(np.random.default_rng(seed))
        inside, outside = np.median(image[truth]), np.median(image[~truth])
        nearer = np.abs(image - inside) < np.abs(image - outside)
        agree.append(2 * np.count_nonzero(nearer & truth) / (np.count_nonzero(nearer) + np.count_nonzero(truth)))
    assert np.median(agree) > 0.9


def test_an_object_at_the_border_of_its_image_ends_there() -> None:
    objects = Objects.of([volume(block(slice(0, 20), slice(0, 50), range(20)))])
    for seed in range(20):
        _, truth = objects.drawn(np.random.default_rng(seed))
        assert not truth[[0, -1]].all()


def test_each_kind_comes_as_often_as_the_others() -> None:
    many = [volume(block(slice(10, 25), slice(10, 30)), kind="MR", value=1000) for _ in range(9)]
    objects = Objects.of([*many, volume(block(slice(10, 25), slice(10, 30)), kind="CT")])
    assert [len(kind) for kind in objects.kinds] == [1, 9]


def test_structures_that_are_nowhere_large_enough_are_left_out() -> None:
    assert not Objects.of([volume(block(slice(3, 5), slice(3, 5), range(2)))]).kinds


def test_the_digest_tells_volumes_apart() -> None:
    one, other = (Objects.of([volume(block(slice(10, 25), slice(10, end)))]) for end in (30, 31))
    assert one.digest == Objects.of([volume(block(slice(10, 25), slice(10, 30)))]).digest
    assert one.digest != other.digest


def test_a_sample_is_a_crop_and_its_truth() -> None:
    samples = Samples.empty(8)
    truth = block(slice(10, 25), slice(10, 30))[5]
    image = np.where(truth, 5, 0).astype(np.float32)
    for number in range(8):
        samples.put(number, image, truth, np.random.default_rng(number))
    assert samples.crops.shape == (8, CHANNELS, SIDE, SIDE)
    assert samples.truths.shape == (8, SIDE, SIDE)
    assert np.isfinite(samples.crops).all()
    exact = [one for one in range(8) if np.array_equal(samples.truths[one] > 0.5, samples.crops[one, BOX] > 0)]
    assert exact  # a block fills its exact box
