"""Boxes in JSON files are read, and a file that is none is refused in words that name the entry."""

import json
from pathlib import Path
from typing import Any

import pytest

from dicomnode.dicom.prompts.region import Codes
from dicomnode.dicom.prompts.written import WrittenBox, WrittenPart, WrittenPoint, parse_box
from dicomnode.dicom.prompts.written_files import document_of, parse_boxes_file
from dicomnode.domain import Box, Code, PlaneKey, Uid
from dicomnode.errors import Reason, Refused

BOX = Box(x0=1.0, y0=2.0, x1=3.5, y1=4.0)
SIDES = [1, 2, 3.5, 4]


def parsed(document: Any, folder: Path) -> tuple[WrittenBox, ...]:  # noqa: ANN401 - any JSON
    path = folder / "boxes.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return parse_boxes_file(path)


def test_boxes_name_a_stack_and_planes_or_an_image(tmp_path: Path) -> None:
    boxes = [
        {"stack": "1.2/1", "planes": [0, 4], "box": SIDES, "label": "liver"},
        {"sop_instance_uid": "1.3.1", "box": SIDES},
        {"sop_instance_uid": "1.4.1", "frame": 3, "box": SIDES},
        {"stack": "1.2", "planes": ["1.4.1#2", 5], "box": SIDES},
    ]
    found = parsed({"boxes": boxes}, tmp_path)
    assert [(one.target, one.label, one.item) for one in found] == [
        ("1.2/1", "liver", "0"),
        ("", "", "1"),
        ("", "", "2"),
        ("1.2", "", "3"),
    ]
    image, cine = PlaneKey(Uid("1.3.1")), PlaneKey(Uid("1.4.1"), 3)
    assert [one.parts for one in found] == [
        (WrittenPart(first=0, last=4, box=BOX),),
        (WrittenPart(first=image, last=image, box=BOX),),
        (WrittenPart(first=cine, last=cine, box=BOX),),
        (WrittenPart(first=PlaneKey(Uid("1.4.1"), 2), last=5, box=BOX),),
    ]
    assert found[1].what == f"{tmp_path / 'boxes.json'} boxes[1]"


PROMPT = {
    "annotation_uid": "1.5",
    "kind": "RTSTRUCT",
    "item": "7",
    "label": "GTV",
    "stack": "1.2/1",
    "series_uid": "1.2",
    "paired_by": "images",
    "boxes": [
        {"sop_instance_uid": "1.3.1", "frame": None, "box": SIDES},
        {"sop_instance_uid": "1.3.2", "frame": 2, "box": SIDES},
    ],
    "points": [{"sop_instance_uid": "1.3.1", "frame": None, "point": [5, 6.5]}],
    "codes": {
        "category": {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Abnormal Structure"},
        "type": {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"},
        "modifiers": [],
        "sites": [{"value": "10200004", "scheme": "SCT"}],
    },
    "colour": [255, 0, 10],
    "tracking_id": "GTV",
    "tracking_uid": "1.2.3.4",
    "notes": ["plane 2: clipped to the image"],
}


@pytest.mark.parametrize(
    "document", [[PROMPT], {"prompts": [PROMPT]}, {"stacks": [], "prompts": [PROMPT], "refused": []}]
)
def test_the_prompts_that_inspect_prints_are_read_as_they_are(tmp_path: Path, document: object) -> None:
    first, second = PlaneKey(Uid("1.3.1")), PlaneKey(Uid("1.3.2"), 2)
    assert parsed(document, tmp_path) == (
        WrittenBox(
            what=f"{tmp_path / 'boxes.json'} prompts[0]",
            item="7",
            target="1.2/1",
            label="GTV",
            parts=(WrittenPart(first=first, last=first, box=BOX), WrittenPart(first=second, last=second, box=BOX)),
            points=(WrittenPoint(plane=first, point=(5.0, 6.5)),),
            codes=Codes(
                category=Code(value="49755003", scheme="SCT", meaning="Morphologically Abnormal Structure"),
                type=Code(value="52988006", scheme="SCT", meaning="Lesion"),
                sites=(Code(value="10200004", scheme="SCT", meaning="10200004"),),
            ),
            colour=(255, 0, 10),
            tracking_id="GTV",
            tracking_uid=Uid("1.2.3.4"),
            settled=True,
        ),
    )


def test_only_the_prompts_that_inspect_prints_are_settled(tmp_path: Path) -> None:
    stated = [PROMPT, {**PROMPT, "settled": False}]
    found = parsed({"boxes": [without()], "prompts": stated}, tmp_path)
    assert [one.settled for one in found] == [False, True, False]


@pytest.mark.parametrize("end", [{}, {"frame": 1}])
def test_boxes_that_are_kept_are_read_again_as_they_were(tmp_path: Path, end: dict[str, int]) -> None:
    written = [
        *parsed([PROMPT], tmp_path),
        *parsed({"boxes": [{"sop_instance_uid": "1.3.1", "box": SIDES, **end}]}, tmp_path),
        parse_box("1.2/1@1-1.4.1#7:1,2,3,4", "5"),
    ]
    path = tmp_path / "kept.json"
    path.write_text(document_of(written), encoding="utf-8")
    assert parse_boxes_file(path) == tuple(written)


def without(*names: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    entry = {"stack": "1.2/1", "planes": [0, 1], "box": SIDES, **changes}
    return {name: value for name, value in entry.items() if name not in names}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (without("box"), "box is None"),
        (without("planes"), "sop_instance_uid or planes"),
        (without(sop_instance_uid="1.3.1"), "sop_instance_uid or planes"),
        (without(planes=[0]), "[first, last]"),
        (without(planes=[0, 1.5]), "1.5 is no plane"),
        (without(planes=[0, True]), "True is no plane"),
        (without(planes=[0, -1]), "'-1' is no plane"),
        (without(box=[1, 2, 3]), "4 numbers"),
        (without(box=[1, 2, 3, "4"]), "4 numbers"),
        (without(box=[1, 2, 3, True]), "4 numbers"),
        (without(box=[1, 2, 3, 10**400]), "too large"),
        (without(stack=5), "stack is 5"),
        (without(lable="x"), "it has lable"),
        (without("planes", sop_instance_uid="1.3.1", frame="2"), "frame is '2'"),
    ],
)
def test_an_entry_that_is_no_box_is_refused_and_named(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refused:
        parsed({"boxes": [without(), entry]}, tmp_path)
    assert refused.value.reason is Reason.NO_BOX
    assert refused.value.what.endswith("boxes.json boxes[1]")
    assert words in refused.value.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": [], "points": []},
        {"boxes": [5]},
        {"points": [{"planes": [0, 1], "point": [1, 2]}]},
        {"points": [{"planes": [0, 0], "point": [1]}]},
        {"codes": ["Lesion"]},
        {"codes": {"type": "Lesion"}},
        {"codes": {"type": {"value": "1"}}},
        {"codes": {"sites": {}}, "boxes": "x"},
        {"colour": [1, 2]},
        {"colour": [1, 2, 3.5]},
        {"colour": [1, 2, float("nan")]},
        {"colour": [1, 2, 256]},
        {"colour": [-1, 2, 3]},
        {"colour": "red"},
        {"settled": "no"},
        {"tracking_uid": "abc"},
        {"boxes": [{"planes": [0, 0], "box": [1, 2, 3, float("inf")]}]},
        {"points": [{"planes": [0, 0], "point": [float("nan"), 1]}]},
        {"codes": {"type": {"value": "1", "scheme": "S" * 17}}},
        {"codes": {"type": {"value": "1", "scheme": "SCT", "meaning": "m" * 65}}},
    ],
)
def test_a_prompt_that_is_none_is_refused_and_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        parsed([PROMPT, {**PROMPT, **changes}], tmp_path)
    assert refused.value.what.endswith("boxes.json prompts[1]")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.UNREADABLE),
        ("{", Reason.UNREADABLE),
        ("[" * 100_000, Reason.UNREADABLE),
        ("{}", Reason.NO_BOX),
        ("[]", Reason.NO_BOX),
        ("5", Reason.NO_BOX),
        ('{"boxes": {}}', Reason.NO_BOX),
        ('{"boxes": [1]}', Reason.NO_BOX),
        ('{"boxes": 7}', Reason.NO_BOX),
    ],
)
def test_a_file_without_boxes_is_refused_and_named(tmp_path: Path, text: str, reason: Reason) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Refused) as refused:
        parse_boxes_file(path)
    assert (refused.value.reason, refused.value.what) == (reason, str(path))


def test_a_file_that_is_not_there_or_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    for content in (None, b"\xff\xfe\x00"):
        if content:
            path.write_bytes(content)
        with pytest.raises(Refused) as refused:
            parse_boxes_file(path)
        assert refused.value.reason is Reason.UNREADABLE
