"""Read written boxes from a JSON file, and keep them in one."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicomnode.dicom.prompts.codes import MEANING_LENGTH, SCHEME_LENGTH
from dicomnode.dicom.prompts.region import Codes
from dicomnode.dicom.prompts.written import PlaneName, WrittenBox, WrittenPart, WrittenPoint, checked, plane_name
from dicomnode.domain import Box, Code, PlaneKey, parse_uid
from dicomnode.errors import Reason, Refused

_LARGEST = 64 << 20  # bytes
_SIDES, _COORDINATES, _COLOURS, _ENDS = 4, 2, 3, 2
_BRIGHTEST = 255
_OF_A_BOX = frozenset({"stack", "sop_instance_uid", "frame", "planes", "box", "label"})

Entry = Mapping[str, Any]


def parse_boxes_file(path: Path) -> tuple[WrittenBox, ...]:
    """Return the boxes in the JSON file at `path`: `{"boxes": [...]}`, or what `inspect --json` prints.

    An entry of `boxes` has `stack` and `planes` [first, last], or `sop_instance_uid` and, in an image of several,
    `frame`; and `box` [x0, y0, x1, y1] and perhaps `label`. An entry of `prompts` has several boxes and points;
    its boxes have their margin already and leave no plane out, unless `settled` is false.
    Refuses with UNREADABLE, LIMIT, and NO_BOX naming the entry that is none.
    """
    document = _load(path)
    listed = document if isinstance(document, dict) else {"prompts": document}
    boxes, prompts = (_entries(listed, name, path) for name in ("boxes", "prompts"))
    if not boxes and not prompts:
        raise Refused(Reason.NO_BOX, str(path), "it has neither boxes nor prompts")
    return (
        *(checked(_box(entry, f"{path} boxes[{number}]", str(number))) for number, entry in enumerate(boxes)),
        *(checked(_prompt(entry, f"{path} prompts[{number}]", str(number))) for number, entry in enumerate(prompts)),
    )


def document_of(boxes: Iterable[WrittenBox]) -> str:
    """Return the JSON text of `boxes` from which `parse_boxes_file` reads them again."""
    return json.dumps({"prompts": [_as_prompt(one) for one in boxes]}, indent=2, ensure_ascii=False)


def _load(path: Path) -> Any:  # noqa: ANN401 - any JSON
    try:
        if path.stat().st_size > _LARGEST:
            raise Refused(Reason.LIMIT, str(path), f"it has more than {_LARGEST >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Refused(Reason.UNREADABLE, str(path), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.UNREADABLE, str(path), f"it is no JSON: {error}") from error


def _entries(listed: Entry, name: str, path: Path) -> list[Entry]:
    entries = listed.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused(Reason.NO_BOX, str(path), f"{name} is no list of objects")
    return entries


def _box(entry: Entry, what: str, item: str) -> WrittenBox:
    if unknown := sorted(entry.keys() - _OF_A_BOX):
        detail = f"it has {', '.join(unknown)}: known are {', '.join(sorted(_OF_A_BOX))}"
        raise Refused(Reason.NO_BOX, what, detail)
    return WrittenBox(
        what=what,
        item=item,
        target=_text(entry, "stack", what),
        parts=(_part(entry, what),),
        label=_text(entry, "label", what),
    )


def _prompt(entry: Entry, what: str, item: str) -> WrittenBox:
    boxes, points = (_objects(entry, name, what) for name in ("boxes", "points"))
    if not boxes and not points:
        raise Refused(Reason.NO_BOX, what, "it has neither boxes nor points")
    uid = _text(entry, "tracking_uid", what)
    return WrittenBox(
        what=_text(entry, "what", what) or what,
        item=_text(entry, "item", what) or item,
        target=_text(entry, "stack", what),
        parts=tuple(_part(one, what) for one in boxes),
        points=tuple(_point(one, what) for one in points),
        label=_text(entry, "label", what),
        codes=_codes(entry, what),
        colour=_colour(entry, what),
        tracking_id=_text(entry, "tracking_id", what) or None,
        tracking_uid=parse_uid(uid, what) if uid else None,
        settled=_settled(entry, what),
    )


def _settled(entry: Entry, what: str) -> bool:
    stated = entry.get("settled", True)
    if not isinstance(stated, bool):
        raise Refused(Reason.NO_BOX, what, f"settled is {stated!r}: true or false is wanted")
    return stated


def _colour(entry: Entry, what: str) -> tuple[int, int, int] | None:
    stated = entry.get("colour")
    if stated is None:
        return None
    if not isinstance(stated, list) or len(stated) != _COLOURS or not all(_is_whole(one) for one in stated):
        raise Refused(Reason.NO_BOX, what, f"colour is {stated!r}: three whole numbers are wanted")
    red, green, blue = stated
    if min(stated) < 0 or max(stated) > _BRIGHTEST:
        raise Refused(Reason.NO_BOX, what, f"colour is {stated!r}: numbers from 0 to {_BRIGHTEST} are wanted")
    return red, green, blue


def _part(entry: Entry, what: str) -> WrittenPart:
    x0, y0, x1, y1 = _numbers(entry, "box", _SIDES, what)
    first, last = _planes(entry, what)
    return WrittenPart(first=first, last=last, box=Box(x0=x0, y0=y0, x1=x1, y1=y1))


def _point(entry: Entry, what: str) -> WrittenPoint:
    x, y = _numbers(entry, "point", _COORDINATES, what)
    plane, last = _planes(entry, what)
    if plane != last:
        raise Refused(Reason.NO_BOX, what, "a point lies on one plane")
    return WrittenPoint(plane=plane, point=(x, y))


def _planes(entry: Entry, what: str) -> tuple[PlaneName, PlaneName]:
    """Return the first and the last plane that `entry` names, by an image or by their indices."""
    uid, frame, planes = _text(entry, "sop_instance_uid", what), entry.get("frame"), entry.get("planes")
    if bool(uid) == (planes is not None):
        raise Refused(Reason.NO_BOX, what, "either sop_instance_uid or planes says where it is")
    if uid:
        if frame is not None and not _is_whole(frame):
            raise Refused(Reason.NO_BOX, what, f"frame is {frame!r}: a whole number is wanted")
        key = PlaneKey(parse_uid(uid, what), frame)
        return key, key
    if not isinstance(planes, list) or len(planes) != _ENDS:
        raise Refused(Reason.NO_BOX, what, f"planes is {planes!r}: [first, last] are wanted, indices from 0")
    return _end(planes[0], what), _end(planes[1], what)


def _end(stated: object, what: str) -> PlaneName:
    if not isinstance(stated, str) and not _is_whole(stated):
        raise Refused(Reason.NO_BOX, what, f"{stated!r} is no plane: an index from 0 or a SOP Instance UID")
    return plane_name(str(stated), what)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(entry: Entry, name: str, what: str) -> str:
    value = entry.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(Reason.NO_BOX, what, f"{name} is {value!r}: text is wanted")
    return (value or "").strip()


def _numbers(entry: Entry, name: str, count: int, what: str) -> tuple[float, ...]:
    values = entry.get(name)
    numeric = isinstance(values, list) and all(isinstance(one, float) or _is_whole(one) for one in values)
    if not isinstance(values, list) or not numeric or len(values) != count:
        raise Refused(Reason.NO_BOX, what, f"{name} is {values!r}: {count} numbers are wanted")
    try:
        numbers = tuple(float(one) for one in values)
    except OverflowError as error:
        raise Refused(Reason.NO_BOX, what, f"{name} has a number that is too large") from error
    if not all(map(math.isfinite, numbers)):
        raise Refused(Reason.NO_BOX, what, f"{name} is {values!r}: {count} finite numbers are wanted")
    return numbers


def _objects(entry: Entry, name: str, what: str) -> Sequence[Entry]:
    values = entry.get(name) or []
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise Refused(Reason.NO_BOX, what, f"{name} is no list of objects")
    return values


def _codes(entry: Entry, what: str) -> Codes:
    stated = entry.get("codes") or {}
    if not isinstance(stated, dict):
        raise Refused(Reason.NO_BOX, what, "codes is no object")
    category, kind = (_code(stated[name], what) if stated.get(name) else None for name in ("category", "type"))
    modifiers, sites = (
        tuple(_code(one, what) for one in _objects(stated, name, what)) for name in ("modifiers", "sites")
    )
    return Codes(category=category, type=kind, modifiers=modifiers, sites=sites)


def _code(stated: Any, what: str) -> Code:  # noqa: ANN401 - any JSON
    if not isinstance(stated, dict):
        raise Refused(Reason.NO_BOX, what, f"{stated!r} is no code")
    value, scheme, meaning = (_text(stated, name, what) for name in ("value", "scheme", "meaning"))
    if not value or not scheme:
        raise Refused(Reason.NO_BOX, what, f"{stated!r} is no code: value and scheme are wanted")
    if len(scheme) > SCHEME_LENGTH or len(meaning) > MEANING_LENGTH:
        detail = f"a scheme has at most {SCHEME_LENGTH} characters, a meaning {MEANING_LENGTH}"
        raise Refused(Reason.NO_BOX, what, f"{stated!r} is no code: {detail}")
    return Code(value=value, scheme=scheme, meaning=meaning or value[:MEANING_LENGTH])


def _as_prompt(written: WrittenBox) -> dict[str, Any]:
    return {
        "what": written.what,
        "item": written.item,
        "label": written.label,
        "stack": written.target,
        "boxes": [
            {**_as_planes(part.first, part.last), "box": [part.box.x0, part.box.y0, part.box.x1, part.box.y1]}
            for part in written.parts
        ],
        "points": [{**_as_planes(one.plane, one.plane), "point": list(one.point)} for one in written.points],
        "codes": asdict(written.codes),
        "colour": written.colour,
        "tracking_id": written.tracking_id,
        "tracking_uid": written.tracking_uid,
        "settled": written.settled,
    }


def _as_planes(first: PlaneName, last: PlaneName) -> dict[str, Any]:
    if isinstance(first, PlaneKey) and first == last:
        return {"sop_instance_uid": first.sop_instance_uid, "frame": first.frame}
    return {"planes": [_as_end(first), _as_end(last)]}


def _as_end(name: PlaneName) -> int | str:
    if isinstance(name, int):
        return name
    return name.sop_instance_uid if name.frame is None else f"{name.sop_instance_uid}#{name.frame}"
