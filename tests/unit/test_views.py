"""What a stack's views show: which side is which, and how far things are from each other."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.sheet import sheet
from dicomnode.dicom.views import View, letters_of, views_of
from dicomnode.domain import Fact, Orientation, PlaneKey, Stack, Uid
from tests.values import AXIAL, plane, stack_at

CORONAL: Orientation = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL: Orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
PRONE: Orientation = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
ON_THE_LEFT_SIDE: Orientation = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)
SIDES = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


def with_bright_corner(orientation: Orientation, letters: str) -> Stack:
    """Return planes that fill a cube of 60 mm, bright in the eighth of it on the patient's sides `letters`."""
    stack = stack_at(*range(60), orientation=orientation)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    centre = stack.normal * 29.5 + 29.5 * row + 29.5 * column
    y, x = np.indices((60, 60))
    planes = []
    for one in stack.planes:
        points = np.array(one.position) + x[..., None] * row + y[..., None] * column - centre
        inside = (points @ np.array([SIDES[letter] for letter in letters]).T > -2).all(axis=2)
        planes.append(replace(one, stored=np.where(inside, 100, 0).astype(np.int16)))
    return replace(stack, planes=tuple(planes))


def bright_sides(view: View) -> set[str]:
    """Return the letters beside the brighter half from left to right, and from top to bottom."""
    assert view.letters is not None
    grey = view.picture.mean(axis=2)
    height, width = (size // 2 for size in grey.shape)
    right = grey[:, width:].mean() > grey[:, :width].mean()
    bottom = grey[height:].mean() > grey[:height].mean()
    return {
        view.letters.right if right else view.letters.left,
        view.letters.bottom if bottom else view.letters.top,
    }


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, PRONE, ON_THE_LEFT_SIDE])
@pytest.mark.parametrize("letters", ["LPH", "RPF", "LAF", "RAH"])
def test_what_lies_at_a_side_of_the_patient_is_shown_beside_its_letter(orientation: Orientation, letters: str) -> None:
    seen = [bright_sides(view) for view in views_of(with_bright_corner(orientation, letters))]
    assert [sides <= set(letters) for sides in seen] == [True] * 3
    assert set().union(*seen) == set(letters)


@pytest.mark.parametrize(
    ("orientation", "sides"),
    [
        (AXIAL, ["RLAP", "RLHF", "APHF"]),
        (CORONAL, ["RLHF", "RLAP", "APHF"]),
        (SAGITTAL, ["APHF", "RLAP", "RLHF"]),
        (PRONE, ["LRPA", "RLHF", "APHF"]),
    ],
)
def test_the_plane_lies_as_stored_and_the_cuts_as_is_usual(orientation: Orientation, sides: list[str]) -> None:
    views = views_of(with_bright_corner(orientation, "LPH"))
    shown = [one.letters for one in views if one.letters]
    assert [f"{one.left}{one.right}{one.top}{one.bottom}" for one in shown] == sides


@pytest.mark.parametrize(
    ("direction", "letters"),
    [((1, 0, 0), "L"), ((0, -0.8, 0.6), "AH"), ((-0.6, 0.5, -0.62), "FRP"), ((0.9996, 0.03, 0), "L")],
)
def test_an_oblique_direction_has_several_letters_the_principal_first(
    direction: tuple[float, ...], letters: str
) -> None:
    assert letters_of(np.array(direction)) == letters


def test_every_view_has_as_many_pixels_a_millimetre() -> None:
    """Planes of 80 x 60 mm, 15 of them 4 mm apart: 384 pixels stand for 80 mm."""
    stored = np.zeros((40, 160), dtype=np.int16)
    views = views_of(stack_at(*range(0, 60, 4), stored=stored, spacing=(1.5, 0.5)))
    assert [one.picture.shape for one in views] == [(288, 384, 3), (288, 384, 3), (288, 288, 3)]


def test_the_planes_of_a_long_stack_are_drawn_smaller() -> None:
    own, along_rows, _ = views_of(stack_at(*range(0, 1000, 8), stored=np.zeros((50, 50)), spacing=(4.0, 4.0)))
    assert along_rows.picture.shape[0] / along_rows.picture.shape[1] == pytest.approx(1000 / 200, rel=0.01)
    assert max(one.picture.shape[0] for one in (own, along_rows)) < 800


def filled(*heights: float, inverted: bool = False) -> Stack:
    """Return planes of 10 x 10 mm that are black at the left and white at the right."""
    stored = np.tile(np.arange(10) * 10, (10, 1)).astype(np.int16)
    return stack_at(*heights, stored=stored, inverted=inverted)


def column_of(view: View) -> NDArray[np.uint8]:
    """Return the grey values at the right edge of `view`, from bottom to top."""
    return view.picture[::-1, -1, 0]


def test_where_a_slice_is_missing_there_is_nothing() -> None:
    """Slabs of 2 mm at 0, 2, 6 and 8 mm: the way from 3 to 5 mm is empty, a fifth of what is shown."""
    bright = column_of(views_of(filled(0, 2, 6, 8))[1]) > 0
    edges = np.flatnonzero(np.diff(bright)) / len(bright)
    assert edges.tolist() == pytest.approx([4 / 10, 6 / 10], abs=0.01)


def test_planes_at_uneven_distances_are_slabs_of_their_own_height() -> None:
    stack = filled(0, 4, 11)
    greys = (30, 60, 90)
    planes = [replace(one, stored=np.full((10, 10), grey)) for one, grey in zip(stack.planes, greys, strict=True)]
    shown = column_of(views_of(replace(stack, planes=tuple(planes)))[1])
    edges = np.flatnonzero(np.diff(shown.astype(int))) / len(shown)
    assert edges.tolist() == pytest.approx([4 / 16.5, 9.5 / 16.5], abs=0.01)


def test_planes_that_step_aside_are_drawn_where_they_lie() -> None:
    stack = filled(0, 2, 4, 6)
    planes = [replace(one, position=(2.0 * index, 0, 2.0 * index)) for index, one in enumerate(stack.planes)]
    shown = views_of(replace(stack, planes=tuple(planes), facts=frozenset({Fact.SHEARED})))[1].picture[::-1, :, 0]
    ends = [np.flatnonzero(line)[-1] / shown.shape[1] for line in shown[[1, len(shown) // 2 + 1, -1]]]
    assert ends == pytest.approx([10 / 16, 14 / 16, 1], abs=0.01)


def test_a_cut_passes_beside_planes_that_step_far_aside() -> None:
    stack = filled(0, 2, 4, 6)
    planes = [replace(one, position=(0, 4.0 * index, 2.0 * index)) for index, one in enumerate(stack.planes)]
    bright = column_of(views_of(replace(stack, planes=tuple(planes)))[1]) > 0
    assert not bright[: len(bright) // 4 - 1].any()
    assert bright[len(bright) // 4 + 1 :].all()


def test_monochrome1_is_turned_round() -> None:
    own = views_of(filled(0, inverted=True))[0].picture
    assert own[0, 0, 0] == 255
    assert own[0, -1, 0] == 0


def test_colours_stay_as_they_are() -> None:
    red = np.full((8, 10, 3), (200, 30, 0), dtype=np.uint8)
    for view in views_of(stack_at(0, 1, 2, stored=red)):
        assert (view.picture == (200, 30, 0)).all()


def test_a_single_plane_is_shown_alone() -> None:
    (view,) = views_of(filled(3))
    assert view.letters is not None


def frames(count: int) -> Stack:
    """Return so many frames without a place."""
    facts = frozenset({Fact.CINE, Fact.NO_FRAME_OF_REFERENCE})
    keys = [PlaneKey(Uid("1.3.1"), number if count > 1 else None) for number in range(1, count + 1)]
    planes = tuple(replace(plane(), key=key) for key in keys)
    return replace(stack_at(0), frame_of_reference_uid=None, planes=planes, facts=facts)


def test_frames_without_a_place_are_shown_side_by_side_without_letters() -> None:
    views = views_of(frames(100))
    assert [one.letters for one in views] == [None] * 12
    assert (views[0].caption, views[-1].caption) == ("frame 1", "frame 100")
    assert [one.caption for one in views_of(frames(3))] == ["frame 1", "frame 2", "frame 3"]
    assert [one.caption for one in views_of(frames(1))] == ["image"]


def test_the_sheet_has_room_for_all_views_and_the_whole_legend() -> None:
    three = views_of(with_bright_corner(AXIAL, "LPH"))
    small, long = (sheet(with_bright_corner(AXIAL, "LPH"), [words]) for words in ("CT", "a long line " * 100))
    assert small.width >= sum(one.picture.shape[1] for one in three)
    assert small.height > max(one.picture.shape[0] for one in three)
    assert long.width > small.width


def test_planes_at_absurd_places_are_drawn_in_a_picture_of_the_usual_size() -> None:
    stack = filled(0, 2, 4)
    planes = [replace(one, position=(1e12 * index, 0, 2.0 * index)) for index, one in enumerate(stack.planes)]
    assert max(sheet(replace(stack, planes=tuple(planes)), ["CT"]).size) < 4000
