"""When something is done regularly: the five fields of cron, parsed at the boundary."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months


@dataclass(frozen=True, kw_only=True, slots=True)
class Cron:
    """The minutes, hours, days, months (from 1) and days of the week (0 is Sunday) at which something is done.

    All of them have to fit.
    """

    minute: tuple[int, ...]
    hour: tuple[int, ...]
    day: tuple[int, ...]
    month: tuple[int, ...]
    day_of_week: tuple[int, ...]

    @property
    def days_by_name(self) -> tuple[str, ...]:
        """Return the days of the week by their names: numbers mean other days to other programs."""
        return tuple(_DAYS[day] for day in self.day_of_week)


_FIELDS: Mapping[str, tuple[range, Mapping[str, int]]] = {
    "minute": (range(60), {}),
    "hour": (range(24), {}),
    "day": (range(1, 32), {}),
    "month": (range(1, 13), {name: number for number, name in enumerate(_MONTHS, start=1)}),
    "day_of_week": (range(8), {name: number for number, name in enumerate(_DAYS)}),
}


def parse_cron(text: str) -> Cron:
    """Return what `text` says: five fields of `*`, numbers, names, ranges and steps; raise ValueError, saying why."""
    words = text.lower().split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"it has {len(words)} fields, not {len(_FIELDS)}")
    found = {name: _values(name, word) for name, word in zip(_FIELDS, words, strict=True)}
    found["day_of_week"] = tuple(sorted({day % 7 for day in found["day_of_week"]}))  # Sunday is 0 and 7
    if found["day"][0] > max(_LONGEST[month - 1] for month in found["month"]):
        raise ValueError(f"no such month has {found['day'][0]} days")
    return Cron(**found)


def _values(name: str, word: str) -> tuple[int, ...]:
    return tuple(sorted({value for part in word.split(",") for value in _part(name, part)}))


def _part(name: str, part: str) -> Iterator[int]:
    allowed, _ = _FIELDS[name]
    span, slash, step_text = part.partition("/")
    first, dash, last = span.partition("-")
    start, end = (allowed[0], allowed[-1]) if span == "*" else (_number(name, first), _number(name, last or first))
    if slash and not (dash or span == "*"):
        end = allowed[-1]
    step = int(step_text) if step_text.isdecimal() else 0
    if (slash and not step) or (dash and not last) or start > end:
        raise ValueError(f"{part!r} is no {name.replace('_', ' ')}")
    yield from range(start, end + 1, step or 1)


def _number(name: str, word: str) -> int:
    allowed, names = _FIELDS[name]
    number = names.get(word, int(word) if word.isascii() and word.isdecimal() else -1)
    if number not in allowed:
        raise ValueError(f"{word!r} is no {name.replace('_', ' ')} from {allowed[0]} to {allowed[-1]}")
    return number
