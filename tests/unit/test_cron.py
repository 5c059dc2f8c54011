from datetime import date, datetime

import pytest

from dicomnode.domain import parse_cron
from dicomnode.queue.sweeps import trigger


def test_stars_are_every_value() -> None:
    cron = parse_cron("* * * * *")
    assert (len(cron.minute), len(cron.hour), len(cron.day), len(cron.month)) == (60, 24, 31, 12)
    assert cron.day_of_week == (0, 1, 2, 3, 4, 5, 6)


def test_numbers_names_ranges_and_steps_are_understood() -> None:
    cron = parse_cron("5,10-12 */6 1-31/10 jan,MAR-may mon-fri")
    assert cron.minute == (5, 10, 11, 12)
    assert cron.hour == (0, 6, 12, 18)
    assert cron.day == (1, 11, 21, 31)
    assert cron.month == (1, 3, 4, 5)
    assert cron.days_by_name == ("mon", "tue", "wed", "thu", "fri")


def test_sunday_is_0_and_7() -> None:
    assert parse_cron("0 0 * * 0") == parse_cron("0 0 * * 7") == parse_cron("0 0 * * sun")
    assert parse_cron("0 0 * * 5-7").days_by_name == ("sun", "fri", "sat")


def test_a_number_with_a_step_goes_on_to_the_end() -> None:
    assert parse_cron("50/4 0 * * *").minute == (50, 54, 58)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 2 * *", "4 fields, not 5"),
        ("@daily", "1 fields, not 5"),
        ("60 2 * * *", "'60' is no minute from 0 to 59"),
        ("0 -1 * * *", "'' is no hour"),
        ("0 2 0 * *", "'0' is no day from 1 to 31"),
        ("0 2 * juni *", "'juni' is no month"),
        ("0 2 * * 8", "'8' is no day of week"),
        ("0 2 * * fri-mon", "'fri-mon' is no day of week"),
        ("*/0 2 * * *", "'\\*/0' is no minute"),
        ("*/ 2 * * *", "'\\*/' is no minute"),
        ("5- 2 * * *", "'5-' is no minute"),
        ("٣ 2 * * *", "is no minute"),
        ("0 0 31 feb,apr *", "no such month has 31 days"),
    ],
)
def test_a_mistake_says_what_it_is(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_cron(text)


def test_what_is_due_on_sundays_is_due_on_sundays() -> None:
    now = datetime(2026, 1, 1, 12, 0).astimezone()
    due = trigger(parse_cron("30 2 * * 0")).get_next_fire_time(None, now)
    assert (due.strftime("%a %H:%M"), due.date()) == ("Sun 02:30", date(2026, 1, 4))


def test_all_fields_have_to_fit() -> None:
    now = datetime(2026, 1, 1, 12, 0).astimezone()
    due = trigger(parse_cron("0 0 13 * fri")).get_next_fire_time(None, now)
    assert due.date() == date(2026, 2, 13)
