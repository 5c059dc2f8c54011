"""A stack is shown in the window that its modality and its body part ask for."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.errors import SettingsError
from dicomnode.inference.windows import (
    PRESET_OF_PART,
    PRESETS,
    Window,
    parse_window,
    to_byte_range,
    window_of,
)
from tests.values import stack_of

Grey = NDArray[np.float32]


def ct(*values: int, body_part: str = "", inverted: bool = False) -> Stack:
    """Return a CT of one row of these Hounsfield units between -1024 and 3071."""
    return stack_of(np.array([[-1024, *values, 3071]], np.int16), body_part=body_part, inverted=inverted)


def mr(seed: int = 0, low: int = -200) -> Stack:
    """Return an MR of two planes of noise from `low` up, of which a fifth is 0."""
    noise = np.random.default_rng(seed).normal(300, 250, (2, 40, 50)).clip(low).astype(np.int16)
    noise[:, :10] = 0
    return stack_of(*noise, modality="MR")


def shown(stack: Stack, wanted: str = "auto", *, reference: bool = False) -> Grey:
    """Return all planes in grey levels: (plane, row, column) float32, 0..255."""
    window = window_of(stack, wanted, reference=reference)
    return np.stack([to_byte_range(plane.shown(), window, reference=reference) for plane in stack.planes])


def as_the_reference_shows_ct(values: NDArray[np.int16]) -> NDArray[np.uint8]:
    clipped = np.clip(values, 40 - 400 / 2, 40 + 400 / 2)
    return np.uint8((clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0)  # type: ignore[return-value]


def as_the_reference_shows_others(values: NDArray[np.int16]) -> NDArray[np.uint8]:
    low, high = np.percentile(values[values > 0], 0.5), np.percentile(values[values > 0], 99.5)
    clipped = np.clip(values, low, high)
    levels = (clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0
    levels[values == 0] = 0
    return np.uint8(levels)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "level", "width"),
    [
        ("40/400", 40, 400),
        ("-600/1500", -600, 1500),
        ("+12.5/0.75", 12.5, 0.75),
        (" Lung ", -160, 1500),
        ("bone", 400, 1800),
        ("brain", 40, 80),
        ("SOFT-TISSUE", 40, 400),
    ],
)
def test_a_window_is_a_preset_or_a_level_and_a_width(text: str, level: float, width: float) -> None:
    assert parse_window(text) == (level, width)


@pytest.mark.parametrize("text", ["auto", "percentiles", "Auto "])
def test_some_windows_follow_from_the_images(text: str) -> None:
    assert parse_window(text) is None


@pytest.mark.parametrize(
    "text", ["", "liver", "40", "40/", "40/0", "40/-400", "40/0.0", "nan/400", "40/inf", "4/4/4", "/"]
)
def test_any_other_text_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_window(text)
    message = str(refused.value)
    assert repr(text) in message
    assert all(allowed in message for allowed in ("auto", "percentiles", "40/400", *PRESETS))


def test_a_wrong_window_is_refused_for_a_stack_too() -> None:
    with pytest.raises(SettingsError):
        window_of(ct(0), "liver")


@pytest.mark.parametrize(
    ("part", "low", "high"),
    [
        ("", -160, 240),
        ("ABDOMEN", -160, 240),
        ("PELVIS", -160, 240),
        ("HEADNECK", -160, 240),
        ("CHEST", -910, 590),
        ("LUNG", -910, 590),
        ("HEAD", 0, 80),
        ("BRAIN", 0, 80),
        ("SKULL", -500, 1300),
        ("LSPINE", -500, 1300),
        ("KNEE", -500, 1300),
    ],
)
def test_a_ct_is_shown_in_the_window_of_its_body_part(part: str, low: float, high: float) -> None:
    assert window_of(ct(body_part=part), "auto")[:2] == (low, high)


def test_each_body_part_has_a_preset_that_there_is() -> None:
    assert set(PRESET_OF_PART.values()) < set(PRESETS)
    assert all(part == part.upper() and part.isalpha() for part in PRESET_OF_PART)


def test_a_window_that_is_asked_for_counts_before_that_of_the_body_part() -> None:
    assert window_of(ct(body_part="CHEST"), "brain") == Window(0, 80, "40/80")
    assert window_of(ct(body_part="CHEST"), "50/250") == Window(-75, 175, "50/250")


def test_in_reference_mode_a_ct_is_shown_in_the_window_of_the_abdomen() -> None:
    assert window_of(ct(body_part="CHEST"), "auto", reference=True) == Window(-160, 240, "40/400")


def test_a_ct_may_be_shown_by_its_percentiles() -> None:
    assert window_of(mr(low=0), "auto")[:2] == window_of(replace(mr(low=0), modality="CT"), "percentiles")[:2]


def test_values_in_the_window_become_grey_levels_and_those_beyond_it_its_ends() -> None:
    np.testing.assert_allclose(shown(ct(-160, 40, 140, 240))[0, 0], [0, 0, 127.5, 191.25, 255, 255])


def test_a_window_is_no_wider_than_the_values_of_the_stack() -> None:
    stack = stack_of(np.array([[0, 50, 100]], np.int16), np.array([[25, 50, 400]], np.int16))
    assert window_of(stack, "auto")[:2] == (0, 240)
    assert window_of(stack, "50/60")[:2] == (20, 80)


def test_presets_count_for_ct_alone() -> None:
    assert window_of(mr(), "lung") == window_of(mr(), "auto")


def test_a_level_and_a_width_count_for_every_grey_image() -> None:
    assert window_of(mr(), "300/100")[:2] == (250, 350)


@pytest.mark.parametrize("modality", ["MR", "PT", "US", "DX", "OT"])
def test_others_are_shown_between_percentiles_of_the_voxels_above_zero(modality: str) -> None:
    stack = replace(mr(low=0), modality=modality)
    values = np.stack([plane.values() for plane in stack.planes]).astype(np.float64)
    assert window_of(stack, "auto")[:2] == tuple(np.percentile(values[values > 0], (0.5, 99.5)))


def test_what_is_zero_is_black() -> None:
    assert not shown(mr(low=0))[:, :10].any()


@pytest.mark.parametrize("seed", range(5))
def test_in_reference_mode_every_level_of_a_ct_is_the_references(seed: int) -> None:
    values = np.random.default_rng(seed).integers(-1024, 1500, (3, 30, 20)).astype(np.int16)
    wanted = as_the_reference_shows_ct(values)
    np.testing.assert_array_equal(shown(stack_of(*values), reference=True), wanted)
    narrow = np.clip(values, -77, 123)
    wanted = as_the_reference_shows_ct(narrow)
    np.testing.assert_array_equal(shown(stack_of(*narrow), reference=True), wanted)


@pytest.mark.parametrize("low", [-200, 0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_in_reference_mode_every_level_of_others_is_the_references(seed: int, low: int) -> None:
    stack = mr(seed, low)
    values = np.stack([plane.stored for plane in stack.planes]).astype(np.int16)
    np.testing.assert_array_equal(shown(stack, reference=True), as_the_reference_shows_others(values))


def test_without_rounding_levels_are_within_one_of_the_references() -> None:
    stack = mr(low=0)
    difference = shown(stack) - shown(stack, reference=True)
    assert difference.min() > -1e-3
    assert 0.5 < difference.max() < 1


def test_where_many_voxels_are_negative_the_percentiles_are_those_of_all() -> None:
    values = np.stack([plane.values() for plane in mr().planes]).astype(np.float64)
    assert window_of(mr(), "auto")[:2] == tuple(np.percentile(values, (0.5, 99.5)))
    assert window_of(mr(), "auto")[0] < 0


def test_a_few_negative_voxels_change_nothing() -> None:
    stack = mr(low=0)
    few = stack.planes[0].stored.copy()
    few[0, :20] = -5  # of 4000 voxels
    window = window_of(stack_of(few, stack.planes[1].stored, modality="MR"), "auto")
    assert window == window_of(stack, "auto")
    few[0, :21] = -5
    assert window_of(stack_of(few, stack.planes[1].stored, modality="MR"), "auto").low < 0


def test_a_binary_image_is_black_and_white() -> None:
    image = np.zeros((20, 20), np.int16)
    image[5:9, 5:9] = 100
    assert set(np.unique(shown(stack_of(image, modality="MR")))) == {0, 255}


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("value", [-2000, -7, 0, 7, 3000])
def test_a_stack_of_one_value_is_black(value: int, modality: str, *, reference: bool) -> None:
    stack = stack_of(np.full((4, 5), value, np.int16), modality=modality)
    assert not shown(stack, reference=reference).any()


def test_a_ct_wholly_beyond_its_window_is_shown_from_its_least_to_its_greatest_value() -> None:
    stack = stack_of(np.array([[1000, 1100, 1200]], np.int16))
    assert shown(stack).tolist() == [[[0, 127.5, 255]]]


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_stack_of_padding_alone_is_black(modality: str) -> None:
    stack = stack_of(np.full((4, 5), 9, np.int16), modality=modality, padding=(9, 9))
    assert not shown(stack).any()


def test_a_stack_without_a_voxel_above_zero_is_shown_by_all_its_voxels() -> None:
    stack = stack_of(np.arange(-1000, 1, dtype=np.int16)[None], modality="MR")
    for reference in (False, True):
        assert window_of(stack, "auto", reference=reference)[:2] == (-995, -5)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_padding_changes_nothing(modality: str) -> None:
    stored = mr(low=1).planes[0].stored.copy()
    padded = stored.copy()
    padded[:, 5:9] = 32000
    alone = stack_of(np.delete(stored, np.s_[5:9], axis=1), modality=modality)
    stack = stack_of(padded, modality=modality, padding=(31000, 32767))
    assert window_of(stack, "auto") == window_of(alone, "auto")
    assert not shown(stack)[0, :, 5:9].any()


def test_what_is_shown_bright_is_bright() -> None:
    stored = np.arange(1, 1001, dtype=np.uint16)[None]
    turned, straight = shown(stack_of(stored, modality="DX", inverted=True)), shown(stack_of(stored, modality="DX"))
    assert turned[0, 0, 0] == 255
    assert turned[0, 0, -1] == 0
    np.testing.assert_allclose(turned[..., ::-1], straight, atol=1e-3)


def test_a_window_of_values_is_turned_round_with_them() -> None:
    stack = ct(-160, 140, 240, inverted=True)
    assert window_of(stack, "auto")[:2] == (-240, 160)
    np.testing.assert_allclose(shown(stack)[0, 0], [255, 255, 63.75, 0, 0])


def test_colours_stay_as_they_are() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    stack = stack_of(colours, modality="XC")
    assert window_of(stack, "40/400") == Window(0, 255, "as it is")
    for reference in (False, True):
        np.testing.assert_array_equal(
            to_byte_range(colours.astype(np.float32), window_of(stack, "auto"), reference=reference), colours
        )


def test_showing_leaves_the_image_alone() -> None:
    image = np.array([[0, 10, 20]], np.float32)
    for reference in (False, True):
        to_byte_range(image, Window(5, 15, ""), reference=reference)
    assert image.tolist() == [[0, 10, 20]]
