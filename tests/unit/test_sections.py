"""Sections through all planes of a stack, and the vote on what is inside on them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, JobOptions, Stack, Strategy
from dicomnode.inference.runtime import AsShown, Decoded
from dicomnode.inference.sections import Images, Section, Through, crossing
from tests.fakes import BRIGHT, FillsTheBox, FindsBright, Size
from tests.values import masks_of, prompt, solid, stack_at, stack_showing

SHAPE = (6, 8, 10)
VOTE = JobOptions(strategy=Strategy.TRIPLANAR_VOTE)


def numbered() -> NDArray[np.int16]:
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


def test_a_section_shows_one_row_or_column_of_every_plane() -> None:
    volume = numbered()
    wanted = [Section(Through.PLANE, 2), Section(Through.ROW, 3), Section(Through.ROW, 7), Section(Through.COLUMN, 9)]
    images = Images(stack_showing(volume), AsShown(), wanted)
    shown = [images.image(section) for section in wanted]
    for image, same in zip(shown, (volume[2], volume[:, 3], volume[:, 7], volume[:, :, 9]), strict=True):
        assert image.dtype == np.float32
        assert (image == same).all()


def test_a_section_has_the_shape_of_its_image() -> None:
    volume = numbered()
    for section in (Section(Through.PLANE, 2), Section(Through.ROW, 3), Section(Through.COLUMN, 9)):
        assert Images(stack_showing(volume), AsShown(), [section]).image(section).shape == section.shape_in(SHAPE)


def test_sections_of_colours_keep_them() -> None:
    colours = np.arange(3 * 8 * 10 * 3, dtype=np.uint8).reshape(3, 8, 10, 3)
    stack = stack_at(0, 1, 2)
    stack = replace(stack, planes=tuple(replace(one, stored=colours[n]) for n, one in enumerate(stack.planes)))
    wanted = [Section(Through.ROW, 4), Section(Through.COLUMN, 5)]
    images = Images(stack, AsShown(), wanted)
    assert (images.image(wanted[0]) == colours[:, 4]).all()
    assert (images.image(wanted[1]) == colours[:, :, 5]).all()


def test_a_section_has_the_distance_between_planes_as_that_between_its_rows() -> None:
    stack = stack_at(0, 4, 8, spacing=(0.5, 2.0))
    images = Images(stack, AsShown(), [])
    assert images.spacing(Section(Through.PLANE, 1)) == (0.5, 2.0)
    assert images.spacing(Section(Through.ROW, 1)) == (4.0, 2.0)
    assert images.spacing(Section(Through.COLUMN, 1)) == (4.0, 0.5)


def test_the_box_on_a_section_is_as_large_as_the_model_needs() -> None:
    box = Box(x0=1.5, y0=2.5, x1=6.5, y1=4.5)
    found = crossing(box, range(5, 6), SHAPE, 3.0)
    assert found[Section(Through.ROW, 3)] == Box(x0=1.5, y0=2.5, x1=6.5, y1=5.5)
    assert found[Section(Through.COLUMN, 6)] == Box(x0=2.0, y0=2.5, x1=5.0, y1=5.5)
    assert len(found) == 2 + 5


def ball() -> tuple[Stack, NDArray[np.bool_]]:
    """Return a stack that shows a bright ball, and where it is, (plane, row, column) bool."""
    plane, row, column = np.mgrid[:24, :32, :32]
    inside: NDArray[np.bool_] = np.sqrt((plane - 12) ** 2 + (row - 15) ** 2 + (column - 16) ** 2) < 8
    return stack_showing(np.where(inside, BRIGHT, plane + 2 * row + column - 16).astype(np.int16)), inside


def test_a_vote_finds_what_is_found_on_sections_of_all_directions() -> None:
    stack, inside = ball()
    model = FindsBright()
    (mask,) = masks_of(stack, [solid(stack, 4, 20, Box(x0=7.5, y0=6.5, x1=24.5, y1=23.5))], model, VOTE)
    assert set(mask.planes) == set(range(4, 21))
    assert all((found == inside[plane]).all() for plane, found in mask.planes.items())
    assert dict(mask.parameters)["strategy"] == "triplanar-vote"
    assert len(model.encoded) == 17 + 17 + 17
    assert set(mask.quality) == set(range(4, 21))


def test_sections_are_encoded_once_for_all_objects() -> None:
    stack, _ = ball()
    model = FindsBright()
    drawn = [solid(stack, 4, 9, Box(x0=7.5, y0=6.5, x1=24.5, y1=23.5), name) for name in ("one", "two")]
    masks_of(stack, drawn, model, VOTE)
    assert len(model.encoded) == 6 + 17 + 17
    assert all(len(boxes) == 2 for _, boxes in model.decoded)


def test_what_one_direction_alone_finds_is_voted_down() -> None:
    class FillsPlanes(FindsBright):
        def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
            square = features.shape == (32, 32)
            return FillsTheBox().decode(Size(32, 32), boxes) if square else FindsBright().decode(features, boxes)

    stack, inside = ball()
    drawn = [solid(stack, 4, 20, Box(x0=7.5, y0=6.5, x1=24.5, y1=23.5))]
    (static,) = masks_of(stack, drawn, FillsPlanes(), JobOptions(strategy=Strategy.STATIC))
    assert static.voxels == 17 * 17 * 17
    (vote,) = masks_of(stack, drawn, FillsPlanes(), VOTE)
    assert all((found == inside[plane]).all() for plane, found in vote.planes.items())


def test_without_a_regular_stack_the_vote_is_static_and_a_note_says_so() -> None:
    stack = stack_at(0, 1, 2, 4, 5, 6, 7)
    drawn = prompt({one.key: Box(x0=1.5, y0=1.5, x1=4.5, y1=4.5) for one in stack.planes[1:6]})
    (mask,) = masks_of(stack, [drawn], FillsTheBox(), VOTE)
    assert dict(mask.parameters)["strategy"] == "static"
    assert set(mask.planes) == {1, 2, 3, 4, 5}
    assert mask.notes[0].startswith("triplanar-vote needs a regular stack")
