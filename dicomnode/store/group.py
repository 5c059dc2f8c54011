"""Let several threads share a transaction, and with it the flush of the disk that each would wait for."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection

from dicomnode.errors import Unavailable

T = TypeVar("T")
Work = Callable[[Connection], Any]

_MOST = 64  # pieces of work in a transaction: others wait for the end of it


class Group:
    """Whoever comes while a transaction is under way waits; the first to go on does the work of all in the next one."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._write = write
        self._leading = Lock()
        self._waiting: deque[_Piece] = deque()

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, once it is committed; raise what it, or the transaction, raised."""
        piece = _Piece(work)
        self._waiting.append(piece)
        with self._leading:
            while not piece.done:
                self._lead()
        return piece.outcome()  # type: ignore[no-any-return]

    def _lead(self) -> None:
        """Do the work of those who wait."""
        pieces = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST))]
        try:
            self._do(pieces)
        except Exception:  # noqa: BLE001 - one may have spoilt it for the others
            for piece in pieces:
                self._alone(piece)
        finally:
            for piece in pieces:
                piece.give_up()

    def _do(self, pieces: Sequence["_Piece"]) -> None:
        with self._write() as connection:
            results = [piece.work(connection) for piece in pieces]
        for piece, result in zip(pieces, results, strict=True):
            piece.succeed(result)

    def _alone(self, piece: "_Piece") -> None:
        try:
            self._do([piece])
        except Exception as error:  # noqa: BLE001 - whatever it was, it is raised where the work came from
            piece.fail(error)


class _Piece:
    """Some work, and what came of it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.done = False
        self._result: Any = None
        self._error: Exception | None = None

    def succeed(self, result: Any) -> None:  # noqa: ANN401 - whatever the work returns
        """Note what the work returned."""
        self._result, self.done = result, True

    def fail(self, error: Exception) -> None:
        """Note what was raised."""
        self._error, self.done = error, True

    def give_up(self) -> None:
        """Note that nothing came of it, if that is so: the thread that did it was ended."""
        if not self.done:
            self.fail(Unavailable("a transaction was broken off"))

    def outcome(self) -> Any:  # noqa: ANN401 - whatever the work returns
        """Return what the work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result
