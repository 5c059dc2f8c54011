"""Show what several commands show alike: how far they are, single lines, and what was refused or set aside."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dicomnode.domain import Exclusion

_FAILED, _NOTHING, _SOME_REFUSED = 1, 3, 4
_SHOWN = 20  # lines of what was refused or set aside; all of it stands in --json


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on stderr while someone watches it; it is told (doing what, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("looking", total=1)

        def show(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=max(total, 1))

        yield show


def line(console: Console, words: str) -> None:
    """Print `words` as they are: names and paths may hold what looks like markup."""
    console.print(words, soft_wrap=True, highlight=False, markup=False)


def count(number: int, noun: str) -> str:
    """Return so many of `noun` in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def tail(modality: str, key: str) -> str:
    """Return a stack's name as tables show it: its modality and the end of its key."""
    return f"{modality} ...{key[-10:]}"


def as_json(excluded: Sequence[Exclusion]) -> list[dict[str, str]]:
    """Return what a JSON document says of what was refused or set aside."""
    return [{"what": one.what, "reason": one.reason.value, "detail": one.detail} for one in excluded]


def write_json(document: dict[str, Any]) -> None:
    """Print `document` on stdout."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def exit_code(failures: Sequence[str], refused: Sequence[Exclusion], done: Sequence[object]) -> int:
    """Return how a command ends: it failed, something was refused, all was `done`, or there was nothing to do."""
    if failures:
        return _FAILED
    if refused:
        return _SOME_REFUSED
    return 0 if done else _NOTHING


def list_excluded(title: str, excluded: Sequence[Exclusion], console: Console) -> None:
    """Print what was refused or set aside, with one line for all that differ only in names and numbers."""
    if excluded:
        console.print(f"{title}: {len(excluded)}", style="bold")
    lines = [
        f"  {reason.value}  {what}: {detail}"
        for reason in dict.fromkeys(one.reason for one in excluded)
        for what, detail in once([(one.what, one.detail) for one in excluded if one.reason is reason])
    ]
    for words in lines[:_SHOWN]:
        line(console, words)
    if len(lines) > _SHOWN:
        console.print(f"  ... and {len(lines) - _SHOWN} more kinds; --json lists all")


def once(told: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the things in `told` that something is said of, once where what is said differs only in names and numbers.

    The first of them then stands for all, and says how many more there are.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for what, words in told:
        alike.setdefault(shape(words), []).append((what, words))
    return [
        (f"{first[0]} and {len(others)} more like it" if others else first[0], first[1])
        for first, *others in alike.values()
    ]


def shape(words: str) -> str:
    """Return `words` without what differs from one case to the next: names and numbers."""
    return re.sub(r"\S*[\d/]\S*", "#", words)
