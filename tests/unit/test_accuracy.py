"""How accuracy is measured: boxes from the truth, filled shapes, Dice, and what is said of them."""

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Strategy
from dicomnode.inference.runtime import Decoded
from tests.accuracy.bars import BARS
from tests.accuracy.baseline import FillsTheEllipse
from tests.accuracy.measuring import LEAST_PIXELS, Result, asks_of, by_planes, in_solids, stack_of
from tests.accuracy.pictures import BOTH, BOX, FOUND, TILE, TRUTH, View, tile
from tests.accuracy.report import as_json, means, table
from tests.accuracy.sets import SETS, Case
from tests.accuracy.shapes import Counts, Variant, compare, extent_of, filled, varied
from tests.accuracy.split import HALVES, trained_on
from tests.fakes import FillsTheBox, Size


def block(shape: tuple[int, ...], *spans: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def case(labels: NDArray[np.bool_], image: NDArray[np.float32] | None = None) -> Case:
    values = np.zeros(labels.shape, np.float32) if image is None else image
    return Case(
        set="organs", name="a", modality="CT", image=values, labels=labels.astype(np.int32), spacing=(2.0, 1.0, 1.0)
    )


def test_a_box_reaches_from_edge_to_edge_of_the_pixels() -> None:
    assert extent_of(block((9, 9), (2, 5), (1, 8))).tolist() == [[1.5, 0.5], [4.5, 7.5]]


def test_a_loose_box_is_larger_by_a_tenth_of_each_side_about_its_centre() -> None:
    extent = np.array([[10.0, 20.0], [20.0, 60.0]])
    assert varied(extent, Variant.LOOSE_10, (99, 99)).tolist() == [[9.5, 18.0], [20.5, 62.0]]
    assert varied(extent, Variant.LOOSE_20, (99, 99)).tolist() == [[9.0, 16.0], [21.0, 64.0]]


def test_a_loose_box_ends_where_the_image_does() -> None:
    loose = varied(np.array([[-0.5, 1.5], [9.5, 6.5]]), Variant.LOOSE_20, (10, 9))
    assert loose.tolist() == [[-0.5, 1.0], [9.5, 7.0]]


def test_a_shifted_box_keeps_its_sides_and_moves_towards_one_of_four_corners() -> None:
    extent = np.array([[10.0, 20.0], [20.0, 60.0]])
    moves = {tuple((varied(extent, Variant.SHIFTED, (99, 99), number) - extent)[0]) for number in range(4)}
    assert moves == {(0.5, 2.0), (0.5, -2.0), (-0.5, 2.0), (-0.5, -2.0)}


def test_a_filled_ellipse_ends_in_its_box_and_takes_pi_quarters_of_it() -> None:
    extent = np.array([[9.5, 19.5], [109.5, 179.5]])
    mask = filled(extent, (140, 200))
    assert np.abs(extent_of(mask) - extent).max() <= 1
    assert np.count_nonzero(mask) / (100 * 160) == pytest.approx(math.pi / 4, abs=0.005)


def test_a_filled_ellipsoid_takes_pi_sixths_of_its_box() -> None:
    mask = filled(np.array([[-0.5, -0.5, -0.5], [39.5, 49.5, 59.5]]), (40, 50, 60))
    assert mask.mean() == pytest.approx(math.pi / 6, abs=0.005)


def test_dice_is_twice_the_common_voxels_by_the_sum_of_both() -> None:
    counts = compare(block((4, 4), (0, 2), (0, 4)), block((4, 4), (1, 3), (0, 4)))
    assert counts == Counts(both=4, found=8, true=8)
    assert counts.dice == 0.5
    assert counts.overlap == 4 / 12
    assert counts.plus(Counts(8, 8, 8)).dice == 0.75
    assert Counts().dice == 1.0


def test_planes_with_a_few_pixels_of_an_object_are_left_out() -> None:
    labels = np.zeros((3, 9, 9), np.bool_)
    labels[0, 0, : LEAST_PIXELS - 1] = labels[2, 0, :LEAST_PIXELS] = True
    assert [(ask.plane, ask.label) for ask in asks_of(case(labels), [Variant.EXACT])] == [(2, 1)]


def test_an_objects_dice_is_that_of_all_its_planes_together() -> None:
    labels = block((2, 30, 30), (0, 2), (5, 15), (5, 15))
    labels[1, 15:25, 5:25] = labels[1, 5:15, 15:25] = True
    labels[1, 20:25, 20:25] = False
    (found,) = by_planes(FillsTheBox(), case(labels), [Variant.EXACT])
    assert found.scores[Variant.EXACT].model.dice == 2 * 475 / (500 + 475)
    assert found.planes == 2


def test_the_ellipse_beside_a_model_is_in_the_box_that_the_model_gets() -> None:
    found = by_planes(FillsTheEllipse(), case(block((2, 30, 30), (0, 2), (5, 15), (5, 25))))
    assert [one.model == one.shape for one in found[0].scores.values()] == [True] * len(Variant)


def test_one_solid_box_is_asked_as_a_job_asks_it() -> None:
    (found,) = in_solids(FillsTheBox(), case(block((6, 30, 30), (1, 4), (5, 25), (5, 25))), Strategy.STATIC)
    assert found.scores[Variant.EXACT].model == Counts(both=1200, found=1200, true=1200)
    assert found.scores[Variant.EXACT].shape.dice < 0.8
    assert found.scores[Variant.LOOSE_10].model == Counts(both=1200, found=3 * 22 * 22, true=1200)


@pytest.mark.parametrize("values", [np.arange(-60.0, 60.0), np.geomspace(1e-3, 7e4, 120)])
def test_a_case_becomes_a_stack_with_its_values(values: NDArray[np.float64]) -> None:
    image = values.reshape(2, 6, 10).astype(np.float32)
    stack = stack_of(case(np.zeros((2, 6, 10), np.bool_), image))
    shown = np.stack([plane.values() for plane in stack.planes])
    assert shown == pytest.approx(image, abs=float(np.ptp(image)) / 2**24)
    assert stack.gaps().tolist() == [2.0]


@pytest.mark.parametrize(("runtime", "said"), [(FillsTheBox(), " met "), (FillsTheEllipse(), " -0.")])
def test_the_table_says_whether_a_bar_is_met_and_by_how_much_it_is_not(runtime: FillsTheBox, said: str) -> None:
    labels = block((1, 30, 30), (0, 1), (5, 15), (5, 25))
    labels[0, 5:7, 5:9] = labels[0, 13:15, 21:25] = runtime == FillsTheBox()
    result = Result(set="organs", cases=("a",), objects=tuple(by_planes(runtime, case(labels))))
    assert said in table([result], "any").splitlines()[1]


class Knows(FillsTheEllipse):
    """A model that predicts an overlap: the less, the smaller the box."""

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        widths = boxes[:, 2] - boxes[:, 0]
        return super().decode(features, boxes)._replace(quality=(widths / 100).astype(np.float32))


def test_the_table_says_how_far_predicted_overlaps_are_true() -> None:
    labels = block((2, 30, 30), (0, 2), (5, 15), (5, 25))
    labels[1] = block((30, 30), (5, 15), (5, 13)) & (np.add.outer(np.arange(30), np.arange(30)) > 14)
    result = Result(set="organs", cases=("a",), objects=tuple(by_planes(Knows(), case(labels))))
    said = next(line for line in table([result], "any").splitlines() if line.startswith("predicted overlap"))
    assert "r = 1.00 " in said or "r = -1.00 " in said
    assert "on 2 planes" in said


def test_json_has_the_means_by_kind_of_box() -> None:
    labels = block((1, 30, 30), (0, 1), (5, 15), (5, 25))
    result = Result(set="organs", cases=("a",), objects=tuple(by_planes(FillsTheBox(), case(labels))))
    assert means(result.objects, Variant.EXACT)[0] == 1.0
    assert json.loads(as_json([result], "box"))["sets"]["organs"]["per_plane"]["exact"]["model"] == 1.0


def test_a_picture_has_the_truth_in_green_what_was_found_in_red_and_the_box() -> None:
    true, found = block((40, 40), (10, 20), (10, 30)), block((40, 40), (10, 20), (10, 25))
    drawn = np.asarray(tile(View(np.zeros((40, 40), np.float32), true, found, extent_of(true), "")))[:TILE]
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    assert {TRUTH, FOUND, BOTH, BOX} <= colours


@pytest.mark.parametrize("half", HALVES)
def test_a_patient_is_trained_on_or_judges_with_all_modalities(half: str) -> None:
    assert set(HALVES[half]) <= set(SETS)
    assert len({cases for name, cases in HALVES[half].items() if name.startswith("ibsi_sts")}) == 1
    assert not {"organs", "brain"} & {name for name, _ in trained_on(half)}


def test_each_case_with_a_bar_judges_one_of_the_halves() -> None:
    assert not {one for one in trained_on("first") & trained_on("second") if BARS[one[0]].planes is not None}
