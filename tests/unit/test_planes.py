import numpy as np

from dicomnode.inference.runtime import AsShown
from tests.values import plane


def test_values_are_rescaled_by_the_planes_own_slope_and_intercept() -> None:
    stored = np.array([[1, 2], [3, 4]], dtype=np.uint16)
    first, second = plane(stored=stored, slope=0.25, intercept=-1.0), plane(stored=stored, slope=2.0)
    assert first.values().tolist() == [[-0.75, -0.5], [-0.25, 0]]
    assert second.values().tolist() == [[2, 4], [6, 8]]
    assert first.values().dtype == np.float32


def test_padding_becomes_the_least_true_value() -> None:
    stored = np.array([[-2000, -2000], [-1000, 40]], dtype=np.int16)
    assert plane(stored=stored, padding=(-2000, -2000)).values().tolist() == [[-1000, -1000], [-1000, 40]]


def test_padding_is_a_closed_range() -> None:
    stored = np.array([[-2000, -1900], [-1000, 40]], dtype=np.int16)
    assert plane(stored=stored, padding=(-2000, -1900)).values().min() == -1000


def test_padding_is_black_where_the_values_are_turned_round() -> None:
    stored = np.array([[4095, 4095], [600, 1000]], dtype=np.uint16)
    turned = plane(stored=stored, inverted=True, padding=(4095, 4095))
    assert turned.values().tolist() == [[1000, 1000], [600, 1000]]
    assert turned.shown().tolist() == AsShown().image(turned).tolist() == [[-1000, -1000], [-600, -1000]]


def test_a_colour_plane_shows_its_colours() -> None:
    stored = np.full((2, 2, 3), 7, dtype=np.uint8)
    colour = plane(stored=stored)
    assert colour.is_colour
    assert not plane().is_colour
    assert (colour.shown() == stored).all()
    assert (colour.shown().dtype.name, AsShown().image(colour).dtype.name) == ("uint8", "float32")


def test_a_plane_of_nothing_but_padding_keeps_its_values() -> None:
    stored = np.full((2, 2), -2000, dtype=np.int16)
    assert plane(stored=stored, padding=(-2000, -2000)).values().tolist() == [[-2000, -2000], [-2000, -2000]]


def test_a_model_sees_monochrome1_turned_round_and_the_values_stay() -> None:
    stored = np.array([[-31, 115]], dtype=np.int16)
    turned = plane(stored=stored, inverted=True)
    assert turned.values().tolist() == [[-31, 115]]
    assert AsShown().image(turned).tolist() == [[31, -115]]
    assert AsShown().image(plane(stored=stored)).tolist() == [[-31, 115]]
