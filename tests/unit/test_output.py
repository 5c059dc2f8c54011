"""What a destination gets of what was made, and what in place of what it did not take."""

import pytest

from dicomnode.domain import SEG_ONLY, ObjectKind, OutputProfile, SegSyntax, SegType, WrittenObject
from dicomnode.settings.profiles import BUILT_IN_PROFILES, FORMS
from tests.values import made

BINARY, LABELMAP, FRACTIONAL = SegType
SEG, SR, RTSTRUCT, SC, PR = ObjectKind
MANY = ("labelmap-rle", "binary", "labelmap-deflated")
PICTURE = made(SC, 9)


def profile(*forms: str, objects: tuple[ObjectKind, ...] = (SEG, SR)) -> OutputProfile:
    return OutputProfile(name="mine", objects=objects, seg=tuple(FORMS[form] for form in forms))


def both(seg_type: SegType, number: int) -> tuple[WrittenObject, WrittenObject]:
    """Return a SEG of `seg_type` and the SR that refers to it."""
    return made(SEG, number, seg_type), made(SR, number + 1, seg_type)


@pytest.mark.parametrize(
    ("forms", "types", "first"),
    [
        ((), (BINARY,), (BINARY,)),
        (("binary-deflated",), (BINARY,), (BINARY,)),
        (("labelmap-rle", "fractional", "labelmap"), (LABELMAP, FRACTIONAL, BINARY), (LABELMAP, FRACTIONAL)),
        (("fractional", "labelmap"), (FRACTIONAL, LABELMAP, BINARY), (FRACTIONAL,)),
        (("binary", "labelmap"), (BINARY, LABELMAP), (BINARY,)),
        (("labelmap",), (LABELMAP, BINARY), (LABELMAP,)),
    ],
)
def test_types_come_in_the_order_of_their_first_mention_and_binary_at_last(
    forms: tuple[str, ...], types: tuple[SegType, ...], first: tuple[SegType, ...]
) -> None:
    assert (profile(*forms).types, profile(*forms).first_types) == (types, first)


@pytest.mark.parametrize(
    ("forms", "seg_type", "syntaxes"),
    [
        (
            ("labelmap-rle", "binary", "labelmap-deflated"),
            LABELMAP,
            (SegSyntax.RLE, SegSyntax.DEFLATED, SegSyntax.NATIVE),
        ),
        (("labelmap-rle", "binary", "labelmap-deflated"), BINARY, (SegSyntax.NATIVE,)),
        (("labelmap", "labelmap-rle"), LABELMAP, (SegSyntax.NATIVE, SegSyntax.RLE)),
        (("binary-deflated",), BINARY, (SegSyntax.DEFLATED, SegSyntax.NATIVE)),
        (("labelmap",), FRACTIONAL, (SegSyntax.NATIVE,)),
    ],
)
def test_each_type_has_its_own_syntaxes_and_native_at_last(
    forms: tuple[str, ...], seg_type: SegType, syntaxes: tuple[SegSyntax, ...]
) -> None:
    assert profile(*forms).syntaxes(made(SEG, 1, seg_type)) == syntaxes


def test_what_is_no_seg_is_sent_native() -> None:
    assert profile("binary-deflated").syntaxes(made(SR, 1, BINARY)) == (SegSyntax.NATIVE,)
    assert profile("binary-deflated").syntaxes(PICTURE) == (SegSyntax.NATIVE,)


def test_a_destination_gets_the_first_type_that_was_made_and_what_goes_with_any() -> None:
    labelmap, binary = both(LABELMAP, 1), both(BINARY, 3)
    wanted = profile("labelmap", objects=(SEG, SR, SC))
    assert wanted.chosen((*binary, *labelmap, PICTURE)) == (*labelmap, PICTURE)
    assert wanted.chosen((*binary, PICTURE)) == (*binary, PICTURE)


def test_a_destination_gets_only_the_kinds_that_it_wants() -> None:
    assert SEG_ONLY.chosen((*both(BINARY, 1), PICTURE)) == (made(SEG, 1, BINARY),)
    assert profile(objects=(SC,)).chosen((*both(BINARY, 1), PICTURE)) == (PICTURE,)


def test_a_report_on_a_type_that_was_not_made_is_not_chosen() -> None:
    objects = (made(SR, 1, LABELMAP), *both(BINARY, 2))
    assert profile("labelmap").chosen(objects) == both(BINARY, 2)


def test_where_nothing_was_found_the_report_alone_is_chosen() -> None:
    assert profile("labelmap").chosen((made(SR, 1, BINARY),)) == (made(SR, 1, BINARY),)
    assert SEG_ONLY.chosen((made(SR, 1, BINARY),)) == ()


def test_after_a_type_that_was_not_taken_comes_the_next_one_alone() -> None:
    labelmap, fractional, binary = both(LABELMAP, 1), both(FRACTIONAL, 3), both(BINARY, 5)
    wanted = profile("labelmap-rle", "fractional", objects=(SEG, SR, SC))
    objects = (*binary, *fractional, *labelmap, PICTURE)
    assert wanted.chosen(objects, after=LABELMAP) == fractional
    assert wanted.chosen(objects, after=FRACTIONAL) == binary
    assert wanted.chosen(objects, after=BINARY) == ()
    assert wanted.chosen((*binary, *labelmap, PICTURE), after=LABELMAP) == binary


def test_after_a_type_that_is_no_more_wanted_comes_the_first() -> None:
    objects = (*both(LABELMAP, 1), *both(BINARY, 3))
    assert profile().chosen(objects, after=LABELMAP) == both(BINARY, 3)


def test_the_built_in_profiles_take_binary_alone() -> None:
    assert {name: one.objects for name, one in BUILT_IN_PROFILES.items()} == {
        "seg": (SEG,),
        "results": (SEG, SR),
        "planning": (SEG, RTSTRUCT),
        "preview": (SEG, SC, PR),
        "all": (SEG, SR, RTSTRUCT, SC, PR),
    }
    assert {one.types for one in BUILT_IN_PROFILES.values()} == {(BINARY,)}
