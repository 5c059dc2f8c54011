"""Check a change of state against its table of legal moves."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)


class IllegalMove(RuntimeError):
    """A state may not follow the one before it: a bug of the caller."""


def check_move(moves: Mapping[State, frozenset[State]], before: State, after: State) -> None:
    """Raise IllegalMove unless `moves` lets `after` follow `before`."""
    if after not in moves[before]:
        raise IllegalMove(f"{type(before).__name__}: {before} may not become {after}, only {sorted(moves[before])}")
