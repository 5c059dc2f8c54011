"""How many objects a parser would make of bytes."""

import pytest

from dicomnode.dicom.counting import MOST_OBJECTS, ObjectCount
from dicomnode.errors import Reason, Refused
from tests.elements import ITEM, ITEM_END, SEQUENCE_END, Layout, element_bytes

EXPLICIT = Layout(start=0, implicit=False, order="<")
IMPLICIT = Layout(start=0, implicit=True, order="<")
BIG_ENDIAN = Layout(start=0, implicit=False, order=">")
ENCODINGS = pytest.mark.parametrize("layout", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
SEQUENCE = 0x00081115
ITEMS = MOST_OBJECTS // 8  # half of what there may be


@ENCODINGS
def test_items_count_more_than_elements(layout: Layout) -> None:
    count = ObjectCount("x")
    count.add(element_bytes(layout, ITEM, "", b"") * ITEMS)
    count.add(element_bytes(layout, ITEM, "", b"") * ITEMS)
    with pytest.raises(Refused, match=r"x: LIMIT: .* more than 800000 elements"):
        count.add(element_bytes(layout, ITEM, "", b""))


@ENCODINGS
@pytest.mark.parametrize("defined", [True, False])
def test_items_count_on_every_level(layout: Layout, *, defined: bool) -> None:
    inner = element_bytes(layout, ITEM, "", b"") * (2 * ITEMS)
    if defined:
        sequence = element_bytes(layout, SEQUENCE, "SQ", inner)
    else:
        sequence = element_bytes(layout, SEQUENCE, "SQ", None) + inner + element_bytes(layout, SEQUENCE_END, "", b"")
    outer = element_bytes(layout, ITEM, "", None) + sequence + element_bytes(layout, ITEM_END, "", b"")
    with pytest.raises(Refused) as refused:
        ObjectCount("x").add(outer)
    assert refused.value.reason is Reason.LIMIT


@ENCODINGS
def test_elements_of_an_item_count(layout: Layout) -> None:
    elements = element_bytes(layout, 0x00080060, "CS", b"CT") + element_bytes(layout, 0x00080008, "OB", b"\0\0")
    ObjectCount("x").add(element_bytes(layout, ITEM, "", elements * (MOST_OBJECTS // 2 - 2)))
    with pytest.raises(Refused):
        ObjectCount("x").add(element_bytes(layout, ITEM, "", elements * (MOST_OBJECTS // 2)))


def test_values_that_are_no_sequences_count_for_nothing() -> None:
    count = ObjectCount("x")
    for _ in range(MOST_OBJECTS + 1):
        count.add(b"a value")


@ENCODINGS
@pytest.mark.parametrize("size", range(8, 30))
def test_a_sequence_may_be_cut_off_anywhere(layout: Layout, size: int) -> None:
    whole = element_bytes(layout, ITEM, "", element_bytes(layout, 0x00420011, "OB", bytes(8)))
    ObjectCount("x").add(whole[:size])
