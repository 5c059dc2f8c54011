from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from dicomnode.domain import (
    BREAKER_MOVES,
    COMMITMENT_MOVES,
    DELIVERY_MOVES,
    FETCH_MOVES,
    JOB_MOVES,
    STUDY_MOVES,
)
from dicomnode.store.moves import IllegalMove, check_move

Moves = Mapping[Any, frozenset[Any]]
TABLES: tuple[Moves, ...] = (STUDY_MOVES, JOB_MOVES, DELIVERY_MOVES, FETCH_MOVES, BREAKER_MOVES, COMMITMENT_MOVES)


def states_of(moves: Moves) -> list[StrEnum]:
    enumeration: type[StrEnum] = type(next(iter(moves)))
    return list(enumeration)


def every_pair() -> Iterator[tuple[Moves, StrEnum, StrEnum]]:
    for moves in TABLES:
        yield from ((moves, before, after) for before, after in product(states_of(moves), repeat=2))


LEGAL = [(moves, before, after) for moves, before, after in every_pair() if after in moves[before]]
ILLEGAL = [(moves, before, after) for moves, before, after in every_pair() if after not in moves[before]]


def test_there_are_legal_and_illegal_moves() -> None:
    assert len(LEGAL) == 34 + 5 + 2 + 2
    assert len(ILLEGAL) == 36 + 36 + 36 + 16 + 4 + 9 - len(LEGAL)


@pytest.mark.parametrize("moves", TABLES)
def test_every_state_has_its_row(moves: Moves) -> None:
    assert set(moves) == set(states_of(moves))


@pytest.mark.parametrize(("moves", "before", "after"), LEGAL)
def test_a_move_of_the_table_is_made(moves: Moves, before: StrEnum, after: StrEnum) -> None:
    check_move(moves, before, after)


@pytest.mark.parametrize(("moves", "before", "after"), ILLEGAL)
def test_a_move_that_is_not_in_the_table_raises(moves: Moves, before: StrEnum, after: StrEnum) -> None:
    with pytest.raises(IllegalMove, match=f"{before} may not become {after}"):
        check_move(moves, before, after)
