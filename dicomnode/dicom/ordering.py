"""Order planes that lie at the same places by the time that their headers state."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

_DAY, _HOUR, _MINUTE = 86_400.0, 3_600.0, 60.0
_TIME = re.compile(  # DA and TM with a space, TM alone or DT (PS3.5 6.2)
    r"(?:(\d{4})(\d\d)(\d\d) ?)?(\d\d):?(?:(\d\d):?(\d\d(?:\.\d*)?)?)?([+-]\d{4})?"
)
_DELAYS = frozenset({"TriggerTime"})  # counted anew at each beat of the heart (PS3.3 C.8.3.1): its order is the phases'


def ranks(name: str, values: Sequence[float | str | None], places: Sequence[int]) -> list[int] | None:
    """Return which at its place each plane is by the time `name`, from 1; None where what goes together is not clear.

    Every first must come before any second, and so on: phases that follow each other, and repeats after a scan, do.
    Where places have different numbers of planes, most must have one. A delay after a heart beat needs the same number
    at each place only.
    """
    times = seconds_of(values)
    counts = Counter(places)
    commonest = Counter(counts.values()).most_common(1)[0][0]
    alike = len(set(counts.values())) == 1
    if times is None or (not alike and commonest > 1):
        return None
    at: dict[int, list[float]] = defaultdict(list)
    for time, place in zip(times, places, strict=True):
        at[place].append(time)
    if any(len(set(found)) < len(found) for found in at.values()):
        return None
    order = {place: sorted(found) for place, found in at.items()}
    found = [order[place].index(time) + 1 for time, place in zip(times, places, strict=True)]
    return found if (alike and name in _DELAYS) or _follow_each_other(times, found) else None


def seconds_of(values: Sequence[float | str | None]) -> list[float] | None:
    """Return times, numbers or texts, as numbers that ascend with them; None where one is none or they do not compare.

    Times of day without dates are taken to be of less than half a day, which midnight may divide.
    """
    if all(isinstance(value, float | int) for value in values):
        return [float(value) for value in values if value is not None]
    parsed = [_parse(value) for value in values]
    days = {day is None for day, _ in (one for one in parsed if one)}
    if None in parsed or len(days) != 1:
        return None
    times = [(day or 0) * _DAY + second for day, second in (one for one in parsed if one)]
    return times if days == {False} else _over_midnight(times)


def _follow_each_other(times: Sequence[float], found: Sequence[int]) -> bool:
    """Return whether all times of one rank are before those of the next."""
    of_rank: dict[int, list[float]] = defaultdict(list)
    for time, rank in zip(times, found, strict=True):
        of_rank[rank].append(time)
    return all(max(of_rank[one]) < min(of_rank[other]) for one, other in pairwise(sorted(of_rank)))


def _parse(value: float | str | None) -> tuple[int | None, float] | None:
    """Return the day, None where there is none, and the second in it; None for what is no time."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second, offset = match.groups()
    seconds = int(hour) * _HOUR + int(minute or 0) * _MINUTE + float(second or 0)
    if offset:
        seconds -= int(f"{offset[0]}1") * (int(offset[1:3]) * _HOUR + int(offset[3:]) * _MINUTE)
    try:
        return (date(int(year), int(month), int(day)).toordinal() if year else None), seconds
    except ValueError:
        return None


def _over_midnight(times: Sequence[float]) -> list[float] | None:
    """Return times of day so that the widest pause lies before the first; None where it is less than half a day."""
    ascending = sorted(set(times))
    pauses = {after: (after - before) % _DAY or _DAY for before, after in pairwise([ascending[-1], *ascending])}
    first = max(pauses, key=lambda time: pauses[time])
    if pauses[first] < _DAY / 2:
        return None
    return [time if time >= first else time + _DAY for time in times]
